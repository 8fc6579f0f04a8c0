# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring guests' clocks, correcting them and measuring them again: what guest_clock does."""
from __future__ import annotations

import contextlib
import time
import typing as t

from .._system.agent_socket import AgentSocket
from .._system.hypervisor import Guest, describe
from . import measurement

#: How often a correction is tried: a busy host may delay the first by more than the tolerance.
CORRECTIONS = 3


class _Unverified(Exception):
    """The clock cannot be read; code and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _sample(guest: Guest | AgentSocket) -> measurement.Sample:
    # The monotonic clock first: a delay between the two readings then lengthens the bound, and never the error.
    began = time.monotonic()
    asked = time.time()
    reading = guest.clock()
    return measurement.Sample(asked, time.monotonic() - began, reading)


def _samples(guest: Guest | AgentSocket, count: int) -> list[measurement.Sample]:
    try:
        return [_sample(guest) for _number in range(count)]
    except Exception as error:  # libvirt's error or a rubbish answer: either way there is no measurement
        raise _Unverified("agent", f"its agent gave no time ({describe(error)})") from error


def _resolution(guest: Guest | AgentSocket) -> float:
    try:
        return measurement.resolution_of(guest.system())
    except Exception:  # an agent before QEMU 2.10, or one that may not say
        return measurement.resolution_of({})


def _correct(guest: Guest | AgentSocket, ahead: float) -> str | None:
    """Set the clock to the host's.

    :param ahead: Seconds that are added.
    :returns: What the agent said against it, or `None`. It also writes the emulated RTC and may fail at that alone: the measurement decides.
    """
    try:
        guest.set_clock(time.time() + ahead)
    except Exception as error:
        return describe(error)
    return None


def continued(record: dict[str, t.Any], earlier: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """The record of a check that was made because an earlier one came to no end. What was set in the earlier one was set.

    :param earlier: The record of the earlier one; `None`: there was none.
    """
    return {**record, "before": earlier["before"], "changed": True} if earlier is not None and earlier["changed"] else record


def check_clock(
    guest: Guest | AgentSocket, *, target: float, tolerance: float, samples: int, correct: bool, agent_timeout: int, check_mode: bool
) -> dict[str, t.Any]:
    """Measure one guest's clock, correct it when it is to be set (`measurement.is_to_be_set`), and measure again.

    A clock that an agent answers too slowly for is left alone: setting it could only make it worse.

    :param target: The offset that the clock should have, seconds.
    :param tolerance: Seconds by which it may differ.
    :param samples: How many questions a measurement has.
    :param correct: Whether to correct it.
    :param agent_timeout: Seconds for each answer of the agent.
    :param check_mode: Measure, and only say whether it would be corrected.
    :returns: The guest's record: `before`, `after`, `verdict`, `changed`, `error`.
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
            found = measurement.offset(taken, resolution)
            record["before"] = record["after"] = found.as_dict()
            record["verdict"] = measurement.verdict(found, target, tolerance)
            record["changed"] = correct and measurement.is_to_be_set(found, target, tolerance)
            for _attempt in range(CORRECTIONS if record["changed"] and not check_mode else 0):
                earlier = found
                # The order takes about half a round trip to arrive, so the time is given for that moment.
                refused = _correct(guest, target + found.bound - resolution)
                record["after"] = None  # until it is known: what was measured before does not hold any more
                found = measurement.offset(_samples(guest, samples), resolution)
                record["after"] = found.as_dict()
                record["verdict"] = measurement.verdict(found, target, tolerance)
                if not measurement.is_to_be_set(found, target, tolerance) or not measurement.is_nearer(found, earlier, target):
                    break
        finally:
            # The guest may have ended meanwhile, and its time-out with it; what was measured holds.
            with contextlib.suppress(Exception):
                guest.reset_agent_timeout()
    except _Unverified as error:
        record["error"] = {"code": error.code, "message": str(error)}
        record["verdict"] = "unverified"
    if record["verdict"] == "unverified" and "error" not in record:
        record["error"] = {"code": "bound", "message": (
            f"its clock is {abs(found.seconds - target):.4f} s off and could be read to {found.bound:.4f} s only, which proves it neither within the tolerance "
            f"of {tolerance:g} s nor outside"
        )}
    if record["verdict"] == "out_of_sync" and refused is not None:
        record["error"] = {"code": "refused", "message": f"its agent answered the order to set the clock with: {refused}"}
    return record
