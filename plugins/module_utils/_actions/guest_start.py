# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting again the guests that were shut down for an update of their host: what guest_start does."""
from __future__ import annotations

import time
import typing as t

from .._core.errors import GuestGone, LibvirtUnreachable, MaintenanceError
from .._core.places import places
from .._stopped.ledger import StoppedLedger
from .._stopped.record import StoppedTogether
from .._stopped.start import BETWEEN, Left, leave_to_host, start_all, would_start
from .._stopped.summary import described
from .._system.hypervisor import Connection
from .guest_info import agent_state

#: How it ended for guests that run.
RUNS = ("started", "running", "untouched")


def start_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_start.

    :param params: The module's parameters.
    :param check_mode: Say what would be done and touch nothing.
    :returns: `changed` and `guests` and, when a guest does not run as it should, `failed_because`.
    :raises MaintenanceError: The ledger knows no such guests, or one could not be started.
    """
    where = places(params["uri"])
    give_up = time.monotonic() + params["patience"]
    ledger = StoppedLedger(where)
    record = ledger.read()
    if record is None or params["stop_id"] not in (None, record.id) or (params["stop_id"] is None and not record.is_open):
        if params["stop_id"] is None:
            return {"changed": False, "guests": []}
        raise MaintenanceError(
            f"the ledger of this host knows no guests shut down as {params['stop_id']}; no guest was touched. Run guest_info to see what it holds, and see on "
            "the host which guests are off that should run (virsh list --all)", "stop_unknown",
        )
    settled = {one.uuid for one in record.guests if one.settled}
    log: list[str] = []
    if record.is_open and not check_mode:
        # At boot the host starts them by itself, and holds the lock meanwhile.
        with ledger.locked(params["patience"]):
            record = ledger.read() or record
            settled |= {one.uuid for one in record.guests if one.settled}
            left = _started(ledger, record, give_up, log) if record.is_open else "nothing"
        if left == "late":
            leave_to_host(log.append)
    agents = {} if check_mode else _agents(record, give_up)
    by_us = would_start(record) if check_mode else {one.uuid for one in record.guests if one.outcome == "started" and one.uuid not in settled}
    result: dict[str, t.Any] = {
        "changed": bool(by_us),
        "guests": [{**described(one), "changed": one.uuid in by_us, "agent": agents.get(one.uuid)} for one in record.guests],
    }
    failure = None if check_mode else _failure(record, agents, params["patience"])
    return result if failure is None else {**result, "failed_because": failure}


def _started(ledger: StoppedLedger, record: StoppedTogether, give_up: float, log: list[str]) -> Left:
    """Start them, and go on trying.

    :raises MaintenanceError: code `start`: one is still off.
    """
    while True:
        try:
            left = start_all(record, "module", log.append)
            if left != "off":
                return left
        except LibvirtUnreachable as error:
            log.append(str(error))
        if time.monotonic() > give_up:
            rows = "; ".join(f"guest {one.name!r}: {one.message or 'not looked at yet'}" for one in record.unsettled())
            last = f" ({log[-1]})" if log and not rows else ""
            raise MaintenanceError(
                f"not every guest that was shut down runs again: {rows}{last}. Repair that and run recover.yml, or guest_start, on this host; it also tries by "
                "itself when it boots", "start", {"guests": [{**described(one), "changed": one.outcome == "started", "agent": None} for one in record.guests]},
            )
        time.sleep(BETWEEN)


def _agents(record: StoppedTogether, give_up: float) -> dict[str, str]:
    """See the guests that were started by us up: wait for the agents of those that had one.

    :returns: By UUID, the state of its agent; `off` when the guest does not run (any more).
    """
    found: dict[str, str] = {}
    wanted = {one.uuid: one for one in record.guests if one.outcome == "started"}
    while True:
        try:
            connection = Connection(record.uri)
            found = {uuid: _agent(connection, uuid) for uuid in wanted}
        except LibvirtUnreachable:
            found = {}
        waiting = [uuid for uuid, one in wanted.items() if found.get(uuid) is None or (one.had_agent and found[uuid] == "disconnected")]
        if not waiting or time.monotonic() > give_up:
            return found
        time.sleep(BETWEEN)


def _agent(connection: Connection, uuid: str) -> str:
    try:
        guest = connection.guest(uuid)
        return agent_state(guest.xml()) if guest.state().executes else "off"
    except GuestGone:
        return "off"


def _failure(record: StoppedTogether, agents: t.Mapping[str, str], patience: float) -> tuple[str, str] | None:
    """Code and words for the operator when a guest does not run as it should."""
    rows = []
    for one in record.guests:
        if one.settled and one.outcome not in RUNS:
            rows.append(f"guest {one.name!r} was not started: {one.message}")
        elif one.outcome == "started" and one.uuid not in agents:
            rows.append(f"guest {one.name!r} was started, and libvirt does not say whether it runs")
        elif agents.get(one.uuid) == "off":
            rows.append(f"guest {one.name!r} was started, and does not run any more; look at libvirt's log of it and at its console")
        elif agents.get(one.uuid) == "disconnected" and one.had_agent:
            rows.append(f"guest {one.name!r} runs, and its agent has not answered within {patience:g} s as it did before; look at its console")
    return ("start", f"not every guest that was shut down is what it was: {'; '.join(rows)}") if rows else None
