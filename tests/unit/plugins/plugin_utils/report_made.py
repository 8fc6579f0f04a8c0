# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of runs that were never made: the results are put together as the modules return them, and go through the code that a real run's do."""
from __future__ import annotations

import json

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import report_events
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_events import PREFIX, Task
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story, totals

LIMIT = 30.0
ROLE = f"{PREFIX}host_update"


def interrupted(name, uuid, seconds=0.4, **over):
    """A guest as preserved_command returns it."""
    record = {
        "name": name, "uuid": uuid, "before": {"state": "running", "reason": "booted"}, "after": {"state": "running", "reason": "unpaused"}, "changed": True,
        "outcome": "resumed", "message": "resumed", "paused_for": seconds, "resumed_by": "module", "ended": None, "was_paused": True, "problem": "",
        "clock": {
            "verdict": "in_sync", "before": {"offset": -seconds, "bound": 0.0004}, "after": {"offset": 0.0001, "bound": 0.0004}, "changed": True,
            "error": None, "reference": "a host clock that is synchronized (within 0.021 s)", "set_after": 0.05,
        },
    }
    return {**record, **over}


def window_result(guests, seconds=0.4, **over):
    """What preserved_command returns."""
    window = {
        "id": "w", "open": False, "opened_at": "2026-11-23T08:00:00Z", "opened_by": "root", "closed_at": "2026-11-23T08:00:01Z", "closed_by": "module",
        "pause_limit": LIMIT, "paused_within": 0.01, "resumed_within": 0.02, "guests": [],
    }
    argv = ["systemctl", "restart", "openvswitch-switch.service"]
    command = {"argv": argv, "state": "finished", "rc": 0, "seconds": round(seconds - 0.05, 3), "stdout": "s3cret"}
    return {
        "changed": True, "guests": guests, "window": window, "commands": [command], "deadline_missed": False,
        "invocation": {"module_args": {"clock_tolerance": 0.1, "pause_limit": LIMIT, "commands": ["s3cret"]}}, **over,
    }


class Run:
    """A run that is put together step by step. Its clock stands until it is told to go on."""

    def __init__(self, check=False, **more):
        self.now = 0.0
        self.check = check
        self.events = []
        self.add({"event": "run", "format": report_events.FORMAT, "run": "20261123T080000Z-abc123", "playbook": "rolling_update.yml", "by": "anna@controller1",
                  "ansible": "2.19.14", "check": check, "limit": "", **more})

    def add(self, *events):
        for event in events:
            self.events.append({"n": len(self.events), "t": round(self.now, 3), "at": "2026-11-23T08:00:00.000Z", **event})

    def play(self, domains):
        """domains: host names by the name of their update domain, in their order."""
        listed = [{"name": name, "hosts": list(hosts)} for name, hosts in domains.items()]
        self.add({"event": "play", "name": "Update the hosts", "hosts": [host for one in listed for host in one["hosts"]], "domains": listed})

    def step(self, host, module, result, took=1.0, status="ok", name="", check=None, role=ROLE, ignored=False, state="", passes=True):
        """A task that ends now, after `took` seconds."""
        self.now += took if passes else 0.0
        action = module if "." in module else PREFIX + module
        task = Task(name or module, action, role, self.check if check is None else check, state)
        self.add(*report_events.steps(host, task, status, result, took, ignored))

    def fact(self, host, **facts):
        self.step(host, "ansible.builtin.set_fact", {"changed": False, "ansible_facts": facts}, took=0.1, name="Put it together")

    def host(self, name, domain, guests, seconds=0.4, **over):
        """A host that is updated. guests: names by UUID. over: of the first guest's record."""
        run = {"state": "running", "reason": "booted", "id": 1, "process": {"pid": 7, "start_time": 5}, "boot_id": "b"}
        before = {"guests": [{"name": guest, "uuid": uuid, **run} for uuid, guest in guests.items()]}
        records = [interrupted(guest, uuid, seconds) for uuid, guest in guests.items()]
        records[0] = {**records[0], **over}
        window = window_result(records, seconds)
        measured = [{"name": one["name"], "uuid": one["uuid"], "before": {"offset": 0.001, "bound": 0.0003}, "after": {"offset": 0.001, "bound": 0.0003},
                     "target": 0.0, "verdict": "in_sync", "changed": False} for one in records]
        self.fact(name, host_update_plan={
            "host": name, "technique": "pause", "restarts": {"in_pause": ["openvswitch-switch.service"], "live": []},
            "lines": [f"{name}: the update is applied"],
            "pending": [{"name": "openvswitch-switch", "installed": "3.1.0-1", "candidate": "3.1.0-2", "technique": "pause", "reason": "it carries packets"}],
            "guests": [{"name": one["name"], "uuid": one["uuid"], "pause": LIMIT, "away": None, "memory": None, "no_way_back": None, "left_alone": ""}
                       for one in records],
        })
        notice = {"id": f"E-{name}", "guest": records[0]["uuid"], "name": records[0]["name"], "host": name, "type": "Freeze", "status": "Scheduled",
                  "notice": 900, "given": None, "duration": 5, "approved": False, "approved_by": None, "approved_at": None}
        self.step(name, "scheduled_event", {"changed": True, "events": [notice]}, name="Announce it")
        approved = {**notice, "approved": True, "approved_by": records[0]["name"], "approved_at": 1.0, "status": "Started", "given": 42.0}
        self.step(name, "scheduled_event", {"changed": True, "events": [approved]}, took=30, name="Wait for the guests")
        self.step(name, "guest_clock", {"guests": measured, "invocation": {"module_args": {"tolerance": 0.1}}}, name="Measure the guests' clocks before")
        self.step(name, "host_update_apply", {"changed": True, "command": {"rc": 0, "seconds": 9.0}, "restarts": [], "problems": []}, took=9, name="Apply")
        self.step(name, "preserved_command", window, took=seconds + 3, name="Pause the guests, apply the update, resume the guests")
        self.fact(name, host_update_report=host_report(name, domain, before=before, window=window, after=before, clocks_before={"guests": measured}))

    def end(self, **hosts):
        """hosts: by host, what went wrong."""
        names = {event["host"] for event in self.events if event["event"] == "step"}
        counts = {name: {"failed": 0, "unreachable": 0, "ok": 9, "changed": 3, "rescued": 0, "ignored": 0, **hosts.get(name, {})} for name in sorted(names)}
        self.add({"event": "end", "hosts": counts})
        self.events[-1]["totals"] = totals(story(self.events))
        # As a reader has it.
        self.events = json.loads(json.dumps(self.events))
        return self.events


def fleet(domains=2, hosts=2, guests=2, name=str, **over):
    """The events of a rollout that went well. name: makes a name of what it is given."""
    run = Run()
    named = {name(f"rack{one}"): [name(f"kvm{one}-{two}") for two in range(hosts)] for one in range(domains)}
    run.play(named)
    for domain, members in named.items():
        for host in members:
            run.host(host, domain, {f"uuid-{host}-{one}": name(f"{host}-guest{one}") for one in range(guests)}, seconds=0.3 + len(run.events) % 17 / 10, **over)
    return run.end()
