# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving one guest to the installed QEMU, and bringing back one that was left half way. The module and the guard share it."""
from __future__ import annotations

import contextlib
import os
import time
import typing as t

from . import _identity, _ram_in_place
from ._calls import Call, run_lanes
from ._errors import GuestGone, LedgerError, MaintenanceError
from ._hypervisor import Connection, Guest, daemon_said, describe
from ._ledger import RefreshLedger
from ._qmp import capability
from ._refresh_document import Move, Refresh
from ._refresh_rules import Remains, recover_verdict

#: The suffix of an image while libvirt is asked to restore it: from then on the guest may have run.
RESTORING = ".restoring"
#: How often a restore is tried before the guest is left to the guard.
TRIES = 3
#: Seconds between two tries.
BETWEEN = 0.5
#: Seconds for libvirt to end a save that was aborted.
ABORT_TIMEOUT = 60.0


def _ignore_shared(guest: Guest, value: bool) -> None:
    guest.monitor(capability(_ram_in_place.CAPABILITY, value))


def stay_in_place(guest: Guest, move: Move) -> None:
    """Make the memory of a running guest outlive its QEMU.

    :raises MaintenanceError: code C(memory): it cannot be done; the guest runs on as before.
    """
    backends = _ram_in_place.memory_backends(_ram_in_place.command_line(move.pid))
    if sorted(str(one["id"]) for one in backends) != sorted(move.ram):
        raise MaintenanceError(f"the memory of guest {move.name!r} has changed since it was looked at", "memory")
    try:
        os.makedirs(os.path.dirname(move.kept), mode=0o700, exist_ok=True)
        _ram_in_place.keep(backends, move.kept)
    except OSError as error:
        raise MaintenanceError(f"the memory of guest {move.name!r} cannot get a second name ({error})", "memory") from error
    try:
        _ignore_shared(guest, True)
    except Exception:
        _ram_in_place.forget(move.kept)
        raise


def _as_before(guest: Guest, move: Move) -> None:
    """The guest runs on: an ordinary save of it, by whomever, must hold its memory again."""
    if move.memory == "in_place":
        _ignore_shared(guest, False)
        _ram_in_place.forget(move.kept)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(move.image)


def save(guest: Guest, move: Move, limit: float) -> None:
    """Save a guest, or give up in time.

    :param limit: Seconds that it may take; then it is aborted, and the guest runs on.
    :raises MaintenanceError: code C(save): it was not saved, and runs on. Code C(unknown): libvirt does not say.
    """
    call = Call(lambda: guest.save(move.image))
    run_lanes([[call]], 1, limit)
    if call.state == "running":
        with contextlib.suppress(Exception):  # it may just have ended
            guest.abort_job()
        give_up = time.monotonic() + ABORT_TIMEOUT
        while call.state == "running" and time.monotonic() < give_up:
            time.sleep(0.02)
    try:
        call.result()
    except TimeoutError as error:
        raise MaintenanceError(f"libvirt neither saves guest {move.name!r} nor gives up", "unknown") from error
    except Exception as error:
        if not daemon_said(error):
            raise MaintenanceError(f"libvirt was lost while it saved guest {move.name!r} ({describe(error)})", "unknown") from error
        _as_before(guest, move)
        raise MaintenanceError(f"guest {move.name!r} could not be saved and runs on ({describe(error)})", "save") from error


def restore(connection: Connection, move: Move) -> None:
    """Start the guest of an image, on the QEMU that is installed. After an error image and memory are still there.

    :raises Exception: libvirt's error, or what went wrong with the memory.
    """
    restoring = move.image + RESTORING
    if os.path.exists(move.image):
        os.rename(move.image, restoring)
    try:
        if move.memory == "in_place":
            _restore_in_place(connection, move, restoring)
        else:
            xml = connection.image_xml(restoring)
            cleaned = _ram_in_place.with_handover(xml, None)
            connection.restore(restoring, None if cleaned == xml else cleaned)
    except Exception as error:
        # Only if libvirt itself says that it failed is it known that the guest has not run.
        if daemon_said(error):
            os.rename(restoring, move.image)
        raise
    os.unlink(restoring)


def _restore_in_place(connection: Connection, move: Move, image: str) -> None:
    owner = os.stat(os.path.join(move.kept, move.ram[0]))
    meeting = _ram_in_place.arrange(move.uuid, owner.st_uid, owner.st_gid)
    handover = _ram_in_place.Handover(meeting, move.kept)
    handover.start()
    try:
        connection.restore(image, _ram_in_place.with_handover(connection.image_xml(image), meeting))
    finally:
        handover.stop()
        _ram_in_place.leave(meeting)


def after(connection: Connection, move: Move) -> None:
    """Tidy up once a guest is back. Its QEMU must not leave memory out of anybody else's save."""
    guest = connection.guest(move.uuid)
    if move.memory == "in_place":
        _ignore_shared(guest, False)
        _ram_in_place.forget(move.kept)
    guest.clear_token()


def image_state(move: Move) -> str:
    """What is there of a guest: C(saved), C(restoring) or C(absent)."""
    if os.path.exists(move.image + RESTORING):
        return "restoring"
    return "saved" if os.path.exists(move.image) else "absent"


def _remains(connection: Connection, move: Move) -> tuple[Remains, Guest | None]:
    image = image_state(move)
    try:
        guest = connection.guest(move.uuid)
        state = guest.state()
    except GuestGone:
        return Remains(None, False, None, None, None, image), None
    if guest.id < 0:
        return Remains(state, False, None, None, state.reason, image), guest
    same = guest.id == move.id and _identity.is_alive(_identity.ProcessIdentity(move.pid, move.start_time))
    return Remains(state, same, guest.token(), guest.job(), None, image), guest


def bring_back(connection: Connection, refresh: Refresh, move: Move) -> None:
    """One look at a guest that may have been left half way, and what it calls for. The entry is changed in place.

    :raises Exception: libvirt's error; the entry is as it was.
    """
    if move.phase == "planned":
        move.settle("untouched", "it was not begun with")
        return
    if move.memory == "in_place" and image_state(move) == "restoring" and _ram_in_place.is_waiting(_ram_in_place.meeting_of(move.uuid)):
        # libvirt waits for this QEMU, holding the guest; and QEMU waits for somebody who has died. Nothing else is known before it goes on.
        handover = _ram_in_place.Handover(_ram_in_place.meeting_of(move.uuid), move.kept)
        handover.run()
        move.message = handover.problem or "libvirt is restoring it"
        _ram_in_place.leave(_ram_in_place.meeting_of(move.uuid))
        return
    found, guest = _remains(connection, move)
    verdict, why = recover_verdict(refresh.id, move.paused, found)
    move.message = why
    if verdict == "abort" and guest is not None:
        guest.abort_job()
    elif verdict == "restore":
        restore(connection, move)
        move.settle("refreshed", "restored from where it was saved", time.monotonic())
        after(connection, move)
    elif verdict == "refreshed":
        after(connection, move)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(move.image + RESTORING)
        move.settle("refreshed", why, time.monotonic())
    elif verdict == "untouched" and guest is not None:
        _as_before(guest, move)
        guest.clear_token()
        move.settle("untouched", why)
    elif verdict in ("gone", "not_ours"):
        left = "" if found.image == "absent" else f"; what it was when it was saved is still in {os.path.dirname(move.image)}, remove it when you are sure"
        move.settle(t.cast(t.Any, verdict), why + left)
    elif verdict == "keep":
        move.settle("not_ours", f"{why}; it was left off. Its memory is still in {move.image}{RESTORING}: restore it with virsh if it has not run")


def bring_back_all(uri: str, ledger: RefreshLedger, refresh: Refresh, by: str, say: t.Callable[[str], None]) -> bool:
    """One pass over the guests of an interrupted refresh.

    :param by: Who does it: C(module) or C(guard).
    :param say: Takes what is worth telling, one line at a time.
    :returns: Whether nothing is left to do; the ledger is closed then.
    :raises LibvirtUnreachable: libvirt does not answer.
    """
    if refresh.boot_id != _identity.boot_id():
        for move in refresh.unsettled():
            move.settle("gone", "the host was rebooted since, and what was in its memory is lost")
    else:
        connection = Connection(uri)
        for move in refresh.unsettled():
            try:
                bring_back(connection, refresh, move)
            except Exception as error:  # one guest's trouble must not keep the others away
                move.message = f"it could not be brought back ({describe(error)}); trying again"
    for move in refresh.guests:
        say(f"guest {move.name}: {move.outcome or move.phase}: {move.message}")
    if not refresh.unsettled():
        refresh.closed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        refresh.closed_by = by
    try:
        ledger.write(refresh)
    except LedgerError as error:
        say(error.problem)
        return False
    return not refresh.is_open
