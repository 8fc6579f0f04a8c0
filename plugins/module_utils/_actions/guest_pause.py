# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing the guests of a host: what guest_pause does, and what it returns."""
from __future__ import annotations

import dataclasses
import typing as t

from .._clock.wish import check_tolerance, checked_targets
from .._core.errors import MaintenanceError
from .._core.places import Places, places
from .._core.states import LEAVE_ALONE
from .._launch import arm
from .._pause.ledger import Ledger
from .._pause.limits import check_limits, check_wait
from .._pause.record import Entry, Window
from .._pause.window import PauseRequest, is_running, open_window, refuse_open, summary
from .._saved.unfinished import refuse_unfinished
from .._system.guests import Candidate, preflight, select, wait_for_jobs
from .._system.hypervisor import Connection
from .results import guest_record


def pause_request(params: t.Mapping[str, t.Any]) -> PauseRequest:
    """The request in a module's parameters."""
    return PauseRequest(
        params["uri"], tuple(params["name"]), tuple(params["exclude"]), params["pause_limit"], params["pause_budget"], params["fallback"],
        params["correct_clocks"], params["clock_tolerance"], checked_targets(params["target_offsets"]), params["wait_for_jobs"],
    )


def _skipped(candidate: Candidate) -> dict[str, t.Any]:
    state = candidate.facts.state.as_dict()
    why = candidate.blockers[0].message if candidate.blockers else "another guest cannot be paused"
    return guest_record(candidate.guest.name, candidate.guest.uuid, state, state, False, message=f"left as it is: {why}")


def _blocked(candidate: Candidate) -> dict[str, t.Any]:
    state = candidate.facts.state.as_dict()
    return guest_record(
        candidate.guest.name, candidate.guest.uuid, state, state, False,
        error={"code": candidate.blockers[0].code, "message": "; ".join(blocker.message for blocker in candidate.blockers)},
        blockers=[blocker.as_dict() for blocker in candidate.blockers],
    )


def _with_fallback(candidates: t.Sequence[Candidate], fallback: str) -> list[Candidate]:
    """A guest that only libvirt could resume is not paused, unless the operator gives up the guard's second way for it."""
    if fallback != "required":
        return list(candidates)
    return [
        one if one.facts.no_fallback is None or one.blockers else dataclasses.replace(one, blockers=[dataclasses.replace(
            one.facts.no_fallback, message=f"{one.facts.no_fallback.message}. Move it away first, exclude it, or accept that with fallback: preferred",
        )])
        for one in candidates
    ]


def _judge(candidates: t.Sequence[Candidate], named: bool) -> tuple[list[Candidate], list[Candidate]]:
    """Which guests to pause and which to leave alone.

    A guest that does not run, or opted out, is left alone, unless the operator named it: then he expects it to be paused.

    :raises MaintenanceError: code `refused`: a guest that has to be paused cannot be.
    """
    to_pause = [one for one in candidates if not one.blockers]
    left_alone = [one for one in candidates if one.blockers and one.blockers[0].code in LEAVE_ALONE]
    blocked = [one for one in candidates if one.blockers and (named or one not in left_alone)]
    if blocked:
        reasons = "; ".join(
            f"guest {one.guest.name!r}: {', '.join(blocker.message for blocker in one.blockers)}" for one in blocked
        )
        raise MaintenanceError(
            f"refused, no guest was paused: {reasons}", "refused",
            {"guests": [_blocked(one) if one in blocked else _skipped(one) for one in candidates]},
        )
    return to_pause, left_alone


def _paused_result(entry: Entry, after: str = "paused", changed: bool = True) -> dict[str, t.Any]:
    before = {"state": entry.state_before, "reason": entry.reason_before}
    if entry.settled:  # it ended, or its owner stopped it, while we were pausing
        return guest_record(entry.name, entry.uuid, before, before, False, message=entry.message)
    return guest_record(entry.name, entry.uuid, before, {"state": after, "reason": "user"}, changed)


def plan_pause(request: PauseRequest, where: Places, window: Window | None) -> tuple[list[Candidate], list[Candidate], Window | None]:
    """Judge the guests without touching anything.

    :param window: The last window in the ledger.
    :returns: The guests to pause, those left alone, and the open window when it already covers everything.
    :raises MaintenanceError: The pause is refused.
    """
    connection = Connection(request.uri)
    chosen = select(connection.running(), connection.inactive_names(), request.names)
    candidates = preflight([guest for guest in chosen if not {guest.name, guest.uuid} & set(request.exclude)], where)
    ours = set() if window is None or not is_running(window) else {entry.uuid for entry in window.unsettled()}
    # Every guest that should be paused is: by us, now. One that is paused otherwise is not asked for, unless it was named.
    if ours and all(not one.facts.state.executes and (one.guest.uuid in ours or not request.names) for one in candidates):
        return [], [one for one in candidates if one.guest.uuid not in ours], window
    refuse_open(window)
    refuse_unfinished(where)
    to_pause, left_alone = _judge(_with_fallback(candidates, request.fallback), bool(request.names))
    return to_pause, left_alone, None


def pause_guests(request: PauseRequest, check_mode: bool) -> dict[str, t.Any]:
    """Open a pause window.

    :param check_mode: Judge everything and touch nothing.
    :returns: `changed`, `window` (as `summary` has it, or `None`) and `guests`.
    :raises MaintenanceError: Nothing is left paused, or the message names what may be.
    """
    check_limits(request.pause_limit, request.pause_budget)
    check_tolerance("clock_tolerance", request.clock_tolerance)
    check_wait(request.wait_for_jobs)
    where = places(request.uri)
    ledger = Ledger(where)
    if check_mode:
        to_pause, left_alone, covering = plan_pause(request, where, ledger.read())
        if covering is None:
            guests = [guest_record(
                one.guest.name, one.guest.uuid, one.facts.state.as_dict(), {"state": "paused", "reason": "user"}, True,
            ) for one in to_pause]
            return {"changed": bool(to_pause), "window": None, "guests": guests + [_skipped(one) for one in left_alone]}
        return _covered(covering, left_alone)
    ledger.prepare()
    # Before the lock: somebody who has to heal this host must not wait for a backup.
    wait_for_jobs(request.uri, request.names, request.exclude, request.wait_for_jobs)
    with ledger.locked(5.0):
        to_pause, left_alone, covering = plan_pause(request, where, ledger.read())
        if covering is not None:
            return _covered(covering, left_alone)
        skipped = [_skipped(one) for one in left_alone]
        if not to_pause:
            return {"changed": False, "window": None, "guests": skipped}
        window = open_window(request, where, to_pause, ledger, arm)
    guests = [_paused_result(entry) for entry in window.guests]
    return {"changed": True, "window": summary(window), "guests": guests + skipped}


def _covered(window: Window, left_alone: t.Sequence[Candidate]) -> dict[str, t.Any]:
    guests = [
        guest_record(entry.name, entry.uuid, {"state": "paused", "reason": "user"}, {"state": "paused", "reason": "user"}, False)
        for entry in window.unsettled()
    ]
    return {"changed": False, "window": summary(window), "guests": guests + [_skipped(one) for one in left_alone]}
