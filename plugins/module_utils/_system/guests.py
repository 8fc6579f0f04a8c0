# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests of a host before anything is touched: which ones are meant, and what libvirt says of each."""
from __future__ import annotations

import dataclasses
import getpass
import os
import stat
import time
import typing as t

from .._core.calls import Call, run_lanes
from .._core.errors import GuestGone, MaintenanceError
from .._core.places import Places
from .._core.states import Blocker, GuestFacts, State, pause_blockers
from .hypervisor import Connection, Guest, describe, opted_out
from .qemu_conf import LockManager, lock_manager
from .status_file import GuestProcess, guest_process

#: Seconds that the preflight waits for all guests together. A guest that does not answer is refused.
PREFLIGHT_TIMEOUT = 15.0
#: Seconds between two looks whether a job has ended.
JOB_LOOK = 1.0


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An active guest as the preflight found it.

    :ivar guest: Its handle on the control connection.
    :ivar facts: What was looked at.
    :ivar process: Its QEMU process, or `None` when unknown.
    :ivar blockers: Why it cannot be paused; empty when it can.
    """

    guest: Guest
    facts: GuestFacts
    process: GuestProcess | None
    blockers: list[Blocker]


def opener() -> str:
    """Who runs this, in words: the user, and where the SSH session comes from."""
    client = os.environ.get("SSH_CLIENT", "").split()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.geteuid()}"
    return f"{user} from {client[0]}" if client else user


def select(running: t.Sequence[Guest], inactive: t.Sequence[tuple[str, str]], names: t.Sequence[str]) -> list[Guest]:
    """The guests which the operator named.

    :param running: All active guests.
    :param inactive: Name and UUID of the defined guests that are not active.
    :param names: Names or UUIDs; empty: all active guests.
    :raises MaintenanceError: code `guest_unknown`: names that are no active guest here.
    """
    if not names:
        return list(running)
    chosen: dict[str, Guest] = {}
    missing: list[str] = []
    by_key = {key: guest for guest in running for key in (guest.uuid, guest.name)}
    asleep = {key for pair in inactive for key in pair}
    for name in names:
        guest = by_key.get(name)
        if guest is not None:
            chosen[guest.uuid] = guest
        elif name in asleep:
            missing.append(f"guest {name!r} is defined on this host but does not run")
        else:
            missing.append(f"guest {name!r} does not exist on this host")
    if missing:
        raise MaintenanceError(
            f"{'; '.join(missing)}; no guest was touched. Active guests are: "
            f"{', '.join(guest.name for guest in running) or 'none'}", "guest_unknown",
        )
    return list(chosen.values())


def _no_fallback(process: GuestProcess, lock_manager: str | None) -> Blocker | None:
    """Why only libvirt could resume a guest, should libvirtd be gone; `None`: QEMU's own monitor can be used."""
    if process.taken is None:
        return Blocker("devices_unknown", "libvirt's status file does not name its network devices, so only libvirt could give them back to it")
    if process.taken.leases:
        disks = ", ".join(process.taken.leases[:3]) + (", ..." if len(process.taken.leases) > 3 else "")
        return Blocker(
            "leases", f"{lock_manager} guards {disks} for it, and gives the lease up while the guest is paused; only libvirt can take it again, so without "
            "libvirtd the guest would stay paused past its deadline",
        )
    try:
        usable = stat.S_ISSOCK(os.stat(process.monitor).st_mode) and os.access(process.monitor, os.W_OK)
        why = "" if usable else "it is no socket that this user may write to"
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        return Blocker("monitor", f"QEMU's monitor of it cannot be reached ({process.monitor or 'libvirt names none'}: {why}), so only libvirt could resume it")
    return None


def _facts(guest: Guest, where: Places, locks: LockManager) -> tuple[GuestFacts, GuestProcess | None]:
    state = guest.state()
    process = guest_process(where, guest.name, guest.uuid, locks)
    if not state.executes:
        return GuestFacts(state), process
    xml = guest.xml()
    return GuestFacts(
        state=state, job=guest.job(), block_jobs=guest.block_jobs(xml), opted_out=opted_out(xml),
        fake_reboot=process is not None and process.fake_reboot, status_known=process is not None,
        no_fallback=None if process is None else _no_fallback(process, locks.name),
    ), process


def _locks() -> LockManager:
    try:
        return lock_manager()
    except OSError as error:
        raise MaintenanceError(
            f"libvirt's configuration cannot be read ({error}), so it is not known whether a lock manager guards the guests' disks; no guest was touched. "
            "Run as root (become: true)", "qemu_conf",
        ) from error


def _has_job(guest: Guest) -> bool:
    """Whether somebody works on a guest: a domain job, or a block job on one of its disks."""
    try:
        return guest.job() is not None or bool(guest.block_jobs(guest.xml()))
    except GuestGone:
        return False


def wait_for_jobs(uri: str, names: t.Sequence[str], exclude: t.Collection[str], timeout: float) -> None:
    """Wait for the jobs on guests to end, a backup for example. Those that do not are left to the preflight, which refuses them.

    :param names: Names or UUIDs of the guests; empty: all active guests.
    :param exclude: Those of guests that do not matter.
    :param timeout: Seconds.
    """
    if timeout <= 0:
        return
    give_up = time.monotonic() + timeout
    connection = Connection(uri)
    guests = [one for one in select(connection.running(), connection.inactive_names(), names) if not {one.name, one.uuid} & set(exclude)]
    while guests and time.monotonic() < give_up:
        calls = [Call(lambda guest=guest: _has_job(guest)) for guest in guests]
        run_lanes([calls], 4, PREFLIGHT_TIMEOUT)
        # One that does not answer, or with an error, is not waited for: the preflight reports it.
        guests = [guest for guest, call in zip(guests, calls) if call.state == "done" and call.value]
        if guests:
            time.sleep(min(JOB_LOOK, max(0.0, give_up - time.monotonic())))


def preflight(guests: t.Sequence[Guest], where: Places) -> list[Candidate]:
    """Look at every guest before anything is touched. A guest that does not answer is a blocker, not a hang.

    :param guests: The guests, on one connection.
    :raises MaintenanceError: code `qemu_conf`: libvirt's configuration cannot be read.
    """
    locks = _locks()
    calls = [Call(lambda guest=guest: _facts(guest, where, locks)) for guest in guests]
    run_lanes([calls], 4, PREFLIGHT_TIMEOUT)
    found: list[Candidate] = []
    for guest, call in zip(guests, calls):
        try:
            facts, process = call.result()
            blockers = pause_blockers(facts)
        except GuestGone:
            continue  # it ended while we looked; there is nothing to pause
        except Exception as error:  # a time-out or libvirt's error: either way this guest cannot be judged
            facts, process = GuestFacts(State("unknown", "unknown"), status_known=False), None
            blockers = [Blocker("no_answer", f"libvirt could not say in which state it is ({describe(error)})")]
        found.append(Candidate(guest, facts, process, blockers))
    return found
