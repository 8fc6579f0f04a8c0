# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done on one host: which technique, whether there is anything to apply, what happens to which guest. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .host_stop import may_be_stopped
from .techniques import AUTO, BY_NAME, strongest

Result = t.Mapping[str, t.Any]


def host_decision(
    technique: str,
    update: Result | None = None,
    something_to_do: bool = True,
    due: bool = False,
    guests: t.Sequence[Result] = (),
    names: t.Sequence[str] = (),
    exclude: t.Sequence[str] = (),
    chosen: t.Sequence[str] | None = None,
    stop: t.Sequence[str] = (),
    stop_chosen: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """The decision on one host.

    :param technique: What the operator asks for: `auto`, or a technique by name.
    :param update: What host_update_info returned; `None` when the update is not given as packages.
    :param something_to_do: Of commands and tasks, whether there is something to do.
    :param due: The host is still to be rebooted for an earlier update.
    :param guests: The active guests, as guest_info returned them.
    :param names: Names or UUIDs of the guests that the update is about; empty for all.
    :param exclude: Names or UUIDs of guests that are left alone.
    :param chosen: UUIDs of the guests for which the operator's condition holds; `None` without a condition.
    :param stop: Names or UUIDs of the guests that may be shut down where they cannot be kept.
    :param stop_chosen: UUIDs of the guests for which the operator's condition for that holds.
    :returns: `technique`; `applies`, there is something to apply; `needed`, there is something to do at all; `pauses`, guests are paused while it is applied;
        `holds`, packages are applied before with restarts held back, and `restarts_in_pause` says which of these wait for the pause; `whole`, packages are
        applied whole while the guests are paused; `refreshes`, guests that run replaced code are moved at the end; `reboots`; `kernel_pinned`, the boot
        loader prefers an older kernel; `exclude`, what the modules have to leave alone; `left_out`, names of active guests among them; `left_alone`, UUIDs of
        the guests that are not moved whatever they run on; `stale`, names of the guests that run replaced code and are not left alone; `moved`, UUIDs of the
        guests that would be moved; `may_stop`, UUIDs of those that may be shut down where they cannot be kept.
    """
    automatic = technique == AUTO
    pending = [] if update is None else update["pending"]
    needs = [change["technique"] for change in pending]
    applies = bool(pending) if update is not None else something_to_do
    if automatic:
        unless_needed = "live" if update is not None else "pause"
        technique = strongest([*(["reboot"] if due else []), *(needs if update is not None else [unless_needed])]) or unless_needed
    row = BY_NAME[technique]
    # Also when what is strongest in it is something else: commands and tasks before a reboot, and packages of which some need it.
    parts = [technique, *(needs if update is not None else ["pause"])] if automatic else [technique]
    outside, restarts_due, waiting = ([], False, False) if update is None else (
        update["outside"], update["restarts_due"], any(one["in_pause"] for one in update["restarts"]),
    )
    pauses = (applies and any(BY_NAME[part].pauses for part in parts)) or (restarts_due and (row.pauses or (automatic and waiting)))
    refreshes = row.moves or (automatic and update is not None and not row.reboots)

    excluded = [*exclude, *([] if chosen is None else [guest["uuid"] for guest in guests if guest["uuid"] not in chosen])]
    left_out = [guest for guest in guests if _named(guest, excluded)]
    alone = {guest["uuid"] for guest in guests if _left_alone(guest, names, excluded)}
    old = [] if update is None else [guest for guest in update["stale"]["guests"] if guest["uuid"] not in alone]
    return {
        "technique": technique,
        "applies": applies,
        "needed": applies or restarts_due or (row.reboots and due) or (refreshes and bool(old)),
        "pauses": pauses,
        "holds": bool(outside) or restarts_due,
        "restarts_in_pause": "none" if not pauses else "needed" if automatic else "all",
        "whole": update is not None and applies and pauses and (not outside or any(change["in_pause"] == "package" for change in pending)),
        "refreshes": refreshes,
        "reboots": row.reboots,
        "kernel_pinned": update is not None and update["stale"]["kernel"]["pinned"],
        "exclude": excluded,
        "left_out": [guest["name"] for guest in left_out],
        "left_alone": sorted(alone),
        "stale": [guest["name"] for guest in old],
        "moved": _moved(guests, alone, update, old) if refreshes else [],
        "may_stop": [guest["uuid"] for guest in guests if may_be_stopped(guest, stop, stop_chosen) and not _named(guest, excluded)],
    }


def _named(guest: Result, names: t.Container[str]) -> bool:
    return guest["name"] in names or guest["uuid"] in names


def _left_alone(guest: Result, names: t.Sequence[str], excluded: t.Sequence[str]) -> bool:
    """Whether a guest is not to be moved: the operator or its owner says so. A guest that the operator names is, whatever its owner says."""
    if _named(guest, excluded) or (names and not _named(guest, names)):
        return True
    return not names and any(blocker["code"] == "opted_out" for blocker in guest["blockers"]["pause"])


def _moved(guests: t.Sequence[Result], alone: t.Container[str], update: Result | None, old: t.Sequence[Result]) -> list[str]:
    """The guests that would be moved: those that run replaced code already, or code that the update is going to replace.

    What commands and tasks replace is not known, so it may be any.
    """
    movable = [guest for guest in guests if guest["uuid"] not in alone]
    if update is None:
        return [guest["uuid"] for guest in movable]
    using = {guest["uuid"] for guest in old} | {name for change in update["pending"] for name in change["guests"]}
    return [guest["uuid"] for guest in movable if _named(guest, using)]
