# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shutting guests down, one after another, and never by force unless the operator has asked for that."""
from __future__ import annotations

import time
import typing as t

from .._core.calls import Call, run_lanes
from .._core.errors import MaintenanceError
from .._core.places import places
from .._system.hypervisor import Connection, Guest, describe
from .ledger import StoppedLedger
from .record import StoppedGuest, StoppedTogether
from .start import look

#: Seconds between two looks.
LOOK = 0.5
#: Seconds for libvirt to end a QEMU.
END_TIMEOUT = 60.0


def _is_off(connection: Connection, record: StoppedTogether, one: StoppedGuest) -> bool:
    """Whether a guest is off.

    :raises MaintenanceError: code `stop`: its owner has done something else with it.
    """
    found, _guest = look(connection, record, one)
    if found.state is None:
        raise MaintenanceError(f"guest {one.name!r} was asked to shut down, and libvirt has no definition of it any more", "stop")
    if found.active and not found.same_run:
        raise MaintenanceError(f"guest {one.name!r} was asked to shut down, and somebody has started it again meanwhile", "stop")
    return not found.active


def _wait(is_over: t.Callable[[], bool], timeout: float) -> bool:
    give_up = time.monotonic() + timeout
    while not is_over():
        if time.monotonic() > give_up:
            return False
        time.sleep(LOOK)
    return True


def stop(connection: Connection, record: StoppedTogether, one: StoppedGuest, timeout: float, force: bool) -> None:
    """Have a guest shut down, and wait until it is off.

    :param timeout: Seconds.
    :param force: End its QEMU when it has not shut down by then.
    :raises MaintenanceError: code `stop`: it is not off; what it is is in the message.
    """
    guest: Guest = connection.guest(one.uuid)
    # An agent that does not answer is waited for by libvirt, for a minute: only then the power button is tried.
    asked = Call(guest.shut_down)
    run_lanes([[asked]], 1, LOOK)
    refused = ""

    def is_over() -> bool:
        nonlocal refused
        if _is_off(connection, record, one):
            return True
        refused = describe(t.cast(Exception, asked.error)) if asked.state == "failed" else ""
        return bool(refused)

    in_time = _wait(is_over, timeout)
    if in_time and not refused:
        return
    why = f"could not be asked to shut down ({refused})" if refused else f"was asked to shut down, and has not within {timeout:g} s"
    if not force:
        raise MaintenanceError(f"guest {one.name!r} {why}; nothing was forced, and it runs on", "stop")
    one.forced = True
    guest.destroy()
    if not _wait(lambda: _is_off(connection, record, one), END_TIMEOUT):
        raise MaintenanceError(f"guest {one.name!r} {why}, and libvirt could not end it either", "stop")


def stop_all(record: StoppedTogether, timeout: float, force: bool) -> str:
    """Shut the guests down, the last to be started first. The lock is held by the caller.

    :param timeout: Seconds for each.
    :param force: See `stop`.
    :returns: What went wrong; empty when all are off.
    """
    ledger = StoppedLedger(places(record.uri))
    try:
        connection = Connection(record.uri)
        for one in reversed(record.guests):
            one.phase, one.asked_at = "stopping", time.time()
            ledger.write(record)
            stop(connection, record, one, timeout, force)
            if one.autostart:
                # At boot, or when it is restarted, libvirt would start it before its turn.
                connection.guest(one.uuid).set_autostart(False)
            one.phase = "stopped"
            ledger.write(record)
    except Exception as error:  # MaintenanceError says it; anything else is libvirt's
        return str(error) if isinstance(error, MaintenanceError) else describe(error)
    return ""
