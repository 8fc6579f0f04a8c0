# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_report
type: notification
short_description: Writes a report of every run that updates hosts
version_added: 0.1.0
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Collects what the modules of this collection, and the facts C(host_update_plan) and C(host_update_report) of the role
    P(vm_preserving.maintenance.host_update#role), say of hosts and guests. Writes them as events, and at the end of the run as one HTML page.
  - The events are a file with a line of JSON for each. An event is on disk before the next task ends, so they are there also of a run that was killed.
  - The page is one file that asks for nothing else and runs nothing. It has the update domains and hosts over the time, each guest's interruption against its
    limit and what was in it, the clocks before and after with their bounds, notices and approvals, refusals, failures with what to do next, and what was
    planned. C(docs/evidence.md) says how to read it.
  - A run without anything of this collection in it writes nothing.
  - What C(no_log) hides is not written, and is counted. The output of commands and the arguments of other modules are never written. The arguments of the
    commands that run while guests are paused are, and so are messages of failures; keep secrets out of both, or set C(no_log).
  - It never changes how a run ends. What goes wrong in it is one warning.
requirements:
  - Enable it with C(callbacks_enabled = vm_preserving.maintenance.rollout_report) in C(ansible.cfg), or C(ANSIBLE_CALLBACKS_ENABLED).
options:
  folder:
    description:
      - The folder for the reports, on the controller. Two files are written for each run, C(<time>-<id>.jsonl) and C(<time>-<id>.html), which only their owner can
        read. Nothing is removed.
    type: path
    default: ~/.ansible/vm_preserving/reports
    env:
      - name: VM_PRESERVING_REPORT_FOLDER
    ini:
      - section: callback_vm_preserving_rollout_report
        key: folder
    vars:
      - name: rollout_report_folder
notes:
  - The variable is that of the first play that updates hosts, or C(-e). It is not templated, and variables of hosts and groups are not looked at.
seealso:
  - module: vm_preserving.maintenance.report_check
"""

import functools
import os
import time
from pathlib import Path

from ansible import __version__ as ansible_version
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import report_events, update_domains
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_file import EventsFile, write_page
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story, totals
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_page import page
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_text import visible
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_files import new_id


def _guarded(method):
    """Nothing that goes wrong here may reach the run: it is one warning, and there is no report of the rest."""
    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        if self._broken:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self._broken = True
            kind, text = type(error).__name__, visible(error)
            self._display.warning(f"rollout_report: the report of this run ends here ({kind}: {text}); the run itself goes on")
    return guarded


class CallbackModule(CallbackBase):
    """Hands what happens to the report's own code."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "vm_preserving.maintenance.rollout_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._broken = False
        self._began = time.monotonic()
        self._events = []
        self._written = 0
        self._file = None
        self._starts = {}
        self._playbook = ""

    @_guarded
    def v2_playbook_on_start(self, playbook):
        self._playbook = os.path.basename(playbook._file_name)

    @_guarded
    def v2_playbook_on_play_start(self, play):
        if not self._events:
            self._add({
                "event": "run", "format": report_events.FORMAT, "run": new_id(), "playbook": self._playbook, "by": f"{_user()}@{os.uname().nodename}",
                "ansible": ansible_version, "check": bool(context.CLIARGS.get("check")), "limit": str(context.CLIARGS.get("subset") or ""),
            })
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts)
        self._add({"event": "play", "name": play.get_name(), "hosts": [host.name for host in hosts], "domains": _domains(play, manager, hosts)})
        if self._file is None:
            self.set_options(var_options=manager.get_vars(play=play))

    @_guarded
    def v2_runner_on_start(self, host, task):
        self._starts[host.name, task._uuid] = time.monotonic()

    @_guarded
    def v2_runner_on_ok(self, result):
        self._ended(result, "ok")

    @_guarded
    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._ended(result, "failed", bool(ignore_errors))

    @_guarded
    def v2_runner_on_unreachable(self, result):
        self._ended(result, "unreachable", bool(_task(result).ignore_unreachable))

    @_guarded
    def v2_runner_on_skipped(self, result):
        self._took(result)

    @_guarded
    def v2_playbook_on_stats(self, stats):
        if self._file is None:
            return
        hosts = {name: stats.summarize(name) for name in sorted(stats.processed)}
        self._add({"event": "end", "hosts": {name: _counts(stats.summarize(name)) for name in sorted(stats.processed)}})
        self._events[-1]["totals"] = totals(story(self._events))
        self._write()
        path = self._file.path.with_suffix(".html")
        write_page(path, page(story(self._events), self._file.path.name, self._file.digest()))
        self._file.close()
        self._display.display(f"\nreport of this run: {path}")

    def _ended(self, result, status, ignored=False):
        task, took = _task(result), self._took(result)
        role = task._role.get_name() if task._role else ""
        name = task.get_name().removeprefix(f"{role} : ")
        seen = report_events.Task(name, task.resolved_action or task.action, role, bool(task.check_mode), _plain(task.args.get("state")))
        host = (getattr(result, "host", None) or result._host).name
        content = getattr(result, "result", None)
        steps = report_events.steps(host, seen, status, result._result if content is None else content, took, ignored)
        self._add(*steps)
        if self._file is None and report_events.is_ours(seen):
            self._file = EventsFile(self.get_option("folder"), self._events[0]["run"])
        if self._file is not None and steps:
            self._write()

    def _took(self, result):
        """Seconds since the task began on the host; None when that was not told."""
        began = self._starts.pop(((getattr(result, "host", None) or result._host).name, _task(result)._uuid), None)
        return None if began is None else round(time.monotonic() - began, 3)

    def _add(self, *events):
        for event in events:
            now = time.time()
            at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"
            self._events.append({"n": len(self._events), "t": round(time.monotonic() - self._began, 3), "at": at, **event})

    def _write(self):
        self._file.write(self._events[self._written:])
        self._written = len(self._events)


def _counts(one):
    return {"failed": one["failures"], **{key: one[key] for key in ("unreachable", "ok", "changed", "rescued", "ignored")}}


def _task(result):
    return getattr(result, "task", None) or result._task


def _plain(value):
    """A text that is not a template; else empty."""
    return str(value) if isinstance(value, str) and "{{" not in value else ""


def _user():
    try:
        return Path("~").expanduser().owner()
    except (KeyError, OSError, RuntimeError):
        return str(os.getuid())


def _domains(play, manager, hosts):
    """The update domains of the hosts that have one, in the order in which they are updated; none when there is no order."""
    values, order = {}, None
    for host in hosts:
        variables = manager.get_vars(play=play, host=host)
        templar = Templar(loader=play.get_loader(), variables=variables)
        value = templar.template(variables.get("update_domain"))
        if value is not None:
            values[host.name] = value
            order = templar.template(variables.get("update_domain_order"))
    try:
        found = update_domains.order_domains(update_domains.group_hosts(values), order)
    except update_domains.UpdateDomainError:
        return []  # the strategy says why
    return [{"name": domain.name, "hosts": list(domain.hosts)} for domain in found]
