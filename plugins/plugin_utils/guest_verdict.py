# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of one guest while its host was updated: whether its memory was kept, and what is a problem. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .ours import stage

Result = t.Mapping[str, t.Any]

#: libvirt's reasons of a pause that no owner asks for.
_FAULTY_PAUSES = ("ioerror", "watchdog", "crashed", "postcopy-failed", "api-error", "unknown")
#: libvirt's reasons of an end that no owner asks for, in words.
_FAULTY_ENDS = {"crashed": "its QEMU crashed", "failed": "it could not go on", "daemon": "libvirt ended it when it was started anew itself"}
#: And of one that an owner does ask for.
_OWNERS_ENDS = {
    "shutdown": "it was shut down", "destroyed": "it was destroyed", "migrated": "it was migrated to another host", "saved": "it was saved",
    "from-snapshot": "it was put back to a snapshot",
}


def memory_verdict(before: Result | None, after: Result | None, restored: bool = False) -> str:
    """Whether a guest's memory was kept.

    :param before: The guest as guest_info returned it before the update.
    :param after: The same afterwards.
    :param restored: It was saved and restored in between: another process is what was wanted.
    :returns: `kept`: the guest itself says that it was not rebooted, and its QEMU is the same process or it was restored. `same_process`, `restored`:
        the same QEMU process, or restored; the guest cannot be asked. `unknown`: libvirt gave no answer about it. `lost`: another process, another boot,
        or gone.
    """
    if before is None or after is None:
        return "lost"
    if before.get("process") is None or after.get("process") is None:
        return "unknown"
    if not restored and not _same_process(before, after):
        return "lost"
    if before.get("boot_id") is None or after.get("boot_id") is None:
        return "restored" if restored else "same_process"
    return "kept" if before["boot_id"] == after["boot_id"] else "lost"


def _same_process(before: Result, after: Result) -> bool:
    return before["process"] == after["process"] and before["id"] == after["id"]


def _in_our_hands(guest: Result, record: Result, ended: str | None) -> str:
    """What happened to a guest between our pause and the resume."""
    name = guest["name"]
    if record["outcome"] != "gone":
        return f"guest {name!r} was not ours any more when it should have been resumed: {record.get('message') or 'somebody else has taken it over'}"
    if ended in _OWNERS_ENDS:
        return f"guest {name!r} left while it was paused by us, by its owner's act: {_OWNERS_ENDS[ended]}"
    why = _FAULTY_ENDS.get(ended or "", "why is not known, see libvirt's log of it on the host")
    return f"guest {name!r} has ended while it was paused by us, and its memory is lost: {why}"


def _since(guest: Result, before: Result, after: Result | None, whose: str, ended: str | None) -> tuple[str, bool] | None:
    """What happened to a guest in its owner's hands, and whether it is something that no owner does; `None` when nothing did.

    :param whose: How it came that it is in its owner's hands, in words.
    :param ended: libvirt's reason of its end, where it is known.
    """
    name = guest["name"]
    if after is None:
        if ended in _FAULTY_ENDS:
            return f"guest {name!r}, {whose}, has ended, and not by its owner: {_FAULTY_ENDS[ended]}", True
        return f"guest {name!r}, {whose}, runs no more: {_OWNERS_ENDS.get(ended or '', 'it was ended')}", False
    if guest["memory"] == "unknown":
        # One of which libvirt said nothing before, either, was so before us.
        known = before.get("process") is not None
        return f"libvirt gave no answer about guest {name!r} (state {guest['state']}), so nothing is proved of it; look at it on the host", known
    if guest["state"] == "paused" and guest["state_before"] != "paused" and guest["reason"] in _FAULTY_PAUSES:
        return f"guest {name!r}, {whose}, is now paused ({guest['reason']}); look at it on the host", True
    if guest["state"] == "crashed":
        return f"guest {name!r}, {whose}, has crashed; look at it on the host", True
    if guest["memory"] == "lost":
        how = "was rebooted or reset" if guest["restored"] or _same_process(before, after) else "was ended and started anew"
        # A pause cannot do that to a guest. Another QEMU can: who did it is not to be known, so the rollout does not go on over it.
        doubt = ", by its owner or because the QEMU that it was moved to does not suit it; look at its console" if guest["restored"] else ""
        return f"guest {name!r}, {whose}, {how}{doubt}", bool(guest["restored"])
    if guest["state"] != guest["state_before"]:
        return f"guest {name!r}, {whose}, is now {guest['state']} ({guest['reason']})", False
    return None


def verdict(guest: Result, before: Result, after: Result | None, record: Result | None, ended: str | None) -> tuple[str, bool] | None:
    """What happened to a guest other than what we did to it, and whether it is a problem; `None` when nothing did.

    In our hands everything is. What an owner does with a guest that was not ours, or not any more, is that owner's affair, and only noted.

    :param guest: The guest of the report.
    :param before: The guest as guest_info returned it before the update.
    :param after: The same afterwards, `None` when it does not run any more.
    :param record: What the last module that paused or saved it returned; `None` when none did.
    :param ended: libvirt's reason why it does not run any more, where that is known.
    """
    held = stage(record)
    if held == "lost" and record is not None:
        return _in_our_hands(guest, record, ended), True
    return _since(guest, before, after, "which was given back" if held == "given_back" else "which was not ours", ended)
