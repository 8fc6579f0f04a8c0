# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring guests' clocks, correcting them and measuring them again: what guest_clock does."""
from __future__ import annotations

import contextlib
import math
import time
import typing as t

from . import _clock
from ._calls import Call, run_lanes
from ._errors import MaintenanceError
from ._hypervisor import Connection, Guest, describe
from ._places import places
from ._window import select

#: How often a correction is tried: a busy host may delay the first by more than the tolerance.
CORRECTIONS = 3
#: Guests asked at the same time. An agent that hangs occupies one of libvirt's workers until its time-out.
WIDTH = 4


class _Unverified(Exception):
    """The clock cannot be read; code and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _sample(guest: Guest) -> _clock.Sample:
    # The monotonic clock first: a delay between the two readings then lengthens the bound, and never the error.
    began = time.monotonic()
    asked = time.time()
    reading = guest.clock()
    return _clock.Sample(asked, time.monotonic() - began, reading)


def _samples(guest: Guest, count: int) -> list[_clock.Sample]:
    try:
        return [_sample(guest) for _number in range(count)]
    except Exception as error:  # libvirt's error or a rubbish answer: either way there is no measurement
        raise _Unverified("agent", f"its agent gave no time ({describe(error)})") from error


def _resolution(guest: Guest) -> float:
    try:
        return _clock.resolution_of(guest.system())
    except Exception:  # an agent before QEMU 2.10, or one that may not tell
        return _clock.resolution_of({})


def _correct(guest: Guest, ahead: float) -> str | None:
    """Set the clock to the host's.

    :param ahead: Seconds that are added.
    :returns: What the agent said against it, or C(None). It also writes the emulated RTC and may fail at that alone: the measurement tells what holds.
    """
    try:
        guest.set_clock(time.time() + ahead)
    except Exception as error:
        return describe(error)
    return None


def check_clock(
    guest: Guest, *, target: float, tolerance: float, samples: int, correct: bool, agent_timeout: int, check_mode: bool
) -> dict[str, t.Any]:
    """Measure one guest's clock, correct it when it is not proved to be right, and measure again.

    :param target: The offset that the clock should have, seconds.
    :param tolerance: Seconds by which it may differ.
    :param samples: How many questions a measurement has.
    :param correct: Whether to correct it.
    :param agent_timeout: Seconds for each answer of the agent.
    :param check_mode: Measure, and only say whether it would be corrected.
    :returns: The guest's record: C(before), C(after), C(verdict), C(changed), C(error).
    """
    refused: str | None = None
    record: dict[str, t.Any] = {
        "name": guest.name, "uuid": guest.uuid, "before": None, "after": None, "target": target, "verdict": "unverified", "changed": False,
    }
    try:
        state = guest.state()
        if not state.executes:
            raise _Unverified("not_running", f"it is {state.state} ({state.reason}); its clock stands still")
        try:
            guest.set_agent_timeout(agent_timeout)
        except Exception as error:  # no agent channel, or an agent that is not connected
            raise _Unverified("no_agent", f"it has no working guest agent ({describe(error)})") from error
        try:
            taken = _samples(guest, samples)
            resolution = _resolution(guest)  # only now: an agent that gives no time would be waited for once more
            found = _clock.offset(taken, resolution)
            record["before"] = record["after"] = found.as_dict()
            record["verdict"] = _clock.verdict(found, target, tolerance)
            record["changed"] = correct and record["verdict"] != "in_sync"
            for _attempt in range(CORRECTIONS if record["changed"] and not check_mode else 0):
                # The order takes about half a round trip to arrive, so the time is given for that moment.
                refused = _correct(guest, target + found.bound - resolution)
                found = _clock.offset(_samples(guest, samples), resolution)
                record["after"] = found.as_dict()
                record["verdict"] = _clock.verdict(found, target, tolerance)
                if record["verdict"] == "in_sync":
                    break
        finally:
            # The guest may have ended meanwhile, and its time-out with it; what was measured holds.
            with contextlib.suppress(Exception):
                guest.reset_agent_timeout()
    except _Unverified as error:
        record["error"] = {"code": error.code, "message": str(error)}
        record["verdict"] = "unverified"
    if record["verdict"] == "unverified" and "error" not in record:
        record["error"] = {"code": "bound", "message": f"its clock could be read to {found.bound:.4f} s only, which proves it neither right nor wrong"}
    if record["verdict"] == "out_of_sync" and refused is not None:
        record["error"] = {"code": "refused", "message": f"its agent said, when it was told to set the clock: {refused}"}
    return record


def check_clocks(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_clock.

    :param params: The module's parameters.
    :returns: C(changed), C(guests) and, when a correction did not help, C(failed_because).
    :raises MaintenanceError: Bad options, or libvirt cannot be reached.
    """
    if not 0 < params["tolerance"] <= 3600:
        raise MaintenanceError(f"tolerance is {params['tolerance']:g} s, it must be more than 0 and at most 3600 s", "limit")
    if not 1 <= params["samples"] <= 100:
        raise MaintenanceError(f"samples is {params['samples']}, it must be from 1 to 100", "limit")
    if not 1 <= params["agent_timeout"] <= 300:
        raise MaintenanceError(f"agent_timeout is {params['agent_timeout']} s, it must be from 1 to 300 s", "limit")
    targets: dict[str, float] = {}
    for name, value in params["target_offsets"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise MaintenanceError(f"target_offsets of guest {name!r} is {value!r}, it must be a number of seconds", "limit")
        targets[name] = float(value)
    places(params["uri"])  # refuses a URI whose guests are not on this host: their clocks would be set by the wrong one
    connection = Connection(params["uri"])
    guests = select(connection.running(), connection.inactive_names(), params["name"])
    wanted = {guest.uuid: targets.get(guest.uuid, targets.get(guest.name, 0.0)) for guest in guests}
    calls = {
        guest.uuid: Call(lambda guest=guest: check_clock(
            guest, target=wanted[guest.uuid], tolerance=params["tolerance"],
            samples=params["samples"], correct=params["correct"], agent_timeout=params["agent_timeout"], check_mode=check_mode,
        )) for guest in guests
    }
    # Each measurement may take: every sample and the question for the system, or the order to set the clock, each until its time-out.
    run_lanes([list(calls.values())], WIDTH, params["agent_timeout"] * (params["samples"] + 1) * (CORRECTIONS + 1) * (1 + len(guests) / WIDTH))
    records = []
    for guest in guests:
        try:
            records.append(calls[guest.uuid].result())
        except Exception as error:  # the guest ended meanwhile, or its agent never came back
            records.append({
                "name": guest.name, "uuid": guest.uuid, "before": None, "after": None, "target": wanted[guest.uuid], "verdict": "unverified",
                "changed": False, "error": {"code": "no_answer", "message": describe(error)},
            })
    result: dict[str, t.Any] = {"changed": any(record["changed"] for record in records), "guests": records}
    wrong = [record for record in records if record["verdict"] == "out_of_sync"]
    if params["correct"] and not check_mode and wrong:
        rows = "; ".join(
            f"guest {record['name']!r} is off by {record['after']['offset']:+.3f} s (bound {record['after']['bound']:.3f} s"
            + (f"; {record['error']['message']})" if "error" in record else ")") for record in wrong
        )
        result["failed_because"] = (
            "out_of_sync", f"{rows} after the correction, the tolerance is {params['tolerance']:g} s. The guests run. Look for something in "
            "the guest that sets its clock (a second time service), or an agent that refuses guest-set-time",
        )
    return result
