# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving, before a guest is saved, that libvirt and the installed QEMU can restore what they save: on guests that are thrown away.

It is done under the ledger's lock. What it has of the host, and who removes that should it die, is in `leftovers`.
"""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.calls import Call, run_lanes
from .._core.errors import MaintenanceError
from .._core.places import Places
from .._core.throwaway import new_throwaway
from .._system.hypervisor import Connection, Guest, describe
from .._system.status_file import guest_process
from . import transfer
from .in_place import memory as in_place
from .leftovers import forget, proof_folder
from .pair import Trial, judged, pair_of, throwaway_xml
from .plan import Plan, prepare
from .record import SavedGuest
from .room import MIB
from .rules import memory_folder

#: How many are tried at once: each is a QEMU that starts twice.
AT_ONCE = 4
#: Seconds for all of them. One takes about 2 s.
TIMEOUT = 120.0
#: Seconds for the save of one.
SAVE_LIMIT = 30.0
#: Where in the memory of a guest in place something is written, and how much, bytes.
_MARK_AT, _MARK_SIZE = 8 * MIB, 64


def prove(uri: str, where: Places, plans: t.Sequence[Plan]) -> None:
    """Try what is about to be done with these guests, and leave in each plan the image formats that can be restored, or a blocker.

    :raises MaintenanceError: code `proof`, `folder`: it cannot be tried, or what is left of it not be removed; no guest was touched.
    """
    wanted = {plan.candidate.guest.uuid: _trials(plan) for plan in plans}
    failures = _try_all(uri, where, list(dict.fromkeys(trial for trials in wanted.values() for trial in trials)))
    for plan in plans:
        plan.formats, blocker = judged(wanted[plan.candidate.guest.uuid], failures)
        plan.blockers += [] if blocker is None else [blocker]


def _trials(plan: Plan) -> list[Trial]:
    pair = pair_of(plan.candidate.guest.xml(), plan.emulator)
    return [Trial(pair, plan.memory == "in_place", image_format) for image_format in plan.formats]


def _try_all(uri: str, where: Places, trials: t.Sequence[Trial]) -> dict[Trial, str]:
    """Try them, several at once.

    :returns: By trial that failed, why.
    """
    if not trials:
        return {}
    prepare(proof_folder(where))
    calls = {trial: Call(lambda trial=trial: _try(uri, where, trial)) for trial in trials}
    try:
        run_lanes([list(calls.values())], AT_ONCE, TIMEOUT)
    finally:
        forget(uri, where)
    failures = {}
    for trial, call in calls.items():
        try:
            call.result()
        except TimeoutError:
            failures[trial] = f"libvirt was not done with it within {TIMEOUT:g} s"
        except Exception as error:  # MaintenanceError says it; anything else is libvirt's
            failures[trial] = describe(error)
    return failures


def _try(uri: str, where: Places, trial: Trial) -> None:
    """Start a guest on the installed QEMU, and take it through the save and the restore of a real one.

    :raises Exception: What went wrong.
    """
    # The guest ends with the connection that has started it.
    connection = Connection(uri)
    who = new_throwaway()
    try:
        guest = connection.start_throwaway(throwaway_xml(who, trial.pair, trial.in_place))
    except Exception:
        if not trial.in_place:
            raise
        # Its file finds no room: a pool of huge pages can be all used up, or have pages larger than it is. What is left to prove is the image.
        trial = trial._replace(in_place=False)
        guest = connection.start_throwaway(throwaway_xml(who, trial.pair, False))
    try:
        one = _entry(where, guest, trial)
        mark = b""
        if trial.in_place:
            transfer.keep_memory_in_place(guest, one)
            mark = _mark(one)
        transfer.save(guest, one, SAVE_LIMIT, [trial.image_format])
        transfer.restore(connection, one)
        if trial.in_place and _marked(one) != mark:
            raise MaintenanceError("its memory was not what it had been", "memory")
    finally:
        with contextlib.suppress(Exception):  # it has gone, or libvirt is busy with it; `forget` sees to that
            connection.guest(who.uuid).destroy()


def _mark(one: SavedGuest) -> bytes:
    """Write something into its memory, which nothing but a restore that does not leave it alone can change: it executes nothing."""
    mark = os.urandom(_MARK_SIZE)
    with open(_ram(one), "r+b") as stream:
        stream.seek(_MARK_AT)
        stream.write(mark)
    return mark


def _marked(one: SavedGuest) -> bytes:
    with open(_ram(one), "rb") as stream:
        stream.seek(_MARK_AT)
        return stream.read(_MARK_SIZE)


def _ram(one: SavedGuest) -> str:
    return os.path.join(one.kept, one.ram[0])


def _entry(where: Places, guest: Guest, trial: Trial) -> SavedGuest:
    """What the ledger would say of it: a guest that is paused, and is to be so again."""
    process = guest_process(where, guest.name, guest.uuid)
    if process is None:
        raise MaintenanceError("libvirt's status file of it cannot be read", "status_unknown")
    one = SavedGuest(
        guest.name, guest.uuid, guest.id, process.process.pid, process.process.start_time, True, "copy",
        os.path.join(proof_folder(where), f"{guest.uuid}.save"), [], "",
    )
    if trial.in_place:
        backends = in_place.backends_of(one.pid, guest.xml())
        folder = memory_folder(str(backends[0].get("mem-path", ""))) if backends else None
        if folder is None:
            raise MaintenanceError("its memory is not in libvirt's own folder (memory_backing_dir)", "memory")
        one.memory, one.ram, one.kept = "in_place", [str(backend["id"]) for backend in backends], os.path.join(folder, "vm_preserving", guest.uuid)
    return one
