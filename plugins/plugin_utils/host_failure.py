# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the role host_update refuses a host, or fails on it, in sentences for operators. Pure; knows no Ansible."""
from __future__ import annotations

import math
import typing as t

Result = t.Mapping[str, t.Any]

#: timeout(1): it ended the command; it killed the command, and with that itself.
_TIMED_OUT = (124, -9)


def _python(python: Result, oldest: str) -> str:
    found = ".".join(str(part) for part in python["version_info"][:3])
    return (
        f"the Python that Ansible uses on this host is {found} ({python['executable']}), and the modules of this collection need {oldest} or newer. No guest "
        "was touched. Name a newer one with ansible_python_interpreter, and run again"
    )


def _ways(given: t.Mapping[str, t.Any]) -> str:
    found = ", ".join(name for name, value in given.items() if value) or "none"
    return f"give the update as exactly one of {', '.join(list(given)[:-1])} and {list(given)[-1]} (given: {found}). No guest was touched"


def _lists(given: t.Mapping[str, t.Any]) -> str:
    names = ", ".join(name for name, value in given.items() if isinstance(value, str))
    return f"{names} must be a list, not a text, for example [libvirt-daemon-system]. No guest was touched"


def _window(window: Result) -> str:
    return (
        f"a pause window is open since {window['opened_at']} (opened by {window['opened_by']}); its guests run again in {math.ceil(window['seconds_left'])} s "
        "at the latest. No guest was touched by this run. Wait for that run to end and run again"
    )


def _technique(pending: t.Sequence[Result]) -> str:
    needs = "; ".join(f"{one['name']} needs {one['technique']} ({one['reason']})" for one in pending if one["technique"] == "refuse")
    return (
        f"refused, no guest was touched: {needs}. Take it out of this update, or say with host_update_technique or host_update_rules that you know better"
    )


def _duration(duration: float, limit: float) -> str:
    return (
        f"refused, no guest was touched: the update is expected to take {float(duration):g} s (host_update_duration), and a guest may be paused for "
        f"{float(limit):g} s (host_update_pause_limit). Give it less to do, or a longer limit"
    )


def _refresh(guests: t.Sequence[Result]) -> str:
    rows = "; ".join(f"guest {one['name']}: {', '.join(blocker['message'] for blocker in one['blockers'])}" for one in guests)
    return f"refused, no guest was touched: {rows}. Exclude these guests, or move them away first"


def _reboot(names: t.Sequence[str]) -> str:
    return (
        "refused, no guest was touched: the update needs a reboot of the host, which affects every guest, and these are left out: "
        f"{', '.join(names)}. Move them away, or shut them down, first"
    )


def _stage(result: Result) -> str:
    words = [line.strip() for line in [*result.get("stdout_lines", [])[-3:], *result.get("stderr_lines", [])[-5:]]]
    said = "; ".join(word for word in words if word) or " ".join(str(result.get("msg") or "it said nothing").split())
    return f"the packages could not be downloaded, and nothing was applied; no guest was touched: {said}. Repair that and run again"


def _no_events() -> str:
    return (
        "refused, no guest was touched: its guests are to be told ahead (host_update_events: always), and scheduled events are not set up on it. Run the role "
        "scheduled_events on it"
    )


def _unserved() -> str:
    return (
        "refused, no guest was touched: the service that tells its guests of the update does not answer, so they cannot get ready. See on the host systemctl "
        "status vm-preserving-events, or say with host_update_events_unserved that it may go on without"
    )


def _files(lost: t.Sequence[Result], guests: t.Sequence[Result]) -> str:
    rows = []
    for one in lost:
        whose = [f"guest {guest['name']}: {file['what']}" for guest in guests for file in guest["files"] if file["path"] == one["path"]]
        packages = ", ".join(f"{package['name']} {package['candidate'] or '(another package takes its place)'}" for package in one["packages"])
        rows.append(f"{', '.join(dict.fromkeys(whose))}, {one['path']}, is not in {packages} any more")
    return (
        f"refused, nothing was applied and no guest was touched: {'; '.join(rows)}. The next QEMU could not open it, and the guest would stay saved. Leave "
        "these packages out of this update, or give the guest a file that stays"
    )


def _update(result: Result, timeout: float) -> str:
    said = next((one for one in result.get("results") or [result] if one.get("failed")), result)
    code = said.get("rc")
    if code is None:
        how, words = "", [" ".join(str(said.get("msg") or result.get("msg") or "").split())]
    else:
        how = f"it ended with {code}, " + (f"after host_update_command_timeout ({timeout} s), " if code in _TIMED_OUT else "")
        words = [line.strip() for line in [*said.get("stdout_lines", [])[-3:], *said.get("stderr_lines", [])]]
    return (
        "the update failed while the guests ran; no guest was paused, moved or saved for it, and the host may be half updated: "
        f"{how}{'; '.join(word for word in words if word) or 'and said nothing'}. Repair the host and run again"
    )


def _connection(limit: float) -> str:
    return (
        f"the connection was lost while the guests were paused. The guard on the host resumes them within {limit} s of their pause. Whether the update was "
        "applied is not known: look at the host, then run recover.yml and this playbook again"
    )


def _deadline(limit: float) -> str:
    return (
        f"the update outlasts the pause limit of {limit} s. The guard on the host resumed all guests on time, and the last tasks ran with the guests running. "
        "Look at what they did, give a longer host_update_pause_limit or less to do, and run again"
    )


def _away() -> str:
    return (
        "the host does not answer. Its guests are saved on its disk, and it restores them by itself when it boots. Look at its console; then run recover.yml, "
        "which puts their clocks right"
    )


def _not_rebooted() -> str:
    return (
        "the update was applied, and the host was not rebooted. Its guests were saved and are back. See on the host why (journalctl -b), then run again"
    )


KINDS: dict[str, t.Callable[..., str]] = {
    "python": _python, "ways": _ways, "lists": _lists, "window": _window, "technique": _technique, "duration": _duration, "refresh": _refresh,
    "reboot": _reboot, "stage": _stage, "files": _files, "no_events": _no_events, "unserved": _unserved,
    "update": _update, "connection": _connection, "deadline": _deadline, "away": _away,
    "not_rebooted": _not_rebooted,
}


def host_failure(host: str, kind: str, **facts: t.Any) -> str:
    """The sentence.

    :param host: The inventory name of the host.
    :param kind: A key of `KINDS`.
    :param facts: What the sentence of that kind is about.
    """
    return f"{host}: {KINDS[kind](**facts)}."
