# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the result of a task goes into the events of a report. Pure; knows no Ansible.

Only what is named here is taken, each value only when it is of its type: a host may answer anything. Output of commands, arguments of modules that are
not named, and whatever `no_log` hides do not get into a report.
"""
from __future__ import annotations

import math
import typing as t

#: The version of the events. A reader refuses any other.
FORMAT = 1
#: Characters of one text that are kept.
LONGEST_TEXT = 4000
#: Members of one list that are kept; a host has fewer guests.
LONGEST_LIST = 10000

TEXT, NUMBER, FLAG = "text", "number", "flag"
Shape = t.Any

_FAULT: Shape = {"code": TEXT, "message": TEXT}
_OFFSET: Shape = {"offset": NUMBER, "bound": NUMBER}
_CLOCK: Shape = {"verdict": TEXT, "before": _OFFSET, "after": _OFFSET, "changed": FLAG, "set_after": NUMBER, "reference": TEXT, "error": _FAULT}
_INTERRUPTED: Shape = {
    "name": TEXT, "uuid": TEXT, "changed": FLAG, "outcome": TEXT, "message": TEXT, "paused_for": NUMBER, "resumed_by": TEXT, "ended": TEXT, "was_paused": FLAG,
    "problem": TEXT, "clock": _CLOCK, "memory": TEXT, "why_copy": TEXT, "predicted": NUMBER, "no_way_back": TEXT, "quiesce": FLAG, "skipped": FLAG,
    "blockers": [_FAULT], "error": _FAULT,
}
_STOPPED: Shape = {
    "name": TEXT, "uuid": TEXT, "changed": FLAG, "outcome": TEXT, "message": TEXT, "forced": FLAG, "away_for": NUMBER, "agent": TEXT, "blockers": [_FAULT],
}
_WINDOW: Shape = {
    "id": TEXT, "open": FLAG, "opened_at": TEXT, "opened_by": TEXT, "closed_at": TEXT, "closed_by": TEXT, "pause_limit": NUMBER, "paused_within": NUMBER,
    "resumed_within": NUMBER, "guests": [{"uuid": TEXT, "clock_target": NUMBER}],
}
_NOTICE: Shape = {
    "id": TEXT, "guest": TEXT, "name": TEXT, "host": TEXT, "type": TEXT, "status": TEXT, "not_before": NUMBER, "notice": NUMBER, "given": NUMBER,
    "duration": NUMBER, "approved": FLAG, "approved_by": TEXT, "approved_at": NUMBER, "availability_set": TEXT, "due": FLAG,
}
_PENDING: Shape = {"name": TEXT, "installed": TEXT, "candidate": TEXT, "technique": TEXT, "reason": TEXT, "in_pause": TEXT}
_RESTART: Shape = {"unit": TEXT, "action": TEXT, "packages": [TEXT], "in_pause": FLAG}
_COMMAND: Shape = {"argv": [TEXT], "state": TEXT, "rc": NUMBER, "seconds": NUMBER, "message": TEXT}

#: By module of this collection, what of its result is kept.
RESULTS: dict[str, Shape] = {
    "guest_pause": {"window": _WINDOW, "guests": [_INTERRUPTED]},
    "guest_resume": {"window": _WINDOW, "guests": [_INTERRUPTED]},
    "preserved_command": {"window": _WINDOW, "guests": [_INTERRUPTED], "commands": [_COMMAND], "deadline_missed": FLAG},
    "guest_refresh": {"pause_limit": NUMBER, "parallel": NUMBER, "guests": [_INTERRUPTED]},
    "guest_save": {"reboot_time": NUMBER, "guests": [_INTERRUPTED]},
    "guest_restore": {"pause_limit": NUMBER, "rebooted": FLAG, "reboot_took": NUMBER, "guests": [_INTERRUPTED]},
    "guest_stop": {"guests": [_STOPPED]},
    "guest_start": {"guests": [_STOPPED]},
    "guest_clock": {
        "guests": [{"name": TEXT, "uuid": TEXT, "before": _OFFSET, "after": _OFFSET, "target": NUMBER, "verdict": TEXT, "changed": FLAG, "error": _FAULT}],
        "reference": TEXT, "host_clock": {"synchronized": FLAG, "max_error": NUMBER},
    },
    "guest_info": {},
    "guest_way_back": {},
    "host_update_apply": {"command": {"rc": NUMBER, "seconds": NUMBER}, "restarts": [_RESTART], "problems": [TEXT]},
    "host_update_files": {},
    "host_update_info": {},
    "host_rollout": {"had": FLAG},
    "rollout_journal": {"rollout": TEXT, "carried_on": FLAG},
    "scheduled_event": {"events": [_NOTICE], "due": FLAG, "all_approved": FLAG},
    "scheduled_event_info": {"installed": FLAG},
}
#: Of the options with which a module says that it ran. Ansible has taken out what is secret.
OPTIONS: Shape = {"tolerance": NUMBER, "clock_tolerance": NUMBER, "pause_limit": NUMBER, "correct": FLAG}
#: By fact of the role host_update.
FACTS: dict[str, Shape] = {
    "host_update_plan": {
        "technique": TEXT, "pending": [_PENDING], "restarts": {"in_pause": [TEXT], "live": [TEXT]}, "lines": [TEXT],
        "guests": [{
            "name": TEXT, "uuid": TEXT, "stop": TEXT, "pause": NUMBER, "away": NUMBER, "memory": TEXT, "no_way_back": TEXT, "left_alone": TEXT,
        }],
    },
    "host_update_report": {
        "update_domain": TEXT, "updated": FLAG, "pause_limit": NUMBER, "pending": [_PENDING], "restarts": [_RESTART],
        "untold": [{"name": TEXT, "why": TEXT}], "problems": [TEXT], "notes": [TEXT], "summary": TEXT,
        "guests": [{
            "name": TEXT, "uuid": TEXT, "state_before": TEXT, "state": TEXT, "reason": TEXT, "paused": FLAG, "paused_for": NUMBER, "resumed_by": TEXT,
            "stopped_for": NUMBER, "pauses": [{"kind": TEXT, "paused_for": NUMBER, "limit": NUMBER, "resumed_by": TEXT}], "clock_before_pause": _OFFSET,
            "clock_after_pause": _OFFSET, "clock_now": _OFFSET, "clock_verdict": TEXT, "clock_set_after": NUMBER, "restored": FLAG, "memory": TEXT,
        }],
    },
}
PREFIX = "vm_preserving.maintenance."
#: Roles whose tasks are the work on a host.
ROLES = ("host_update", "rollout", "time_check")
#: Modules of which a report is made also outside of these roles.
INTERRUPT = ("guest_pause", "guest_resume", "preserved_command", "guest_refresh", "guest_save", "guest_restore")
#: Seconds from which on a task of these roles is shown although it says nothing of guests.
LONG = 1.0


def taken(value: t.Any, shape: Shape) -> t.Any:
    """What of a value is of this shape; `None` where it is of another type, and without the keys that the shape does not have."""
    if isinstance(shape, dict):
        return {key: taken(value[key], shape[key]) for key in shape if key in value} if isinstance(value, t.Mapping) else None
    if isinstance(shape, list):
        return [taken(one, shape[0]) for one in value[:LONGEST_LIST]] if isinstance(value, (list, tuple)) else None
    if shape == FLAG:
        return bool(value) if isinstance(value, bool) else None
    if shape == NUMBER:
        return _number(value)
    return _text(value)


def _number(value: t.Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e12:
        return None
    return (float(value) if math.isfinite(value) else None) if isinstance(value, float) else int(value)


def _text(value: t.Any) -> str | None:
    # str(): ansible-core has subclasses that carry where a text comes from. A number is a text where an inventory has one.
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    return text if text is None or len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " (cut off)"


class Task(t.NamedTuple):
    """A task as the callback sees it.

    :ivar name: Its name.
    :ivar action: Its module by its full name.
    :ivar role: The role that it is of by its full name, or empty.
    :ivar check: It ran in check mode.
    :ivar state: Its option `state`, where that is a plain text.
    """

    name: str
    action: str
    role: str = ""
    check: bool = False
    state: str = ""


def is_ours(task: Task) -> bool:
    """Whether a task is a part of an update of hosts: then a report is made of the run."""
    return _module(task) in INTERRUPT or _role(task) in ("host_update", "rollout")


def _module(task: Task) -> str:
    return task.action[len(PREFIX):] if task.action.startswith(PREFIX) else ""


def _role(task: Task) -> str:
    return task.role[len(PREFIX):] if task.role.startswith(PREFIX) else ""


def steps(host: str, task: Task, status: str, result: t.Mapping[str, t.Any], took: float | None, ignored: bool = False) -> list[dict[str, t.Any]]:
    """The events of a task that has ended on a host; none when nothing of it is worth being kept.

    :param status: `ok`, `failed` or `unreachable`.
    :param result: What it returned, as callbacks get it; a loop has one for each item in `results`.
    :param took: Seconds that it took, by the controller's clock; `None` when not known.
    :param ignored: The play goes on with this host although it failed or was unreachable.
    """
    items = [one for one in result.get("results", []) if isinstance(one, t.Mapping)] if isinstance(result.get("results"), list) else []
    found = [_step(host, task, status, one, ignored) for one in items or [result]]
    kept = [one for one in found if _is_kept(one, task, took)]
    return [{**one, "took": _number(took)} for one in kept]


def _step(host: str, task: Task, status: str, result: t.Mapping[str, t.Any], ignored: bool) -> dict[str, t.Any]:
    module = _module(task)
    event: dict[str, t.Any] = {
        "event": "step", "host": _text(host), "task": _text(task.name), "action": _text(task.action), "role": _role(task), "state": _text(task.state),
        "check": task.check, "status": status, "ignored": ignored, "changed": result.get("changed") is True,
    }
    if "censored" in result:
        return {**event, "withheld": True}
    if status == "failed" and result.get("failed") is not True and "msg" not in result:
        event["status"] = "ok"  # an item of a loop in which another has failed
    if event["status"] != "ok":
        event["message"] = _text(result.get("msg")) or "no reason was given"
        event["error"] = taken(result.get("error"), _FAULT)
    if RESULTS.get(module):
        event["result"] = taken(result, RESULTS[module])
        event["options"] = taken((result.get("invocation") or {}).get("module_args"), OPTIONS) if isinstance(result.get("invocation"), t.Mapping) else None
    facts = result.get("ansible_facts")
    if isinstance(facts, t.Mapping):
        event.update({name.replace("host_update_", ""): taken(facts[name], shape) for name, shape in FACTS.items() if name in facts})
    return event


def _is_kept(event: t.Mapping[str, t.Any], task: Task, took: float | None) -> bool:
    if event["status"] != "ok" or "plan" in event or "report" in event:
        return True
    if _module(task):
        return True
    # Of the rest, what changes a host, and what one waits for.
    ours = event["role"] in ROLES
    return ours and ((event["changed"] and not task.check) or (took or 0.0) >= LONG)
