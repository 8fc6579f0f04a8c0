# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resuming the guests that we paused, and bringing back what an earlier run left saved: what guest_resume does, and what it returns."""
from __future__ import annotations

import time
import typing as t

from .._clock.due import PATIENCE as CLOCKS
from .._clock.due import DueClocks
from .._clock.wish import checked_targets
from .._core.errors import GuestGone, LedgerError, LibvirtUnreachable, MaintenanceError, WindowBusy
from .._core.places import SYSTEM_URI, Places, places
from .._core.states import OWNERS_ACTS, State
from .._pause.arrived import Left, find, resume
from .._pause.ledger import Ledger
from .._pause.limits import check_patience
from .._pause.record import Window
from .._pause.settle import save
from .._pause.window import close_window, summary
from .._saved import leftovers
from .._saved.ledger import SavedLedger
from .._saved.unfinished import finish_saved, has_unfinished, saved_clocks_due
from .._system.guest_log import why_it_ended
from .._system.hypervisor import Connection, Lanes
from .results import guest_record

#: Seconds to wait for the ledger's lock, to write down what became of the clocks.
LOCK = 5.0
#: Seconds that the second look waits for a libvirtd that is being restarted.
SECOND_LOOK_PATIENCE = 20.0


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
        guests.append(guest_record(
            entry.name, entry.uuid, {"state": "paused", "reason": "user"} if changed else ended, ended,
            changed and entry.outcome == "resumed", outcome=entry.outcome, message=entry.message,
            paused_for=None if entry.paused_for is None else round(entry.paused_for, 4), resumed_by=entry.resumed_by,
            ended=why_it_ended(entry.name) if entry.outcome == "gone" and window.uri == SYSTEM_URI else None,
            was_paused=entry.paused_at is not None, problem=entry.problem, clock=entry.clock,
        ))
    return guests


def _states_now(window: Window, uuids: t.Sequence[str]) -> dict[str, State]:
    """The states of the guests that libvirt returns at once; the others are missing."""
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


def look_again(window: Window, after: float, told: list[str]) -> tuple[str, str] | None:
    """A second look, some seconds after the resume: a guest whose storage went away stops only with its next write.

    :param after: Seconds to wait.
    :param told: Takes what owners have done with guests since, which is their affair.
    :returns: Code and words for the operator when a guest that we resumed has stopped again, or could not be seen, else `None`.
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
            f"every guest was resumed, but libvirt does not say whether these still run: {', '.join(unseen)}. See on the host what blocks it "
            "(systemctl status libvirtd)"
        )
    stopped = {uuid: state for uuid, state in found.items() if not state.executes}
    for uuid in [uuid for uuid, state in stopped.items() if (state.state, state.reason) in OWNERS_ACTS]:
        state = stopped.pop(uuid)
        told.append(f"guest {resumed[uuid]!r} was given back, and is {state.state} ({state.reason}) since, by its owner")
    if not stopped:
        return None
    rows = "; ".join(f"guest {resumed[uuid]!r} is {state.state} ({state.reason})" for uuid, state in stopped.items())
    return "stopped_again", (
        f"resumed, and stopped again since: {rows}. That was not us: after an I/O error look at the guest's storage, then resume it (virsh resume)"
    )


def _arrived(params: t.Sequence[t.Any]) -> list[Left]:
    """The option `arrived`, checked."""
    found = []
    for number, one in enumerate(params, 1):
        ids = {key: value for key, value in one.items() if key != "clock_target"} if isinstance(one, dict) else {}
        if set(ids) != {"window", "uuid"} or not all(isinstance(value, str) for value in ids.values()):
            raise MaintenanceError(f"entry {number} of arrived is {one!r}, it must have window and uuid; no guest was touched", "arrived")
        target = checked_targets({ids["uuid"]: one["clock_target"]})[ids["uuid"]] if "clock_target" in one else None
        found.append(Left(ids["window"], ids["uuid"], target))
    return found


def resume_arrived(uri: str, where: Places, raw: t.Sequence[t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Resume the guests that were migrated to this host while they were paused on another.

    :param raw: The option `arrived`.
    :returns: `changed`, `guests` and, when a guest with such a mark is left paused, `failed_because`.
    """
    left = _arrived(raw)
    ledgers = (Ledger(where).read(), SavedLedger(where).read())
    arrivals = find(Connection(uri), {record.id for record in ledgers if record is not None})
    resume(uri, arrivals, left, check_mode)
    paused, running = {"state": "paused", "reason": "user"}, {"state": "running", "reason": "unpaused"}
    found: dict[str, t.Any] = {"changed": any(one.resumed for one in arrivals), "guests": [guest_record(
        one.guest.name, one.guest.uuid, paused, running if one.resumed else paused, one.resumed, outcome="resumed" if one.resumed else "not_ours",
        message=one.message, paused_for=None, resumed_by="module" if one.resumed else None, problem="", clock=one.clock,
    ) for one in arrivals]}
    if not all(one.resumed for one in arrivals):
        rows = "; ".join(f"guest {one.guest.name!r}: {one.message}" for one in arrivals if not one.resumed)
        found["failed_because"] = ("arrived", rows)
    return found


def resume_left(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_resume.

    :param params: The module's parameters.
    :returns: What `resume_guests` does.
    :raises MaintenanceError: Guests are still paused or saved; the guard goes on.
    """
    result = resume_guests(params["uri"], params["window"], params["patience"], params["second_look"], check_mode)
    if params["window"] is None and params["arrived"] is not None:
        found = resume_arrived(params["uri"], places(params["uri"]), params["arrived"], check_mode)
        result["guests"] = result["guests"] + found["guests"]
        result["changed"] = result["changed"] or found["changed"]
        if "failed_because" in found:
            result.setdefault("failed_because", found["failed_because"])
    return result


def resume_guests(uri: str, window_id: str | None, patience: float, second_look: float, check_mode: bool) -> dict[str, t.Any]:
    """Resume what we paused, and close the window; without a window's id, bring back what an interrupted refresh left saved, too.

    :param uri: The libvirt URI.
    :param window_id: This window and no other; `None`: whatever was left.
    :param patience: Seconds to go on trying.
    :param second_look: Seconds after the resume at which the guests are looked at again.
    :param check_mode: Say what would be done and touch nothing.
    :returns: `changed`, `window`, `guests`, `warnings` and, when a guest has stopped again, `failed_because`.
    :raises MaintenanceError: Guests are still paused or saved; the guard goes on.
    """
    check_patience(second_look, patience)
    where = places(uri)
    ledger = Ledger(where)
    result = _resume_window(uri, ledger, window_id, patience, second_look, check_mode)
    if window_id is None and (has_unfinished(where) or saved_clocks_due(where)):
        with ledger.locked(patience):
            guests, log = finish_saved(uri, where, check_mode, patience)
        result["guests"] = result["guests"] + guests
        result["warnings"] = result["warnings"] + log
        result["changed"] = result["changed"] or any(guest["changed"] for guest in guests)
    if window_id is None and leftovers.are_there(where) and not check_mode:
        with ledger.locked(patience):
            leftovers.forget(uri, where)
        result["warnings"] = [
            *result["warnings"], "what an interrupted proof of a save and a restore had left was removed; no guest of this host had a part in it",
        ]
        result["changed"] = True
    return result


def _write(ledger: Ledger, window: Window, log: list[str]) -> None:
    """Write down what became of the clocks of a closed window, unless another one has been opened since."""
    try:
        with ledger.locked(LOCK):
            found = ledger.read()
            if found is not None and found.id == window.id:
                save(ledger, window, log)
    except (WindowBusy, LedgerError) as error:
        log.append(f"what became of the clocks is not in the ledger: {error}")


def _not_given_back(window: Window) -> tuple[str, str] | None:
    """Code and words for the operator when a guest runs without something that it had, else `None`."""
    rows = "; ".join(f"guest {entry.name!r}: {entry.problem}" for entry in window.guests if entry.problem)
    if not rows:
        return None
    return "not_given_back", f"every guest runs again, but not with all that it had: {rows}. Repair that on the host (ip link, bridge fdb)"


def _resume_window(
    uri: str, ledger: Ledger, window_id: str | None, patience: float, second_look: float, check_mode: bool
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
        # Who resumed its guests may have died before their clocks were right.
        due = summary(window)["clocks_due"]
        log: list[str] = []
        set_one = due and not check_mode and DueClocks(window).settle(window, CLOCKS, lambda now: _write(ledger, now, log))
        # An old window is history: shown when asked for by its id, or when something was left to do.
        shown = window_id is not None or due
        result: dict[str, t.Any] = {
            "changed": set_one or (due and check_mode), "window": summary(window) if shown else None,
            "guests": resumed_guests(window, False) if shown else [], "warnings": log,
        }
        # The guard has resumed them, and could tell its journal only.
        failure = _not_given_back(window) if shown else None
        return result if failure is None else {**result, "failed_because": failure}
    if check_mode:
        guests = [
            guest_record(entry.name, entry.uuid, {"state": "paused", "reason": "user"}, {"state": "running", "reason": "unpaused"}, True)
            for entry in window.unsettled()
        ]
        return {"changed": True, "window": summary(window), "guests": guests, "warnings": []}
    clocks = DueClocks(window)
    closed, changed, log = close_window(ledger, window_id, patience, clocks.runs_again)
    if closed is None:
        raise MaintenanceError(
            f"the ledger was removed while guests were being resumed; guests may still be paused: {', '.join(entry.name for entry in window.unsettled())}. "
            "The guard goes on; see virsh list on the host", "ledger",
        )
    clocks.settle(closed, CLOCKS, lambda now: _write(ledger, now, log))
    result = {"changed": changed, "window": summary(closed), "guests": resumed_guests(closed, changed), "warnings": log}
    failure = look_again(closed, second_look, log) or _not_given_back(closed)
    return result if failure is None else {**result, "failed_because": failure}
