# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: a guest whose saved state the installed QEMU does not take up is restored on the one that it had. For whom there is one, and what is kept."""
from __future__ import annotations

import os
import typing as t
import xml.etree.ElementTree as ET

from .._core import kept_qemu as names
from .._core.states import State
from .._system import apparmor, apparmor_daemon, kept_qemu, qemu_processes, running_code
from .._system.hypervisor import Connection, describe
from . import confinement


def _cannot_be_kept(xml: ET.Element, emulator: str, pid: int) -> str | None:
    """Why the QEMU of a guest cannot be kept, or `None` when it can be.

    :param xml: The live XML.
    :param emulator: The installed one of its definition.
    :param pid: The process.
    """
    why = confinement.obstacle(xml) or apparmor_daemon.obstacle()
    if why is not None:
        return why
    program = names.installed(running_code.program(pid) or "")
    if os.path.realpath(emulator) != os.path.realpath(program):
        return f"its emulator {emulator} is not the program that it runs ({program}), but starts that in a way of its own"
    folder = names.KEPT
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return f"{folder} is mounted noexec"
    return None


def none_because(xml: ET.Element, emulator: str, pid: int) -> str | None:
    """Why a guest has no way back, or `None` when it has one, or will have once its QEMU is kept. Nothing is touched.

    :param xml: The live XML.
    :param emulator: The installed one of its definition.
    :param pid: Its QEMU.
    """
    why = _cannot_be_kept(xml, emulator, pid)
    return None if why is None else f"its QEMU cannot be kept: {why}"


def keep(connection: Connection, xml: ET.Element, emulator: str, pid: int) -> tuple[str, str | None]:
    """Keep the QEMU of a guest, and see that libvirt can start the guest's machine with what is kept.

    libvirt asks an emulator that it does not know yet what it can do, which takes half a second: so that is done by the time that it is needed.

    :param xml: The live XML.
    :param emulator: The installed one of its definition.
    :param pid: Its QEMU.
    :returns: What starts it, empty when there is no way back; and why there is none.
    """
    why = none_because(xml, emulator, pid)
    if why is not None:
        return "", why
    try:
        start = kept_qemu.keep(pid, emulator)
        apparmor_daemon.let_start(names.KEPT)
        connection.check_machine(start, xml)
    except Exception as error:  # the guest is none the worse for it
        return "", f"its QEMU cannot be kept: {describe(error)}"
    return start, None


def _is_old(pid: int) -> bool:
    """Whether a QEMU is kept, or another is installed in its place. Of what is installed it can be had again."""
    program = running_code.program(pid) or ""
    return names.is_kept(program) or running_code.build_id_of(program) != running_code.program_build_id(pid)


def _needed(connection: Connection) -> set[str] | None:
    """The builds that a guest needs which runs what is not installed any more, or which is saved with a definition that names one; `None`: not known."""
    found = {running_code.program_build_id(process.pid) for process in qemu_processes.qemu_processes() if _is_old(process.pid)}
    for guest in connection.defined():
        if guest.id >= 0:
            continue
        if guest.has_managed_save():
            found.add(names.build_of(ET.fromstring(guest.managed_save_xml()).findtext("devices/emulator", "")))
        elif guest.state() == State("shutoff", "saved"):
            # To a file of its owner's, of which nothing is known.
            return None
    return {one for one in found if one}


def tidy(uri: str, wanted: t.Iterable[str] = ()) -> tuple[list[str], str]:
    """Remove the kept QEMUs that no guest needs any more. The lock is held by the caller.

    :param wanted: What starts those that are needed in any case.
    :returns: The builds that were removed, and what went wrong, if anything did.
    """
    kept = kept_qemu.builds()
    removed: list[str] = []
    try:
        needed = _needed(Connection(uri)) if kept else None
        for build in kept if needed is not None else []:
            if build not in needed and build not in {names.build_of(start) for start in wanted}:
                kept_qemu.remove(build)
                removed.append(build)
        there = kept_qemu.builds()
        apparmor.forget(names.KEPT, {names.folder_of(build) for build in there})
        if not there:
            apparmor_daemon.take_back()
    except Exception as error:  # room on a disk, or a rule for what is not there any more
        return removed, (
            f"a QEMU in {names.KEPT} that no guest needs any more, or AppArmor's rule for one, is still kept ({describe(error)}); the next refresh removes it"
        )
    return removed, ""
