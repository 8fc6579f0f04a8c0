# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pause window: open it, close it. The whole protocol, top to bottom, is in `open_window` and `close_window`."""
from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t
import uuid as uuid_module

from .._clock.due import PATIENCE, DueClocks
from .._clock.result import TOLERANCE
from .._core import identity
from .._core.calls import Call, elapsed
from .._core.errors import GuestGone, LedgerError, MaintenanceError, WindowBusy
from .._core.places import Places
from .._core.records import now_utc
from .._system.guests import PREFLIGHT_TIMEOUT, Candidate, opener
from .._system.hypervisor import Guest, Lanes, describe
from .._system.status_file import GuestProcess
from .._system.units import READY_TIMEOUT
from .guard_unit import disarm
from .ledger import Ledger
from .limits import early_lead
from .record import Entry, Window
from .settle import Settler, save


@dataclasses.dataclass(frozen=True)
class PauseRequest:
    """What to pause.

    :ivar uri: The libvirt URI.
    :ivar names: Names or UUIDs of guests, in the order in which they are paused; empty: all running guests.
    :ivar exclude: Names or UUIDs of guests that are left alone; those that do not exist here are of no consequence.
    :ivar pause_limit: Seconds that a guest may be paused.
    :ivar pause_budget: Seconds within which all guests must be paused; otherwise all are resumed.
    :ivar fallback: `required`: a guest that only libvirt could resume is refused. `preferred`: it is paused all the same, and left to libvirt.
    :ivar correct_clocks: Whether clocks that are wrong after the resume are set.
    :ivar clock_tolerance: Seconds by which a clock may be off.
    :ivar target_offsets: Seconds that a guest's clock should be ahead of the host's, by name or UUID; all others 0.
    :ivar wait_for_jobs: Seconds to wait for jobs on the guests to end (a backup, a block job) before the pause is refused for them.
    """

    uri: str
    names: tuple[str, ...]
    exclude: tuple[str, ...]
    pause_limit: float
    pause_budget: float
    fallback: str = "required"
    correct_clocks: bool = True
    clock_tolerance: float = TOLERANCE
    target_offsets: t.Mapping[str, float] = dataclasses.field(default_factory=dict)
    wait_for_jobs: float = 0.0


def is_running(window: Window) -> bool:
    """Whether a window is open and its deadline is still ahead."""
    return window.is_open and window.boot_id == identity.boot_id() and window.deadline > time.monotonic()


def refuse_open(window: Window | None) -> None:
    """Refuse when a window is open already.

    :raises WindowBusy: With who opened it, when, and what to do.
    """
    if window is None or not window.is_open:
        return
    names = ", ".join(entry.name for entry in window.unsettled()) or "none"
    left = window.deadline - time.monotonic()
    if is_running(window):
        advice = f"the guard resumes them in {left:.0f} s at the latest; wait for that and run again"
    else:
        advice = "its deadline has passed; run the playbook recover.yml, or guest_resume, on this host first"
    raise WindowBusy(
        f"a pause window is open on this host since {window.opened_at} (opened by {window.opener}; guests not settled: {names}); "
        f"no guest was touched by this run; {advice}"
    )


def _entry(candidate: Candidate, targets: t.Mapping[str, float]) -> Entry:
    guest, process, no_fallback = candidate.guest, t.cast(GuestProcess, candidate.process), candidate.facts.no_fallback
    taken = process.taken
    return Entry(
        name=candidate.guest.name, uuid=candidate.guest.uuid, id=candidate.guest.id, pid=process.process.pid,
        start_time=process.process.start_time, monitor=process.monitor, state_before=candidate.facts.state.state,
        reason_before=candidate.facts.state.reason, devices=[] if taken is None else taken.devices_to_set_up,
        forwarding=[] if taken is None else [[one.device, one.mac] for one in taken.forwarding],
        only_libvirt="" if no_fallback is None else no_fallback.message, agent=process.agent,
        clock_target=float(targets.get(guest.uuid, targets.get(guest.name, 0.0))),
    )


class _NotRunning(Exception):
    """Between the preflight and the suspend somebody else stopped the guest: it is theirs."""


def _suspend(guest: Guest, seen: dict[str, _NotRunning]) -> None:
    # libvirt suspends a paused guest without an error; only this look shows that the pause is ours.
    state = guest.state()
    if not state.executes:
        not_ours = _NotRunning(f"it is {state.state} ({state.reason}), which we did not do")
        seen[guest.uuid] = not_ours
        # Without our mark the owner's pause is not taken for ours, whatever happens to this process. Removing it needs a job, which may be held.
        with contextlib.suppress(Exception):
            guest.clear_token()
        raise not_ours
    guest.suspend()


def _suspend_all(window: Window, lanes: Lanes, budget: float) -> list[str]:
    """Suspend every guest of the window; returns what went wrong, in words. The entries are changed in place."""
    problems: list[str] = []
    entries = {entry.uuid: entry for entry in window.guests}
    seen: dict[str, _NotRunning] = {}
    calls = lanes.each(entries, lambda guest: _suspend(guest, seen), budget)
    for uuid, entry in entries.items():
        call = calls.get(uuid)
        if call is None:
            entry.settle("gone", "it ended before it was paused")
            continue
        # The suspend that never started leaves nothing behind; the one in flight may still pause the guest.
        entry.paused_at = call.started_at
        try:
            call.result()
            entry.phase = "paused"
        except _NotRunning as error:
            entry.paused_at = None
            entry.settle("not_ours", str(error))
        except GuestGone as error:
            entry.paused_at = None
            entry.settle("gone", str(error))
        except TimeoutError:
            if uuid in seen:
                entry.paused_at = None
                entry.settle("not_ours", str(seen[uuid]))
                continue
            if call.state == "waiting":
                entry.settle("running", "it was not paused: the others took too long")
            problems.append(f"guest {entry.name!r} was not paused within {budget:g} s")
        except Exception as error:  # libvirt's error on one guest: the others must be resumed
            # Not taken for final: when the connection broke, QEMU may still stop. The guard looks on.
            problems.append(f"guest {entry.name!r} could not be paused ({describe(error)})")
    window.paused_within = elapsed(calls.values())
    return problems


def open_window(
    request: PauseRequest, where: Places, candidates: t.Sequence[Candidate], ledger: Ledger, arm: t.Callable[[Places, Window], None],
) -> Window:
    """Pause guests, with their resume assured before the first one stops. The ledger's lock is held by the caller.

    The order is the promise: write the ledger, start the guard and see it watch, mark the guests, fix the deadline, suspend.
    The marks come late, because a guest that its owner pauses before is not taken for ours without one.
    Whatever dies at whatever point, either no guest is paused yet or the guard knows about it.

    :param request: What was asked for.
    :param candidates: The guests to pause; none has a blocker.
    :param arm: Starts the guard of the window, and returns once it watches.
    :raises MaintenanceError: Nothing is left paused by us (or the message names which guest may still be); the result
        holds the guests.
    """
    this = identity.own_identity()
    window = Window(
        id=str(uuid_module.uuid4()), uri=request.uri, boot_id=identity.boot_id(), opener=opener(), opener_pid=this.pid,
        opener_start_time=this.start_time, opened_at=now_utc(), pause_limit=request.pause_limit,
        # Not the real one yet: far enough for the guard to start.
        deadline=time.monotonic() + READY_TIMEOUT * 2 + request.pause_limit,
        guests=[_entry(candidate, request.target_offsets) for candidate in candidates], correct_clocks=request.correct_clocks,
        clock_tolerance=request.clock_tolerance,
    )
    lanes = Lanes(request.uri, [entry.uuid for entry in window.guests])
    if lanes.silent:
        names = ", ".join(repr(entry.name) for entry in window.guests if entry.uuid in lanes.silent)
        raise MaintenanceError(
            f"libvirt does not answer about guest {names} ({'; '.join(sorted(set(lanes.silent.values())))}); no guest was paused. "
            "Look at what keeps it busy (virsh domjobinfo) and run again", "pause",
        )
    ledger.write(window)
    try:
        arm(where, window)
        _require(lanes.each(lanes.guests, lambda guest: guest.set_token(window.id), PREFLIGHT_TIMEOUT), window, "marked")
        window.deadline = time.monotonic() + request.pause_limit
        ledger.write(window)
        problems = _suspend_all(window, lanes, request.pause_budget)
        ledger.write(window)
    except Exception as error:  # also a defect of ours: guests that are paused by now must not wait for the deadline
        with contextlib.suppress(Exception):  # then the guard does it
            _give_up(window, ledger)
        raise _given_up(window, error) from error
    if problems:
        _give_up(window, ledger)
        left = [entry.name for entry in window.unsettled()]
        rest = (
            f"Guest {', '.join(map(repr, left))} may still become paused by the call that was given up; the guard watches and "
            "resumes it" if left else "Every guest that had been paused was resumed"
        )
        raise MaintenanceError(
            f"{'; '.join(problems)}; the update was not started. {rest}. Look at that guest (virsh domstate, virsh qemu-monitor-command "
            "--hmp NAME info status) and run again", "pause", {"window": summary(window)},
        )
    return window


def _given_up(window: Window, error: Exception) -> MaintenanceError:
    """Why a window was given up, and the state in which the guests were left."""
    left = [entry.name for entry in window.unsettled()]
    rest = f"guests that may still be paused: {', '.join(left)}; the guard resumes them" if left else "no guest is left paused by this run"
    if isinstance(error, MaintenanceError):
        text = str(error) if "no guest was paused" in str(error) and not left else f"{error}; the update was not started, and {rest}"
        return MaintenanceError(text, error.code, {**error.result, "window": summary(window)})
    return MaintenanceError(f"unexpected {type(error).__name__} ({error}) while guests were being paused; the update was not started, and {rest}", "pause")


def _require(calls: dict[str, Call[t.Any]], window: Window, what: str) -> None:
    names = {entry.uuid: entry.name for entry in window.guests}
    for uuid, call in calls.items():
        try:
            call.result()
        except Exception as error:
            raise MaintenanceError(
                f"guest {names[uuid]!r} could not be {what} ({describe(error)}); no guest was paused. "
                "Look at what keeps it busy (virsh domjobinfo) and run again", "pause",
            ) from error


def _give_up(window: Window, ledger: Ledger) -> None:
    """Resume what was paused, and close the window if nothing is left to watch."""
    for entry in window.unsettled():
        if entry.phase == "pausing" and entry.paused_at is None:
            entry.settle("running", "its suspend was never asked for")
    clocks = DueClocks(window)
    settler = Settler("module", runs_again=clocks.runs_again)
    settler.settle(window)
    if _finish(window, ledger, settler, []):
        clocks.settle(window, PATIENCE, lambda now: save(ledger, now, []))
        return
    # The guard looks at the clocks of an open window too, once it acts; until then it is our part. It ends us if we are still here by then.
    left = window.deadline - early_lead(window.pause_limit) - time.monotonic()
    if left > 0:
        clocks.settle(window, min(PATIENCE, left), lambda _window: None)


def _finish(window: Window, ledger: Ledger, settler: Settler, log: list[str]) -> bool:
    """Close the window if everything is settled. Returns whether it is closed."""
    if window.unsettled():
        save(ledger, window, log)
        return False
    window.closed_at = now_utc()
    window.closed_by = settler.by
    if not save(ledger, window, log):
        # The guests run. The guard sees that too at the deadline, and settles the same way.
        return False
    if settler.by_monitor:
        _try_libvirt(lambda: settler.tell_libvirt(window), log)
    _try_libvirt(lambda: settler.clear_tokens(window), log)
    disarm(window)
    return True


def _try_libvirt(function: t.Callable[[], t.Any], log: list[str]) -> None:
    """Tidying that may fail: the guests run already, and a mark of a closed window is harmless."""
    try:
        function()
    except Exception as error:  # nothing here is worth an error
        log.append(describe(error))


def close_window(
    ledger: Ledger, window_id: str | None, patience: float, runs_again: t.Callable[[Entry, float], None],
) -> tuple[Window | None, bool, list[str]]:
    """Resume the guests of the open window and close it.

    :param window_id: Close this window and no other; `None`: whichever is open.
    :param patience: Seconds to go on trying. Then the rest is left to the guard.
    :param runs_again: Called with each guest as soon as it runs again.
    :returns: The window (`None`: there never was one), whether this call closed it, and what the operator has to know.
    :raises WindowBusy: Another window than `window_id` is open.
    :raises MaintenanceError: code `resume`: guests are still paused; the message says which and why.
    """
    log: list[str] = []
    give_up = time.monotonic() + patience
    # At the deadline the guard holds the lock for as long as it settles: then there is nothing to do but to wait for it.
    with ledger.locked(patience):
        window = ledger.read()
        if window is None or not window.is_open:
            return window, False, log
        if window_id is not None and window.id != window_id:
            raise WindowBusy(
                f"the open pause window of this host is {window.id} (opened by {window.opener} at {window.opened_at}), not {window_id}; "
                "no guest was touched by this run"
            )
        settler = Settler("module", runs_again=runs_again)
        while True:
            settler.settle(window)
            if _finish(window, ledger, settler, log):
                return window, True, log
            if time.monotonic() >= give_up:
                break
            time.sleep(0.2)
    if not window.unsettled():
        raise LedgerError(
            f"all guests of pause window {window.id} run, but the window could not be closed: {'; '.join(log)}. "
            "Repair that and run recover.yml"
        )
    rest = "; ".join(f"guest {entry.name!r}: {entry.message or 'not seen to run'}" for entry in window.unsettled())
    raise MaintenanceError(
        f"not every guest was seen to run again within {patience:g} s: {rest}. The guard on the host goes on trying; "
        "see journalctl -u 'vm-preserving-guard-*' there, and run recover.yml",
        "resume", {"window": summary(window)},
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def summary(window: Window) -> dict[str, t.Any]:
    """A window for a module's result."""
    left = window.deadline - time.monotonic()
    return {
        "id": window.id,
        "open": window.is_open,
        "opened_at": window.opened_at,
        "opened_by": window.opener,
        "closed_at": window.closed_at,
        "closed_by": window.closed_by,
        "pause_limit": window.pause_limit,
        "paused_within": _rounded(window.paused_within),
        "resumed_within": _rounded(window.resumed_within),
        "seconds_left": round(left, 3) if window.is_open and window.boot_id == identity.boot_id() else None,
        "expired": window.is_open and not is_running(window),
        "clocks_due": window.boot_id == identity.boot_id() and not window.is_open and bool(window.clocks_due),
        "guests": [
            {
                "name": entry.name, "uuid": entry.uuid, "phase": entry.phase, "outcome": entry.outcome, "message": entry.message,
                "paused_for": _rounded(entry.paused_for), "resumed_by": entry.resumed_by,
                "was_paused": entry.paused_at is not None, "problem": entry.problem, "clock": entry.clock,
                "clock_target": entry.clock_target if window.correct_clocks else None,
            }
            for entry in window.guests
        ],
    }
