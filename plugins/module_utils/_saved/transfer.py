# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving one guest, restoring it, and bringing back one that was left half way. The modules and the guard share it."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core import identity
from .._core.calls import Call, run_lanes
from .._core.errors import GuestGone, LedgerError, MaintenanceError
from .._core.kept_qemu import build_of, with_emulator
from .._system import boot_unit, host_power
from .._system.hypervisor import Connection, Guest, daemon_said, describe, libvirt_refused, unsupported
from .._system.qmp import capability
from . import confinement, quiesce, way_back
from .in_place import memory as in_place
from .ledger import SavedLedger
from .record import BACK, REBOOT, SavedGuest, SavedTogether
from .rules import Remains, recover_verdict

#: The suffix of an image from the moment on which its guest, restored paused, is resumed.
RESTORING = ".restoring"
#: How often a restore is tried before the guest is left to the guard.
TRIES = 3
#: Seconds between two tries.
BETWEEN = 0.5
#: Seconds for libvirt to end a save that was aborted.
ABORT_TIMEOUT = 60.0
#: Seconds for a host that was ordered to reboot to start with it: other programs may delay it (systemd-inhibit), by 5 s or by what its administrator allows.
HELD_UP = 120.0


def _ignore_shared(guest: Guest, value: bool) -> None:
    guest.monitor(capability(in_place.CAPABILITY, value))


def keep_memory_in_place(guest: Guest, one: SavedGuest) -> None:
    """Make the memory of a running guest outlive its QEMU.

    :raises MaintenanceError: code `memory`: it cannot be done; the guest runs on as before.
    """
    backends = in_place.backends_of(one.pid, guest.xml())
    # What is not shared and not ours is lost with the old QEMU: here, where QEMU is spoken to anyway, it has the last word.
    known = guest.monitor({"execute": "query-memdev"})
    shared = sorted(str(memory.get("id")) for memory in known if memory.get("share") is True)
    if not sorted(str(backend["id"]) for backend in backends) == sorted(one.ram) == shared or len(known) != len(shared):
        raise MaintenanceError(f"the memory of guest {one.name!r} has changed since it was looked at; it runs on as before, run again", "memory")
    try:
        os.makedirs(os.path.dirname(one.kept), mode=0o700, exist_ok=True)
        in_place.keep(backends, one.kept)
    except OSError as error:
        raise MaintenanceError(f"the memory of guest {one.name!r} cannot get a second name ({error})", "memory") from error
    try:
        _ignore_shared(guest, True)
    except Exception:
        in_place.forget(one.kept)
        raise


def _as_before(guest: Guest, one: SavedGuest) -> str:
    """The guest runs on: an ordinary save of it, by whomever, must hold its memory again.

    :returns: What is left to say; mostly empty.
    """
    if one.memory == "in_place":
        _ignore_shared(guest, False)
        in_place.forget(one.kept)
    if one.memory != "managed":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(one.image)
    elif guest.has_managed_save():
        # libvirt died in the middle of the save; the next start would bring an old state back.
        guest.remove_managed_save()
    if one.autostart:
        guest.set_autostart(True)
    return _thaw(guest, one)


def _thaw(guest: Guest, one: SavedGuest) -> str:
    """Thaw what was frozen for the save. Returns what is left to say; mostly empty."""
    if not one.quiesced:
        return ""
    left = quiesce.thaw(guest)
    one.quiesced = bool(left)
    return left


def goes_down(saving: SavedTogether) -> bool:
    """Whether the host is on its way down, or was ordered to go down just now: what is started now would be cut off."""
    ordered = saving.boot_id == identity.boot_id() and saving.rebooting_at is not None and abs(time.time() - saving.rebooting_at) < HELD_UP
    return ordered or host_power.goes_down()


def _is_there(guest: Guest) -> bool:
    try:
        return guest.state().state not in ("shutoff", "crashed", "nostate")
    except GuestGone:
        return False


def _save_in(guest: Guest, one: SavedGuest, formats: t.Sequence[str]) -> None:
    """Save a guest in the first of these formats that libvirt can make for it."""
    def act(image_format: str) -> None:
        if one.memory == "managed":
            guest.managed_save(image_format)
        else:
            guest.save(one.image, image_format)

    for image_format in formats[:-1]:
        try:
            act(image_format)
            return
        except Exception as error:
            if not unsupported(error):
                raise
    # Without any this fails, and the guest runs on.
    act(formats[-1])


def save(guest: Guest, one: SavedGuest, limit: float, formats: t.Sequence[str]) -> None:
    """Save a guest, or give up in time.

    :param limit: Seconds that it may take; then it is aborted, and the guest runs on.
    :param formats: Of the image, the best first. All of them can be restored.
    :raises MaintenanceError: code `save` or `quiesce`: it was not saved, and runs on. Code `unknown`: libvirt does not say, or it has ended.
    """
    if one.quiesced:
        try:
            quiesce.freeze(guest)
        except MaintenanceError:
            _as_before(guest, one)
            raise
    call = Call(lambda: _save_in(guest, one, formats))
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
        raise MaintenanceError(f"libvirt neither saves guest {one.name!r} nor gives up", "unknown") from error
    except Exception as error:
        if not daemon_said(error):
            raise MaintenanceError(f"libvirt was lost while it saved guest {one.name!r} ({describe(error)})", "unknown") from error
        if not _is_there(guest):
            raise MaintenanceError(f"guest {one.name!r} has ended while it was saved ({describe(error)})", "unknown") from error
        left = _as_before(guest, one)
        raise MaintenanceError(f"guest {one.name!r} could not be saved and runs on ({describe(error)}){left}", "save") from error


def _start(connection: Connection, one: SavedGuest, emulator: str) -> None:
    """Start the guest of an image: paused, but for that of a managed save. After an error image and memory are still there.

    :param emulator: What starts the QEMU that it had; empty: the installed one. Whatever is in the image, this is what it is started on.
    :raises Exception: libvirt's error, or what went wrong with the memory.
    """
    if one.memory == "managed":
        guest = connection.guest(one.uuid)
        xml = guest.managed_save_xml()
        wanted = with_emulator(in_place.with_handover(xml, None), emulator)
        if wanted != xml:
            guest.set_managed_save_xml(wanted)
        confinement.let(ET.fromstring(wanted))
        guest.start_from_managed_save()
        return
    # Where libvirt itself had said that an earlier try had failed, or the host went down in it, the image can still have the suffix.
    if not os.path.exists(one.image):
        os.rename(one.image + RESTORING, one.image)
    xml = connection.image_xml(one.image)
    if one.memory == "in_place":
        _start_in_place(connection, one, with_emulator(xml, emulator))
        return
    wanted = with_emulator(in_place.with_handover(xml, None), emulator)
    confinement.let(ET.fromstring(wanted))
    connection.restore(one.image, None if wanted == xml else wanted)


def restore(connection: Connection, one: SavedGuest) -> None:
    """Bring a guest back from its image: on the installed QEMU, and if that does not take it up, on the one that it had, where that is kept.

    Where neither does, the next call begins with the installed one again. After an error image and memory are still there.

    :raises Exception: libvirt's error, or what went wrong with the memory.
    """
    if not one.refused:
        try:
            _start(connection, one, "")
        except Exception as error:
            if not one.way_back or not libvirt_refused(error):
                raise
            # libvirt quotes what QEMU wrote into its log: the device that it could not make sense of.
            one.refused = describe(error)
    if one.refused:
        try:
            _start(connection, one, one.way_back)
        except Exception as error:
            refused, one.refused = one.refused, ""
            left = _mean_installed(connection, one) if one.memory == "managed" else ""
            raise MaintenanceError(
                f"the installed QEMU did not take it up ({refused}), and the one that it had, kept as {one.way_back}, did not either "
                f"({describe(error)}){left}", "restore",
            ) from error
    if one.memory != "managed":
        resume_restored(connection, one)


def _mean_installed(connection: Connection, one: SavedGuest) -> str:
    """Have whoever starts it from its managed save start it on the installed QEMU, as before. Returns what is left to say; empty when that is done."""
    try:
        guest = connection.guest(one.uuid)
        xml = guest.managed_save_xml()
        wanted = with_emulator(xml, "")
        if wanted != xml:
            guest.set_managed_save_xml(wanted)
    except Exception as error:  # its image is there all the same
        return f"; its managed save still names the kept one ({describe(error)})"
    return ""


def resume_restored(connection: Connection, one: SavedGuest) -> None:
    """Resume a guest that was restored paused, unless its owner had paused it. The suffix says from when on its image is an older state.

    :raises Exception: libvirt's error; the guest is there, paused.
    """
    guest = connection.guest(one.uuid)
    if one.memory == "managed":
        guest.resume()
        return
    if not one.paused:
        if os.path.exists(one.image):
            os.rename(one.image, one.image + RESTORING)
        try:
            guest.resume()
        except Exception as error:
            # Only if libvirt itself says that it failed is it known that the guest has not run.
            if daemon_said(error):
                os.rename(one.image + RESTORING, one.image)
            raise
    _forget_image(one)


def _forget_image(one: SavedGuest) -> None:
    for path in (one.image, one.image + RESTORING):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _start_in_place(connection: Connection, one: SavedGuest, xml: str) -> None:
    owner = os.stat(os.path.join(one.kept, one.ram[0]))
    meeting = in_place.arrange(one.uuid, owner.st_uid, owner.st_gid)
    wanted = in_place.with_handover(xml, meeting)
    confinement.let(ET.fromstring(wanted))
    handover = in_place.Handover(meeting, one.kept)
    handover.start()
    try:
        connection.restore(one.image, wanted)
    finally:
        handover.stop()
        in_place.leave(meeting)


def _settle_back(connection: Connection, one: SavedGuest, why: str, at: float) -> None:
    """Close the entry of a guest that is back. On which QEMU it says itself: who brought it back may have died before he could."""
    emulator = connection.guest(one.uuid).xml().findtext("devices/emulator", "")
    if build_of(emulator) is None:
        one.settle("restored", why, at)
        return
    refused = one.refused or "libvirt's log of it has what it said"
    one.settle("returned", f"the installed QEMU did not take it up ({refused}); it is back on the QEMU that it had", at)


def after(connection: Connection, one: SavedGuest) -> str:
    """Tidy up once a guest is back. Its QEMU must not leave memory out of anybody else's save.

    Its mark stays: until the ledger says that it is back, the mark does (`forget_marks`).

    :returns: What is left to say; mostly empty.
    """
    guest = connection.guest(one.uuid)
    if one.memory == "in_place":
        _ignore_shared(guest, False)
        in_place.forget(one.kept)
    # An image of libvirt's own still has what an earlier move in place added, and its QEMU makes these files again.
    in_place.leave(in_place.meeting_of(one.uuid))
    if one.memory == "managed" and guest.has_managed_save():
        # libvirt died between the start and the removal; the next start would bring an old state back.
        guest.remove_managed_save()
    if one.autostart:
        guest.set_autostart(True)
    # Before its clock: until then its agent sets none. And before the profile, which takes the kernel a while.
    left = _thaw(guest, one)
    return "; ".join(part for part in (left, confinement.as_started(guest.xml())) if part)


def forget_marks(connection: Connection, saving: SavedTogether) -> None:
    """Take the marks off the guests that the ledger says are back, or were not touched."""
    for one in saving.guests:
        if one.outcome in BACK:
            with contextlib.suppress(Exception):  # it has ended, or is stuck; a mark of a closed ledger is harmless
                guest = connection.guest(one.uuid)
                if guest.id >= 0 and guest.token() == saving.id:
                    guest.clear_token()


def image_state(one: SavedGuest) -> str:
    """What is there of a guest whose image is a file of ours: `saved`, `restoring` or `absent`."""
    if os.path.exists(one.image + RESTORING):
        return "restoring"
    return "saved" if os.path.exists(one.image) else "absent"


def _remains(connection: Connection, one: SavedGuest, same_boot: bool) -> tuple[Remains, Guest | None]:
    managed = one.memory == "managed"
    image = "absent" if managed else image_state(one)
    try:
        guest = connection.guest(one.uuid)
        state = guest.state()
    except GuestGone:
        return Remains(None, False, None, None, None, image), None
    if guest.id < 0:
        if managed:
            # libvirt removes it when the guest has been started from it: so this guest has not run since.
            return Remains(state, False, None, None, "saved", "saved" if guest.has_managed_save() else "absent"), guest
        return Remains(state, False, None, None, state.reason, image), guest
    same = same_boot and guest.id == one.id and identity.is_alive(identity.ProcessIdentity(one.pid, one.start_time))
    if managed and guest.has_managed_save():
        # libvirt removes it last.
        image = "saved"
    return Remains(state, same, guest.token(), guest.job(), None, image), guest


def _without_a_part(connection: Connection, one: SavedGuest, found: Remains, guest: Guest | None) -> Remains:
    """Remove an image that was never finished, because its guest ended while it was saved: it cannot be restored from."""
    if one.phase != "moving" or found.image != "saved" or found.same_process:
        return found
    if one.memory == "managed" and guest is not None:
        if guest.managed_save_is_whole():
            return found
        guest.remove_managed_save()
    else:
        if connection.image_is_whole(one.image):
            return found
        os.unlink(one.image)
    return dataclasses.replace(found, image="absent")


def bring_back(connection: Connection, saving: SavedTogether, one: SavedGuest) -> None:
    """One look at a guest that may have been left half way, and what it calls for. The entry is changed in place; its mark stays.

    :raises Exception: libvirt's error; the entry is as it was.
    """
    same_boot = saving.boot_id == identity.boot_id()
    if one.phase == "planned" and same_boot:
        one.settle("untouched", "it was not started")
        return
    if one.memory == "in_place" and in_place.is_waiting(in_place.meeting_of(one.uuid), one.pid):
        # libvirt waits for this QEMU, holding the guest; and QEMU waits for somebody who has died. Nothing else is known before it goes on.
        handover = in_place.Handover(in_place.meeting_of(one.uuid), one.kept)
        handover.run()
        one.message = handover.problem or "libvirt is restoring it"
        in_place.leave(in_place.meeting_of(one.uuid))
        return
    found, guest = _remains(connection, one, same_boot)
    found = _without_a_part(connection, one, found, guest)
    verdict, why = recover_verdict(saving.id, one.paused, found)
    one.message = why
    if verdict == "abort" and guest is not None:
        guest.abort_job()
    elif verdict in ("restore", "resume"):
        (restore if verdict == "restore" else resume_restored)(connection, one)
        left = _after(connection, saving, one)
        _settle_back(connection, one, f"restored from where it was saved{left[0]}", left[1])
    elif verdict == "restored":
        left = _after(connection, saving, one)
        _settle_back(connection, one, why + left[0], left[1])
        # Last: until it is known to be back, and where, there is its image.
        if one.memory != "managed":
            _forget_image(one)
    elif verdict == "untouched" and guest is not None:
        one.settle("untouched", why + _as_before(guest, one))
    elif verdict in ("gone", "not_ours", "keep"):
        if one.autostart and guest is not None:
            guest.set_autostart(True)
        if not same_boot and one.phase != "saved" and found.image == "absent":
            started = "; it was started anew since" if verdict == "not_ours" else ""
            why = f"the host went down before it was saved, and its memory is lost{started}"
        _give_up(one, verdict, why, found.image != "absent")


def _after(connection: Connection, saving: SavedTogether, one: SavedGuest) -> tuple[str, float]:
    """`after`, and from when on the guest's applications work: those of one that was quiesced, from its thaw on."""
    at = saving.now()
    was = one.quiesced
    left = after(connection, one)
    return left, saving.now() if was else at


def _give_up(one: SavedGuest, verdict: str, why: str, has_image: bool) -> None:
    """Close an entry whose guest is not brought back."""
    if verdict == "keep":
        one.settle("not_ours", f"{why}; it was left off. Its memory is still in {one.image}{RESTORING}: restore it with virsh if it has not run")
        return
    left = f"; what it was when it was saved is still in {os.path.dirname(one.image)}, remove it when you are sure" if has_image else ""
    one.settle("gone" if verdict == "gone" else "not_ours", why + left)


def bring_back_all(
    uri: str, ledger: SavedLedger, saving: SavedTogether, by: str, say: t.Callable[[str], None], runs_again: t.Callable[[SavedGuest, float], None],
) -> bool:
    """One pass over the guests that an interrupted program, or a reboot, left saved; in their order.

    :param by: Who does it: `module` or `guard`.
    :param say: Takes what is worth reporting, one line at a time.
    :param runs_again: Called with each guest as soon as it runs again, with the `CLOCK_MONOTONIC` seconds.
    :returns: Whether nothing is left to do; the ledger is closed then.
    :raises LibvirtUnreachable: libvirt does not answer.
    """
    rebooted = saving.boot_id != identity.boot_id()
    connection: Connection | None = None
    if rebooted and saving.technique != REBOOT:
        for one in saving.unsettled():
            one.settle("gone", "the host was rebooted since, and what was in its memory is lost")
    elif saving.technique == REBOOT and not rebooted and goes_down(saving):
        say("the host is on its way down; its guests are restored when it has booted")
        return False
    else:
        connection = Connection(uri)
        if rebooted and saving.rebooting_at is not None and saving.awaits_reboot:
            saving.reboot_took = max(0.0, time.time() - saving.rebooting_at)
        for one in saving.unsettled():
            try:
                bring_back(connection, saving, one)
                if one in saving.clocks_due:
                    runs_again(one, saving.back_at(one) or time.monotonic())
            except Exception as error:  # one guest's trouble must not keep the others away
                one.message = f"it could not be brought back ({describe(error)}); trying again"
            if saving.technique == REBOOT:
                with contextlib.suppress(LedgerError):  # reported at the end of the pass
                    ledger.write(saving)
    for one in saving.guests:
        say(f"guest {one.name}: {one.outcome or one.phase}: {one.message}")
    try:
        ledger.write(saving)
        if connection is not None:
            forget_marks(connection, saving)
        if not saving.unsettled():
            close(ledger, saving, by)
            _removed, problem = way_back.tidy(uri)
            if problem:
                say(problem)
    except LedgerError as error:
        say(error.problem)
        return False
    return not saving.is_open


def close(ledger: SavedLedger, saving: SavedTogether, by: str) -> None:
    """Write down that nothing is left to do.

    :param by: Who did it: `module` or `guard`.
    :raises LedgerError: It could not be written, and the saving is still open.
    """
    saving.closed_at, saving.closed_by = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), by
    try:
        ledger.write(saving)
    except LedgerError:
        saving.closed_at = saving.closed_by = None
        raise
    if saving.technique == REBOOT:
        boot_unit.RESTORE.remove()
