# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shutting guests down for an update of their host that they cannot be kept through: what guest_stop does."""
from __future__ import annotations

import dataclasses
import time
import typing as t
import uuid as uuid_module
import xml.etree.ElementTree as ET

from .. import _launch
from .._core import identity
from .._core.calls import call_with_timeout
from .._core.errors import LedgerError, LibvirtUnreachable, MaintenanceError
from .._core.places import SYSTEM_URI, Places, places
from .._core.records import now_utc
from .._core.states import Blocker
from .._pause.ledger import Ledger
from .._pause.window import refuse_open
from .._saved.ownership import REFUSE, Owners
from .._saved.unfinished import refuse_unfinished
from .._stopped.ledger import StoppedLedger
from .._stopped.record import StoppedGuest, StoppedTogether
from .._stopped.rules import stop_blockers
from .._stopped.start import BETWEEN, leave_to_host, start_all
from .._stopped.stop import stop_all
from .._stopped.summary import refuse_stopped
from .._system.guests import Candidate, opener, preflight, select
from .._system.hypervisor import Connection, describe

#: Seconds that a guest may be given to shut down.
MAX_TIMEOUT = 7200.0
#: Seconds to look at one guest.
LOOK_TIMEOUT = 30.0
#: Seconds to start again what was shut down, when another guest could not be.
START_TIMEOUT = 60.0


@dataclasses.dataclass
class _Plan:
    """A guest that is to be shut down, and what stands in the way of that."""

    candidate: Candidate
    autostart: bool = False
    blockers: list[Blocker] = dataclasses.field(default_factory=list)


def _check(params: t.Mapping[str, t.Any]) -> None:
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"guests can be shut down for an update at {SYSTEM_URI} only; no guest was touched", "uri")
    if not params["name"]:
        raise MaintenanceError("name is empty, it must name the guests that are to be shut down; no guest was touched", "name")
    if not 1 <= params["timeout"] <= MAX_TIMEOUT:
        raise MaintenanceError(f"timeout is {params['timeout']:g} s, it must be from 1 to {MAX_TIMEOUT:g} s; no guest was touched", "limit")


def _look(candidate: Candidate, owners: Owners | None) -> _Plan:
    guest = candidate.guest
    live, persistent = guest.xml(), guest.persistent()
    blockers = stop_blockers(
        candidate.facts, persistent, live, ET.fromstring(guest.definition()) if persistent else None, persistent and guest.has_managed_save(),
    )
    # A cloud or a cluster would start it anew, here or elsewhere.
    blockers += [] if owners is None else owners.blockers(live, reboot=True)
    if candidate.process is None:
        blockers.append(Blocker("status_unknown", "libvirt's status file of it cannot be read, so it could not be recognised again later"))
    return _Plan(candidate, guest.autostart(), blockers)


def _plans(params: t.Mapping[str, t.Any], where: Places) -> list[_Plan]:
    """Judge the guests, in the order in which they were started, which is the one in which they are started again."""
    connection = Connection(params["uri"])
    guests = sorted(select(connection.running(), connection.inactive_names(), params["name"]), key=lambda guest: guest.id)
    owners = Owners() if params["managed_guests"] == REFUSE else None
    plans = []
    for candidate in preflight(guests, where):
        try:
            plans.append(call_with_timeout(lambda candidate=candidate: _look(candidate, owners), LOOK_TIMEOUT))
        except Exception as error:  # a guest that cannot be looked at is a blocker
            plans.append(_Plan(candidate, blockers=[Blocker("no_answer", f"it could not be looked at ({describe(error)})")]))
    return plans


def _result(plan: _Plan, one: StoppedGuest | None) -> dict[str, t.Any]:
    guest = plan.candidate.guest
    found: dict[str, t.Any] = {
        "name": guest.name, "uuid": guest.uuid, "before": plan.candidate.facts.state.as_dict(), "blockers": [one.as_dict() for one in plan.blockers],
        "changed": False, "outcome": None, "message": "", "forced": False,
    }
    if one is not None:
        stopped = one.phase == "stopped"
        found.update(changed=stopped, outcome="stopped" if stopped else one.outcome, message=one.message, forced=one.forced)
    return found


def _refuse(plans: t.Sequence[_Plan]) -> None:
    blocked = [plan for plan in plans if plan.blockers]
    if blocked:
        reasons = "; ".join(f"guest {plan.candidate.guest.name!r}: {', '.join(one.message for one in plan.blockers)}" for plan in blocked)
        raise MaintenanceError(
            f"refused, no guest was touched: guests that cannot be shut down and started again as they were: {reasons}", "refused",
            {"guests": [_result(plan, None) for plan in plans]},
        )


def _entry(plan: _Plan) -> StoppedGuest:
    guest, process = plan.candidate.guest, t.cast(t.Any, plan.candidate.process)
    return StoppedGuest(guest.name, guest.uuid, guest.id, process.process.pid, process.process.start_time, bool(process.agent), plan.autostart)


def stop_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_stop.

    :param params: The module's parameters.
    :param check_mode: Judge everything and touch nothing.
    :returns: `changed`, `stop_id` and `guests` and, when a guest did not shut down, `failed_because`.
    :raises MaintenanceError: Refused: nothing was touched.
    """
    _check(params)
    where = places(params["uri"])
    ledger = Ledger(where)
    if check_mode:
        plans = _admitted(params, where, ledger)
        return {"changed": bool(plans), "stop_id": None, "guests": [_result(plan, None) for plan in plans]}
    ledger.prepare()
    with ledger.locked(5.0):
        plans = _admitted(params, where, ledger)
        record = StoppedTogether(
            str(uuid_module.uuid4()), params["uri"], identity.boot_id(), opener(), now_utc(), [_entry(plan) for plan in plans],
        )
        StoppedLedger(where).write(record)
        try:
            _launch.arm_stopped(where, params["uri"])
        except MaintenanceError:
            for one in record.guests:
                one.settle("untouched", "it was not asked to shut down")
            record.close("module")
            StoppedLedger(where).write(record)
            raise
        problem = stop_all(record, params["timeout"], params["force"])
        rest = _taken_back(record) if problem else ""
    result = {
        "changed": any(one.phase == "stopped" or one.outcome == "started" for one in record.guests), "stop_id": record.id,
        "guests": [_result(plan, one) for plan, one in zip(plans, record.guests)],
    }
    return {**result, "failed_because": ("stop", f"{problem}; {rest}")} if problem else result


def _admitted(params: t.Mapping[str, t.Any], where: Places, ledger: Ledger) -> list[_Plan]:
    refuse_open(ledger.read())
    refuse_unfinished(where)
    plans = _plans(params, where)
    refuse_stopped(where, {plan.candidate.guest.uuid for plan in plans})
    _refuse(plans)
    return plans


def _taken_back(record: StoppedTogether) -> str:
    """Not every guest has shut down: those that have are started again. Returns how the guests are left, in words."""
    log: list[str] = []
    give_up = time.monotonic() + START_TIMEOUT
    while True:
        try:
            left = start_all(record, "module", log.append)
            if left != "off" or time.monotonic() > give_up:
                break
        except (LibvirtUnreachable, LedgerError) as error:
            log.append(str(error))
            left = "off"
            if time.monotonic() > give_up:
                break
        time.sleep(BETWEEN)
    said = f" ({log[-1]})" if log else ""
    if left == "off":
        return f"not every guest runs again: {_names(record, 'stopped') or 'unknown'}{said}. Run recover.yml, or guest_start, on this host"
    started = ", ".join(one.name for one in record.guests if one.outcome == "started")
    words = f"shut down before it, and started again: {started}. " if started else "no other guest is off. "
    if left == "late":
        leave_to_host(log.append)
        words += f"Should it shut down late after all, the host starts it again: {_names(record, 'stopping')}. "
    return (
        f"{words}The update of this host is not done. Shut that guest down, or move it away, and run again; a longer time-out may help, and only force=true "
        "ends it"
    )


def _names(record: StoppedTogether, phase: str) -> str:
    return ", ".join(one.name for one in record.guests if one.phase == phase)
