# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring the clocks of a host's guests, and correcting them: what guest_clock does."""
from __future__ import annotations

import time
import typing as t

from .._clock.check import CORRECTIONS, check_clock, continued
from .._clock.wish import check_tolerance, checked_targets
from .._core.calls import Call
from .._core.errors import GuestGone, MaintenanceError
from .._core.host_clock import HostClock, words
from .._core.places import places
from .._system.guests import select
from .._system.host_clock import host_clock
from .._system.hypervisor import AGENTS_AT_ONCE, Connection, Guest, Lanes, describe

#: Seconds that an agent has for each answer at first.
QUICK = 1
#: Seconds between two looks at the host's clock.
LOOK = 1.0


def _host_clock(wait: float) -> HostClock | None:
    """The host's clock.

    :param wait: Seconds to wait until it is synchronized.
    :returns: `None` when it may not be asked, as in some containers.
    """
    give_up = time.monotonic() + wait
    while True:
        try:
            found = host_clock()
        except OSError:
            return None
        if found.synchronized or time.monotonic() >= give_up:
            return found
        time.sleep(min(LOOK, max(0.0, give_up - time.monotonic())))


def check_clocks(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_clock.

    :param params: The module's parameters.
    :returns: `changed`, `guests` and, when a correction did not help, `failed_because`.
    :raises MaintenanceError: Bad options, or libvirt cannot be reached.
    """
    check_tolerance("tolerance", params["tolerance"])
    if not 1 <= params["samples"] <= 100:
        raise MaintenanceError(f"samples is {params['samples']}, it must be from 1 to 100", "limit")
    if not 1 <= params["agent_timeout"] <= 300:
        raise MaintenanceError(f"agent_timeout is {params['agent_timeout']} s, it must be from 1 to 300 s", "limit")
    if not 0 <= params["host_clock_wait"] <= 3600:
        raise MaintenanceError(f"host_clock_wait is {params['host_clock_wait']:g} s, it must be from 0 to 3600 s", "limit")
    targets = checked_targets(params["target_offsets"])
    places(params["uri"])  # refuses a URI whose guests are not on this host: their clocks would be set by the wrong one
    connection = Connection(params["uri"])
    guests = select(connection.running(), connection.inactive_names(), params["name"])
    wanted = {guest.uuid: targets.get(guest.uuid, targets.get(guest.name, 0.0)) for guest in guests}
    clock = _host_clock(params["host_clock_wait"])
    # On connections of their own: libvirtd serves five calls at once on each, and agents that hang would keep the others waiting.
    lanes = Lanes(params["uri"], [guest.uuid for guest in guests], at_once=AGENTS_AT_ONCE)
    calls: dict[str, Call[dict[str, t.Any]]] = {}
    waiting = [guest.uuid for guest in guests]
    # Agents that do not answer at once are asked again, last: they must not keep the others waiting.
    for agent_timeout in sorted({min(QUICK, params["agent_timeout"]), params["agent_timeout"]}):
        def check(guest: Guest, agent_timeout: int = agent_timeout) -> dict[str, t.Any]:
            return check_clock(
                guest, target=wanted[guest.uuid], tolerance=params["tolerance"],
                samples=params["samples"], correct=params["correct"], agent_timeout=agent_timeout, check_mode=check_mode,
            )
        # Each measurement may take: every sample and the question for the system, or the order to set the clock, each until its time-out.
        made = lanes.each(waiting, check, agent_timeout * (params["samples"] + 1) * (CORRECTIONS + 1) * (1 + len(waiting) / AGENTS_AT_ONCE))
        earlier = {uuid: call.result() for uuid, call in calls.items() if call.state == "done"}
        calls.update(made)
        waiting = [uuid for uuid, call in made.items() if call.state == "done" and call.result().get("error", {}).get("code") == "agent"]
    records = []
    for guest in guests:
        try:
            if guest.uuid not in calls:
                raise GuestGone(lanes.silent.get(guest.uuid, "it has ended"))
            records.append(continued(calls[guest.uuid].result(), earlier.get(guest.uuid)))
        except Exception as error:  # the guest ended meanwhile, or its agent never came back
            records.append({
                "name": guest.name, "uuid": guest.uuid, "before": None, "after": None, "target": wanted[guest.uuid], "verdict": "unverified",
                "changed": False, "error": {"code": "no_answer", "message": describe(error)},
            })
    result: dict[str, t.Any] = {
        "changed": any(record["changed"] for record in records), "guests": records,
        "host_clock": None if clock is None else {"synchronized": clock.synchronized, "max_error": round(clock.max_error, 6)}, "reference": words(clock),
    }
    if clock is not None and not clock.synchronized:
        result["warnings"] = [
            "the host's own clock is not synchronized, so clocks that are in sync with it may be wrong; see its time service (timedatectl), or wait for it "
            "with host_clock_wait"
        ]
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
