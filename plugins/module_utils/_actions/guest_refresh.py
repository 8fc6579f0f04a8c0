# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the guests of a host to the QEMU that is installed: what guest_refresh does."""
from __future__ import annotations

import os
import threading
import time
import typing as t

from .. import _launch
from .._clock.due import PATIENCE, DueClocks
from .._clock.wish import check_tolerance, checked_targets
from .._core.calls import Call, call_with_timeout, run_lanes
from .._core.errors import LedgerError, MaintenanceError
from .._core.places import SYSTEM_URI, Places, places
from .._core.states import Blocker
from .._pause.ledger import Ledger
from .._pause.limits import check_wait
from .._pause.record import MAX_PAUSE_LIMIT
from .._pause.window import refuse_open
from .._saved import quiesce, transfer
from .._saved.in_place import gathering
from .._saved.in_place import memory as in_place
from .._saved.ledger import SavedLedger
from .._saved.leftovers import forget as forget_proof
from .._saved.opening import begin, entry, forget_marks, refuse_blocked
from .._saved.ownership import REFUSE, Owners, refuse_container
from .._saved.plan import LOOK_TIMEOUT, Plan, copy_speed, keep_ways_back, look, prepare, room_in
from .._saved.proof import prove
from .._saved.record import REFRESH, SavedGuest, SavedTogether
from .._saved.room import affordable, no_room
from .._saved.rules import Letting, late_way_back, longest_save, predicted_copy, predicted_in_place, predicted_way_back, worth_gathering
from .._saved.unfinished import refuse_unfinished
from .._saved.way_back import tidy
from .._system.guests import preflight, select, wait_for_jobs
from .._system.hypervisor import Connection, describe
from .._system.package_lock import LOCK_PATIENCE, package_lock

#: What `on_blocked` can be: what is done with a guest that cannot be moved.
REFUSE_ALL, SKIP = ON_BLOCKED = ("refuse", "skip")
#: Where images go: RAM of the host.
DEFAULT_FOLDER = "/dev/shm/vm_preserving"


def plan_refresh(params: t.Mapping[str, t.Any], where: Places) -> tuple[list[Plan], int]:
    """Judge the guests without touching any.

    :returns: A plan for each guest, and how many may be moved at once.
    :raises MaintenanceError: libvirt cannot be reached, or a guest does not exist.
    """
    connection = Connection(params["uri"])
    chosen = select(connection.running(), connection.inactive_names(), params["name"])
    candidates = preflight([guest for guest in chosen if not {guest.name, guest.uuid} & set(params["exclude"])], where)
    owners = Owners() if params["managed_guests"] == REFUSE else None
    plans: list[Plan] = []
    for candidate in candidates:
        try:
            plans.append(call_with_timeout(lambda candidate=candidate: look(
                connection, candidate, params["memory"], owners, quiesced=params["quiesce"]), LOOK_TIMEOUT))
        except Exception as error:  # a guest that cannot be looked at is a blocker
            plans.append(Plan(candidate, stale=True, blockers=[Blocker("no_answer", f"it could not be looked at ({describe(error)})")]))
    # A guest that its owner keeps out of pauses is kept out of this one too, unless it is named.
    for plan in plans:
        if plan.candidate.facts.opted_out and not params["name"]:
            plan.left_alone, plan.stale = "its metadata says that it must not be paused", False
    # Also those that are not stale yet: whoever is about to install another QEMU has to know before.
    movable = [plan for plan in plans if plan.left_alone is None]
    if not movable:
        return plans, params["parallel"]
    folder = params["folder"]
    # The folder may not be there yet (check mode): its file system is.
    there = folder if os.path.isdir(folder) else os.path.dirname(folder)
    # Those first that are copied now: what they grow by counts for the others.
    copies = sorted((plan for plan in movable if plan.memory == "copy"), key=lambda plan: (bool(plan.blockers), not plan.stale))
    copied = copy_speed(there) if copies else 1.0
    letting = gathering.letting() if len(copies) < len(movable) else Letting(1.0, None)
    width, without = affordable([plan.need for plan in copies], room_in(there), params["parallel"])
    for index, left in without.items():
        copies[index].blockers.append(Blocker("host_memory", no_room(copies[index].need, left)))
    for plan in movable:
        if plan.memory == "in_place":
            plan.letting = letting
            plan.gathers = worth_gathering(plan.ordinary, plan.whole, letting)
            plan.predicted = plan.back = predicted_in_place(plan.ordinary, plan.whole if plan.gathers else 0, letting)
        else:
            # Copies that go on at once share the host's memory bandwidth.
            plan.predicted = predicted_copy(plan.need, copied / max(1, width))
            plan.back = predicted_way_back(plan.need, copied / max(1, width))
        plan.predicted += plan.confinement + (quiesce.TAKES if plan.quiesce else 0.0)
        plan.back += plan.confinement
        plan.no_way_back = plan.no_way_back or late_way_back(plan.predicted, plan.back, params["pause_limit"])
        late = _late(plan, params["pause_limit"])
        plan.blockers += [] if late is None else [Blocker("pause_limit", late)]
    return plans, max(1, width)


def _late(plan: Plan, limit: float) -> str | None:
    """Why a guest would be away for too long, or `None` when it would not."""
    return f"it would be away for about {plan.predicted:.1f} s, more than the pause limit of {limit:g} s" if plan.predicted > limit else None


def _why_not(plan: Plan) -> str:
    if plan.left_alone:
        return f"left as it is: {plan.left_alone}"
    return f"left on its old QEMU: {', '.join(one.message for one in plan.blockers)}" if plan.skipped else ""


def _described(plan: Plan, move: SavedGuest | None) -> dict[str, t.Any]:
    guest = plan.candidate.guest
    found: dict[str, t.Any] = {
        "name": guest.name, "uuid": guest.uuid, "stale": plan.stale, "memory": plan.memory, "why_copy": plan.why_copy,
        "predicted": round(plan.predicted, 3), "blockers": [one.as_dict() for one in plan.blockers] if plan.left_alone is None else [],
        "live_xml_additions": [], "changed": False, "skipped": plan.skipped, "no_way_back": plan.no_way_back, "outcome": None, "paused_for": None,
        "gathered": plan.gathered,
        "message": _why_not(plan), "clock": None, "files": plan.files(),
        "quiesce": plan.quiesce,
    }
    if move is not None:
        found.update(
            changed=move.outcome == "restored", outcome=move.outcome, message=move.message, clock=move.clock,
            paused_for=None if move.paused_for is None else round(move.paused_for, 4),
        )
        if move.memory == "in_place" and move.outcome in ("restored", "returned"):
            found["live_xml_additions"] = list(in_place.additions(in_place.meeting_of(move.uuid)))
    return found


def _check(params: t.Mapping[str, t.Any]) -> None:
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"guests can be refreshed at {SYSTEM_URI} only; no guest was touched", "uri")
    if not 1 <= params["pause_limit"] <= MAX_PAUSE_LIMIT:
        raise MaintenanceError(f"pause_limit is {params['pause_limit']:g} s, it must be from 1 to {MAX_PAUSE_LIMIT:g} s; no guest was touched", "limit")
    check_tolerance("clock_tolerance", params["clock_tolerance"])
    check_wait(params["wait_for_jobs"])
    if not 1 <= params["parallel"] <= 64:
        raise MaintenanceError(f"parallel is {params['parallel']}, it must be from 1 to 64; no guest was touched", "limit")
    if not os.path.isabs(params["folder"]) or os.path.normpath(params["folder"]) in ("/", "/dev/shm", "/tmp"):
        raise MaintenanceError(f"folder is {params['folder']!r}, it must be an absolute path of a folder of our own; no guest was touched", "folder")


def _move(refresh: SavedTogether, move: SavedGuest, plan: Plan, save_limit: float) -> None:
    """Move one guest. The entry says how it ended; unsettled, it is left to the guard."""
    guest = plan.candidate.guest
    try:
        if move.memory == "in_place":
            transfer.keep_memory_in_place(guest, move)
        move.began_at = time.monotonic()
        transfer.save(guest, move, save_limit, plan.formats)
    except Exception as error:  # MaintenanceError says it; anything else is libvirt's
        if not isinstance(error, MaintenanceError) or error.code != "unknown":
            move.settle("untouched", describe(error))
        else:
            move.message = str(error)
        return
    for number in range(transfer.TRIES):
        if number:
            time.sleep(transfer.BETWEEN)
        try:
            # A connection of its own: one guest's restore must not wait for another's.
            connection = Connection(refresh.uri)
            transfer.bring_back(connection, refresh, move)
        except Exception as error:  # tried again, then left to the guard
            move.message = f"it could not be restored ({describe(error)})"
        if move.settled:
            return


def refresh_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_refresh.

    :param params: The module's parameters.
    :param check_mode: Judge everything and touch nothing.
    :returns: `changed`, `parallel` and `guests` and, when a guest could not be moved, `failed_because`.
    :raises MaintenanceError: Refused: nothing was touched.
    """
    _check(params)
    targets = checked_targets(params["target_offsets"])
    refuse_container()
    where = places(params["uri"])
    ledger = Ledger(where)
    if check_mode:
        refuse_open(ledger.read())
        refuse_unfinished(where)
        plans, width = _admitted(params, where)
        return {"changed": any(plan.stale and not plan.skipped for plan in plans), **_planned(params, plans, width)}
    ledger.prepare()
    # Before the lock: somebody who has to heal this host must not wait for a backup.
    wait_for_jobs(params["uri"], params["name"], params["exclude"], params["wait_for_jobs"])
    # What a guest is restored on must not be replaced in the middle of it.
    with package_lock(LOCK_PATIENCE), ledger.locked(5.0):
        refuse_open(ledger.read())
        refuse_unfinished(where)
        forget_proof(params["uri"], where)
        plans, width = _admitted(params, where)
        prove(params["uri"], where, [plan for plan in plans if plan.stale and not plan.skipped])
        _refuse(params, plans)
        moving = [plan for plan in plans if plan.stale and not plan.skipped]
        if not moving:
            return {"changed": False, **_planned(params, plans, width)}
        prepare(params["folder"])
        keep_ways_back(Connection(params["uri"]), moving)
        entries = [entry(plan, os.path.join(params["folder"], f"{plan.candidate.guest.uuid}.save"), targets) for plan in moving]
        refresh, _armed = begin(where, params, REFRESH, list(zip(moving, entries)), _launch.arm_saved)
        clocks = DueClocks(refresh)
        _move_all(refresh, moving, width, params["pause_limit"], clocks)
        return _closed(refresh, where, plans, width, clocks)


def _planned(params: t.Mapping[str, t.Any], plans: t.Sequence[Plan], width: int) -> dict[str, t.Any]:
    return {"parallel": width, "pause_limit": params["pause_limit"], "guests": [_described(plan, None) for plan in plans]}


def _admitted(params: t.Mapping[str, t.Any], where: Places) -> tuple[list[Plan], int]:
    plans, width = plan_refresh(params, where)
    _refuse(params, plans)
    return plans, width


def _refuse(params: t.Mapping[str, t.Any], plans: t.Sequence[Plan]) -> None:
    """Refuse when a guest cannot be moved, or leave it where it is, as the operator wants it."""
    blocked = [plan for plan in plans if plan.stale and plan.blockers]
    if params["on_blocked"] == SKIP:
        for plan in blocked:
            plan.skipped = True
    else:
        refuse_blocked(blocked, [_described(plan, None) for plan in plans])


def _move_all(refresh: SavedTogether, moving: t.Sequence[Plan], width: int, limit: float, clocks: DueClocks) -> None:
    """Move the guests, so many at once. After the first that fails no further one is started."""
    failed = threading.Event()
    ledger = SavedLedger(places(refresh.uri))
    writing = threading.Lock()

    def one(plan: Plan, move: SavedGuest) -> None:
        if failed.is_set():
            move.settle("untouched", "it was not started, because another guest failed")
            return
        if plan.gathers:
            plan.gather()
            late = _late(plan, limit)
            if late is not None:
                move.settle("untouched", f"{late}: the host had too few free pages of 2 MiB for its memory")
                failed.set()
                return
        move.phase, move.began_at = "moving", time.monotonic()
        try:
            with writing:
                ledger.write(refresh)
        except LedgerError as error:
            # Should we die, nothing would know of it.
            move.settle("untouched", f"it was not started, because {error.problem}")
            failed.set()
            return
        _move(refresh, move, plan, longest_save(plan.predicted, plan.back if plan.way_back else 0.0, limit))
        if move in refresh.clocks_due:
            clocks.runs_again(move, refresh.back_at(move) or time.monotonic())
        if move.outcome != "restored":
            failed.set()
        with writing:
            ledger.write(refresh)

    calls = [Call(lambda plan=plan, move=move: one(plan, move)) for plan, move in zip(moving, refresh.guests)]
    each = limit + transfer.ABORT_TIMEOUT + 60 + (gathering.LIMIT if any(plan.gathers for plan in moving) else 0.0)
    run_lanes([calls], width, each * len(calls))


def _closed(refresh: SavedTogether, where: Places, plans: t.Sequence[Plan], width: int, clocks: DueClocks) -> dict[str, t.Any]:
    moves = {move.uuid: move for move in refresh.guests}
    failed = [move for move in refresh.guests if move.outcome != "restored"]
    warnings: list[str] = []
    if not refresh.unsettled():
        # The ledger says by now that they are back.
        forget_marks(refresh)
        try:
            transfer.close(SavedLedger(where), refresh, "module")
        except LedgerError as error:
            warnings.append(f"{error.problem}; every guest is back, and the guard on the host closes the record")
        else:
            _removed, problem = tidy(refresh.uri)
            warnings += [problem] if problem else []
    try:
        clocks.settle(refresh, PATIENCE, SavedLedger(where).write)
    except LedgerError as error:
        warnings.append(f"what became of the clocks is not in the ledger: {error.problem}")
    result: dict[str, t.Any] = {
        "changed": any(move.outcome == "restored" for move in refresh.guests), "parallel": width, "pause_limit": refresh.pause_limit,
        "guests": [_described(plan, moves.get(plan.candidate.guest.uuid)) for plan in plans], "warnings": warnings,
    }
    if failed:
        rows = "; ".join(f"guest {move.name!r}: {move.message}" for move in failed)
        saved = [move.name for move in refresh.unsettled()]
        rest = (
            f"Saved and not back yet: {', '.join(saved)}; the guard on the host goes on trying (journalctl -u 'vm-preserving-saved-*'), and recover.yml does"
            if saved else "Every guest runs"
        )
        result["failed_because"] = ("refresh", f"not every guest could be moved to the installed QEMU: {rows}. {rest}")
    return result
