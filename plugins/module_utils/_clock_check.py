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


def _measure(guest: Guest, samples: int) -> _clock.Offset:
    try:
        return _clock.offset([_sample(guest) for _number in range(samples)])
    except Exception as error:  # libvirt's error or a rubbish answer: either way there is no measurement
        raise _Unverified("agent", f"its agent gave no time ({describe(error)})") from error


def _correct(guest: Guest, found: _clock.Offset, target: float) -> None:
    """Set the clock. The order takes about half a round trip to arrive, so the time is given for that moment."""
    try:
        guest.set_clock(time.time() + target + found.bound)
    except Exception:  # the agent also writes the emulated RTC and may fail at that: the measurement tells what holds
        return


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
            found = _measure(guest, samples)
            record["before"] = record["after"] = found.as_dict()
            record["verdict"] = _clock.verdict(found, target, tolerance)
            if not correct or record["verdict"] == "in_sync":
                return record
            record["changed"] = True
            if check_mode:
                return record
            for _attempt in range(CORRECTIONS):
                _correct(guest, found, target)
                found = _measure(guest, samples)
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
        record["error"] = {"code": "bound", "message": "the agent answers too slowly to prove it either way"}
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
    # One correction may take: every sample, three times over, each until its time-out.
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
            f"guest {record['name']!r} is off by {record['after']['offset']:+.3f} s (bound {record['after']['bound']:.3f} s)" for record in wrong
        )
        result["failed_because"] = (
            "out_of_sync", f"{rows} after the correction, the tolerance is {params['tolerance']:g} s. The guests run. Look for something in "
            "the guest that sets its clock (a second time service), or an agent that refuses guest-set-time",
        )
    return result
