# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing and resuming all guests of a host: what guest_pause and guest_resume do, and what they return."""
from __future__ import annotations

import time
import typing as t

from ._errors import GuestGone, LibvirtUnreachable, MaintenanceError
from ._guard import lead
from ._hypervisor import Connection, Lanes
from ._ledger import Ledger
from ._places import Places, places
from ._states import LEAVE_ALONE, State
from ._unfinished import finish_saving, has_unfinished, refuse_unfinished
from ._window import Candidate, PauseRequest, close_window, is_running, open_window, preflight, refuse_open, select, summary
from ._window_document import MAX_PAUSE_BUDGET, MAX_PAUSE_LIMIT, Entry, Window


#: Seconds that the second look waits for a libvirtd that is being restarted.
SECOND_LOOK_PATIENCE = 20.0
#: The longest that a module waits because it was told to. Seconds.
MAX_PATIENCE = 3600.0


def check_limits(pause_limit: float, pause_budget: float) -> None:
    """Refuse limits that cannot be kept.

    :param pause_limit: Seconds.
    :param pause_budget: Seconds.
    :raises MaintenanceError: code C(limit).
    """
    if not 1 <= pause_limit <= MAX_PAUSE_LIMIT:
        raise MaintenanceError(
            f"pause_limit is {pause_limit:g} s, it must be from 1 to {MAX_PAUSE_LIMIT:g} s; no guest was touched", "limit"
        )
    longest = min(MAX_PAUSE_BUDGET, pause_limit - lead(pause_limit))
    if not 0 < pause_budget <= longest:
        raise MaintenanceError(
            f"pause_budget is {pause_budget:g} s, it must be more than 0 and at most {longest:g} s (pause_limit is {pause_limit:g} s); "
            "no guest was touched", "limit",
        )


def check_patience(second_look: float, patience: float = 0.0) -> None:
    """Refuse times that nobody can wait for.

    :param second_look: Seconds.
    :param patience: Seconds.
    :raises MaintenanceError: code C(limit).
    """
    for name, value in (("second_look", second_look), ("patience", patience)):
        if not 0 <= value <= MAX_PATIENCE:
            raise MaintenanceError(f"{name} is {value:g} s, it must be from 0 to {MAX_PATIENCE:g} s; no guest was touched", "limit")


def pause_request(params: t.Mapping[str, t.Any]) -> PauseRequest:
    """The request in a module's parameters."""
    return PauseRequest(params["uri"], tuple(params["name"]), tuple(params["exclude"]), params["pause_limit"], params["pause_budget"])


def _record(name: str, uuid: str, before: dict[str, str], after: dict[str, str], changed: bool, **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "uuid": uuid, "before": before, "after": after, "changed": changed, **more}


def _skipped(candidate: Candidate) -> dict[str, t.Any]:
    state = candidate.facts.state.as_dict()
    why = candidate.blockers[0].message if candidate.blockers else "another guest cannot be paused"
    return _record(candidate.guest.name, candidate.guest.uuid, state, state, False, message=f"left as it is: {why}")


def _blocked(candidate: Candidate) -> dict[str, t.Any]:
    state = candidate.facts.state.as_dict()
    return _record(
        candidate.guest.name, candidate.guest.uuid, state, state, False,
        error={"code": candidate.blockers[0].code, "message": "; ".join(blocker.message for blocker in candidate.blockers)},
        blockers=[blocker.as_dict() for blocker in candidate.blockers],
    )


def _judge(candidates: t.Sequence[Candidate], named: bool) -> tuple[list[Candidate], list[Candidate]]:
    """Which guests to pause and which to leave alone.

    A guest that does not run, or opted out, is left alone, unless the operator named it: then he expects it to be paused.

    :raises MaintenanceError: code C(refused): a guest that has to be paused cannot be.
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
        return _record(entry.name, entry.uuid, before, before, False, message=entry.message)
    return _record(entry.name, entry.uuid, before, {"state": after, "reason": "user"}, changed)


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
    to_pause, left_alone = _judge(candidates, bool(request.names))
    return to_pause, left_alone, None


def pause_guests(request: PauseRequest, check_mode: bool) -> dict[str, t.Any]:
    """Open a pause window.

    :param check_mode: Judge everything and touch nothing.
    :returns: C(changed), C(window) (as L(summary) has it, or C(None)) and C(guests).
    :raises MaintenanceError: Nothing is left paused, or the message names what may be.
    """
    check_limits(request.pause_limit, request.pause_budget)
    where = places(request.uri)
    ledger = Ledger(where)
    if check_mode:
        to_pause, left_alone, covering = plan_pause(request, where, ledger.read())
        if covering is None:
            guests = [_record(
                one.guest.name, one.guest.uuid, one.facts.state.as_dict(), {"state": "paused", "reason": "user"}, True,
            ) for one in to_pause]
            return {"changed": bool(to_pause), "window": None, "guests": guests + [_skipped(one) for one in left_alone]}
        return _covered(covering, left_alone)
    ledger.prepare()
    with ledger.locked(5.0):
        to_pause, left_alone, covering = plan_pause(request, where, ledger.read())
        if covering is not None:
            return _covered(covering, left_alone)
        skipped = [_skipped(one) for one in left_alone]
        if not to_pause:
            return {"changed": False, "window": None, "guests": skipped}
        window = open_window(request, where, to_pause, ledger)
    guests = [_paused_result(entry) for entry in window.guests]
    return {"changed": True, "window": summary(window), "guests": guests + skipped}


def _covered(window: Window, left_alone: t.Sequence[Candidate]) -> dict[str, t.Any]:
    guests = [
        _record(entry.name, entry.uuid, {"state": "paused", "reason": "user"}, {"state": "paused", "reason": "user"}, False)
        for entry in window.unsettled()
    ]
    return {"changed": False, "window": summary(window), "guests": guests + [_skipped(one) for one in left_alone]}


def resumed_guests(window: Window, changed: bool) -> list[dict[str, t.Any]]:
    """The guests of a window for a module's result.

    :param changed: Whether this very call resumed them.
    """
    after = {
        "resumed": {"state": "running", "reason": "unpaused"}, "running": {"state": "running", "reason": "unknown"},
        "gone": {"state": "shutoff", "reason": "unknown"}, "not_ours": {"state": "unknown", "reason": "unknown"},
    }
    guests: list[dict[str, t.Any]] = []
    for entry in window.guests:
        ended = after.get(entry.outcome or "", {"state": "paused", "reason": "user"})
        guests.append(_record(
            entry.name, entry.uuid, {"state": "paused", "reason": "user"} if changed else ended, ended,
            changed and entry.outcome == "resumed", outcome=entry.outcome, message=entry.message,
            paused_for=None if entry.paused_for is None else round(entry.paused_for, 4), resumed_by=entry.resumed_by,
        ))
    return guests


def _states_now(window: Window, uuids: t.Sequence[str]) -> dict[str, State]:
    """The states of the guests that libvirt tells at once; the others are missing."""
    try:
        lanes = Lanes(window.uri, uuids, 5.0)
    except LibvirtUnreachable:
        return {}
    found = {uuid: State("shutoff", "unknown") for uuid in uuids if uuid not in lanes.guests and uuid not in lanes.silent}
    for uuid, call in lanes.each(uuids, lambda guest: guest.state(), 5.0).items():
        try:
            found[uuid] = call.result()
        except GuestGone:
            found[uuid] = State("shutoff", "unknown")
        except Exception:  # a daemon that is being restarted; asked again
            continue
    return found


def look_again(window: Window, after: float) -> tuple[str, str] | None:
    """A second look, some seconds after the resume: a guest whose storage went away stops only with its next write.

    :param after: Seconds to wait.
    :returns: Code and words for the operator when a guest that we resumed has stopped again, or could not be seen, else C(None).
    """
    time.sleep(after)
    resumed = {entry.uuid: entry.name for entry in window.guests if entry.outcome == "resumed"}
    if not resumed:
        return None
    give_up = time.monotonic() + SECOND_LOOK_PATIENCE
    # The update may just have restarted libvirtd.
    while True:
        found = _states_now(window, list(resumed))
        if len(found) == len(resumed) or time.monotonic() > give_up:
            break
        time.sleep(0.5)
    unseen = [name for uuid, name in resumed.items() if uuid not in found]
    if unseen:
        return "libvirt_unreachable", (
            f"every guest was resumed, but libvirt does not tell whether these still run: {', '.join(unseen)}. See on the host what holds it up "
            "(systemctl status libvirtd)"
        )
    stopped = {uuid: state for uuid, state in found.items() if not state.executes}
    if not stopped:
        return None
    rows = "; ".join(f"guest {resumed[uuid]!r} is {state.state} ({state.reason})" for uuid, state in stopped.items())
    return "stopped_again", (
        f"resumed, and stopped again since: {rows}. That was not us: after an I/O error look at the guest's storage, then resume it (virsh resume)"
    )


def resume_guests(uri: str, window_id: str | None, patience: float, second_look: float, check_mode: bool) -> dict[str, t.Any]:
    """Resume what we paused, and close the window; without a window's id, bring back what an interrupted refresh left saved, too.

    :param uri: The libvirt URI.
    :param window_id: This window and no other; C(None): whatever was left.
    :param patience: Seconds to go on trying.
    :param second_look: Seconds after the resume at which the guests are looked at again.
    :param check_mode: Say what would be done and touch nothing.
    :returns: C(changed), C(window), C(guests), C(warnings) and, when a guest has stopped again, C(failed_because).
    :raises MaintenanceError: Guests are still paused or saved; the guard goes on.
    """
    check_patience(second_look, patience)
    where = places(uri)
    ledger = Ledger(where)
    result = _resume_window(uri, where, ledger, window_id, patience, second_look, check_mode)
    if window_id is None and has_unfinished(where):
        with ledger.locked(patience):
            guests, log = finish_saving(uri, where, check_mode, patience)
        result["guests"] = result["guests"] + guests
        result["warnings"] = result["warnings"] + log
        result["changed"] = result["changed"] or any(guest["changed"] for guest in guests)
    return result


def _resume_window(
    uri: str, where: Places, ledger: Ledger, window_id: str | None, patience: float, second_look: float, check_mode: bool
) -> dict[str, t.Any]:
    window = ledger.read()
    if window is None or (window_id is not None and not window.is_open and window.id != window_id):
        if window_id is None:
            return {"changed": False, "window": None, "guests": [], "warnings": []}
        raise MaintenanceError(
            f"the ledger of this host knows no pause window {window_id}; no guest was touched. Run guest_info to see what it holds",
            "window_unknown",
        )
    if not window.is_open:
        # An old window is history: told when asked for by its id, otherwise nothing was left to do.
        mine = window_id is not None
        return {
            "changed": False, "window": summary(window) if mine else None,
            "guests": resumed_guests(window, False) if mine else [], "warnings": [],
        }
    if check_mode:
        guests = [
            _record(entry.name, entry.uuid, {"state": "paused", "reason": "user"}, {"state": "running", "reason": "unpaused"}, True)
            for entry in window.unsettled()
        ]
        return {"changed": True, "window": summary(window), "guests": guests, "warnings": []}
    closed, changed, log = close_window(where, ledger, window_id, patience)
    if closed is None:
        raise MaintenanceError(
            f"the ledger was removed while guests were being resumed; guests may still be paused: {', '.join(entry.name for entry in window.unsettled())}. "
            "The guard goes on; see virsh list on the host", "ledger",
        )
    result = {"changed": changed, "window": summary(closed), "guests": resumed_guests(closed, changed), "warnings": log}
    story = look_again(closed, second_look)
    return result if story is None else {**result, "failed_because": story}
