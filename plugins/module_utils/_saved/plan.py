# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a guest before it is saved: what keeps it from being so, where its memory can go, how much there is of it."""
from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core.calls import call_with_timeout
from .._core.errors import MaintenanceError
from .._core.kept_qemu import installed as installed_emulator
from .._core.places import places
from .._core.states import Blocker, pause_blockers
from .._system import qemu_program, qemu_says
from .._system.guest_helpers import helpers
from .._system.guests import Candidate
from .._system.hypervisor import Connection, Guest, describe
from .._system.memory_backing import memory_backing_dir
from .._system.open_files import Found, at_path, open_files, users_of
from .._system.process_memory import host_memory, mapped_whole, process_memory
from .._updates import stale
from . import confinement, quiesce, way_back
from .in_place import gathering
from .in_place import memory as in_place
from .ownership import Owners
from .pair import image_formats
from .restore_needs import Need, firmware_by_name, missing, needs, rom_blocker
from .room import MIB, CopyNeed, Room, copy_need, room
from .rules import Letting, in_place_obstacle, memory_folder, predicted_in_place, save_blockers

#: Bytes that are copied to learn how fast this host does that.
PROBE = 64 * MIB
#: Seconds for the file systems to say what is at the paths that a guest needs.
FILES_TIMEOUT = 15.0
#: QEMU tells from here on why it would not save a guest (qapi/migration.json, blocked-reasons) ...
_TELLS_REASONS = (6,)
#: ... and libvirt leaves devices of the host to that from here on (8.6, src/qemu/qemu_migration.c).
_LEAVES_TO_QEMU = 8_006_000
#: QEMU says from here on which of its memory is shared (qapi/machine.json, Memdev).
_TELLS_SHARED = (6, 1)

#: Seconds to look at one guest: a QEMU that is stuck must not hold up the whole host.
LOOK_TIMEOUT = 30.0


@dataclasses.dataclass
class Plan:
    """What would be done with one guest.

    :ivar candidate: The guest as the preflight found it.
    :ivar emulator: Path of the QEMU that is installed.
    :ivar left_alone: Why it is not moved, whatever it runs; `None`: it may be.
    :ivar stale: Its QEMU, or a helper that is renewed with it, runs code that is not what is installed, and it is not left alone.
    :ivar skipped: It cannot be moved, and the operator wants the others to be.
    :ivar memory: `copy` or `in_place`.
    :ivar why_copy: Why its memory cannot stay in place, or `None`.
    :ivar ram: For `in_place`: the ids of its memory backends.
    :ivar kept: For `in_place`: the folder of the second names.
    :ivar formats: Of its image, the best first. Before the pair is proved (`proof`): those that can be made; after it: those that can be restored, too.
    :ivar need: What a copy of it takes.
    :ivar ordinary: For `in_place`: memory of its QEMU in RAM that the kernel takes from it page by page, bytes; the rest is in huge pages.
    :ivar whole: For `in_place`: what of it can be gathered into pages of 2 MiB before its pause, bytes.
    :ivar memory_files: For `in_place`: the paths of its memory.
    :ivar letting: For `in_place`: how fast its host lets go of memory.
    :ivar gathers: Its memory is gathered.
    :ivar gathered: What of it was, bytes.
    :ivar confinement: Seconds of its restore that libvirt needs for its AppArmor profile.
    :ivar predicted: Seconds that it will be away.
    :ivar xml: The live XML; `None` when its QEMU is not known.
    :ivar needs: What its next QEMU will open.
    :ivar back: For a refresh: how many seconds more, when it has to go the way back.
    :ivar way_back: What starts the kept QEMU that it has; empty: none is kept.
    :ivar no_way_back: Why it could not come back (in time) on the QEMU that it has, should the installed one not take it up; `None`: it could.
    :ivar quiesce: Its file systems are frozen by its agent before it is saved.
    :ivar blockers: Why it cannot be moved.
    """

    candidate: Candidate
    emulator: str = ""
    left_alone: str | None = None
    stale: bool = False
    skipped: bool = False
    memory: str = "copy"
    why_copy: str | None = None
    ram: list[str] = dataclasses.field(default_factory=list)
    kept: str = ""
    formats: list[str] = dataclasses.field(default_factory=list)
    need: CopyNeed = CopyNeed(0, 0, 0)
    ordinary: int = 0
    whole: int = 0
    memory_files: list[str] = dataclasses.field(default_factory=list)
    letting: Letting = Letting(1.0, None)
    gathers: bool = False
    gathered: int = 0
    confinement: float = 0.0
    predicted: float = 0.0
    xml: ET.Element | None = None
    needs: list[Need] = dataclasses.field(default_factory=list)
    back: float = 0.0
    way_back: str = ""
    no_way_back: str | None = None
    quiesce: bool = False
    blockers: list[Blocker] = dataclasses.field(default_factory=list)

    def gather(self) -> None:
        """Gather its memory while it runs, and predict its pause anew: there may have been fewer large pages to be had than it was counted with."""
        before = predicted_in_place(self.ordinary, self.whole, self.letting)
        self.gathered = min(gathering.gather(self.memory_files), self.whole)
        longer = predicted_in_place(self.ordinary, self.gathered, self.letting) - before
        self.predicted += longer
        self.back += longer

    def files(self) -> list[dict[str, t.Any]]:
        """What its next QEMU will open, for results."""
        return [{"path": one.path, "what": one.what, "by_name": one.by_name} for one in self.needs]


def running_version(pid: int) -> tuple[int, ...] | None:
    """The version of the QEMU that a process runs, also when it was replaced on disk."""
    return qemu_program.version(f"/proc/{pid:d}/exe")


def _file_blockers(pid: int, xml: ET.Element) -> list[Blocker]:
    """Which of the files that the next QEMU will open are not what the running one has."""
    wanted = needs(xml)
    there: dict[str, Found | None] = {}

    def find() -> None:
        for path in sorted({need.path for need in wanted}):
            try:
                there[path] = at_path(path)
            except OSError:  # a file server that lets nobody look but the user of the QEMU
                continue

    try:
        call_with_timeout(find, FILES_TIMEOUT)
    except TimeoutError:
        return [Blocker("no_answer", f"what is at the paths of its files was not told within {FILES_TIMEOUT:g} s: a file system does not answer")]
    return missing(wanted, there, open_files(pid))


def _shmem_blockers(pid: int, xml: ET.Element) -> list[Blocker]:
    """Memory of a guest that others have, too: with the guest it would be set back to what it was at the save, while they run on."""
    found = []
    for shmem in xml.findall("devices/shmem"):
        path = f"/dev/shm/{shmem.get('name', '')}"
        others = [one for one in users_of(path) if one != pid]
        if shmem.get("role") == "master" and others:
            found.append(Blocker(
                "shmem", f"the memory {path} that it shares (shmem) is in use by the processes {', '.join(map(str, others))}, too, and would be set back to "
                "what it was at the save",
            ))
    return found


def move_blockers(
    candidate: Candidate, xml: ET.Element, backends: t.Sequence[t.Mapping[str, t.Any]], qemu_decides: bool = False,
) -> list[Blocker]:
    """What keeps a guest itself from being saved and restored, whatever QEMU is installed and however long it takes.

    :param xml: Its live XML.
    :param backends: The memory backends of its QEMU.
    :param qemu_decides: QEMU is asked about the devices of which it knows best.
    """
    facts = candidate.facts
    found = [one for one in pause_blockers(facts) if one.code not in ("not_running", "opted_out")] + save_blockers(xml, facts.state, qemu_decides)
    if not facts.state.executes and candidate.guest.job() is not None:
        found.append(Blocker("job", "a job is running on it; wait for its end or abort it (virsh domjobabort)"))
    if candidate.process is None and "status_unknown" not in [one.code for one in found]:
        found.append(Blocker("status_unknown", "libvirt's status file of it cannot be read"))
    folders = {memory_folder(str(one.get("mem-path", ""))) for one in backends} - {None}
    configured = memory_backing_dir() if folders else ""
    if any(os.path.realpath(str(folder)) != os.path.realpath(configured) for folder in folders):
        # Found on the lab: the new QEMU did not get its memory there, and the guest stayed saved. In place it would not find its files.
        found.append(Blocker(
            "memory_backing_dir", f"its memory is in {', '.join(sorted(map(str, folders)))}, but memory_backing_dir in qemu.conf is {configured} now, where it "
            "may find no room; set it back and restart libvirtd, or shut the guest down and start it",
        ))
    if candidate.process is not None:
        pid = candidate.process.process.pid
        found += _file_blockers(pid, xml) + _shmem_blockers(pid, xml)
    return found


def why_copy(xml: ET.Element, backends: t.Sequence[t.Mapping[str, t.Any]], qemu: tuple[int, ...] | None) -> str | None:
    """Why a guest's memory cannot stay in place, or `None` when it can.

    :param xml: Its live XML.
    :param backends: The memory backends of its QEMU.
    :param qemu: The version of its QEMU; `None` when not known.
    """
    found = confinement.obstacle(xml) or in_place_obstacle(xml, backends)
    if found is None and qemu is not None and qemu < _TELLS_SHARED:
        # Memory that is overlooked is lost with the old QEMU.
        return f"its QEMU {_words(qemu)} does not tell which of its memory is shared (QEMU does from {_words(_TELLS_SHARED)} on)"
    return found


def _words(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _said_reasons(guest: Guest) -> list[Blocker]:
    """What its QEMU itself says against saving a guest."""
    said = qemu_says.blocked_reasons(guest)
    return [Blocker("not_migratable", f"its QEMU says that it cannot be saved: {'; '.join(said)}")] if said else []


def _in_folders(name: str, folders: t.Sequence[str]) -> tuple[str, Found | None]:
    """Where a QEMU finds a file of its own, and what is there.

    :param name: Its name, or its path.
    """
    paths = [name] if os.path.isabs(name) else [os.path.join(folder, name) for folder in folders]
    return next(((path, found) for path in paths for found in [at_path(path)] if found is not None), (name, None))


def _own_files(guest: Guest, xml: ET.Element, emulator: str) -> tuple[list[Need], list[Blocker]]:
    """The ROMs and the firmware that the installed QEMU brings to a guest, and what is wrong with them."""
    needed: list[Need] = []
    wrong: list[Blocker] = []
    folders = qemu_program.data_folders(emulator)
    firmware = firmware_by_name(xml)
    if firmware is not None:
        path, there = _in_folders(firmware, folders)
        needed += [] if there is None else [Need(path, "its firmware", "any", True)]
    for device in [*xml.findall("devices/interface"), *xml.findall("devices/video")]:
        alias = device.find("alias")
        name = "" if alias is None else alias.get("name", "")
        rom = qemu_says.rom(guest, name) if name else None
        if rom is None or not (folders or os.path.isabs(rom[0])):
            continue
        path, there = _in_folders(rom[0], folders)
        blocker = rom_blocker(name, rom[0] if there is None else there.path, rom[1], None if there is None else there.size)
        wrong += [] if blocker is None else [blocker]
        needed += [] if there is None else [Need(path, f"the ROM of its device {name}", "any", not os.path.isabs(rom[0]))]
    return needed, wrong


def _can_be_asked(candidate: Candidate) -> bool:
    """Whether its QEMU has time for a question: libvirt keeps everybody from it during a job."""
    facts = candidate.facts
    if candidate.process is None or facts.job is not None:
        return False
    # Of a guest that does not run nobody has asked for its job yet.
    return facts.state.executes or (facts.state.state == "paused" and candidate.guest.job() is None)


def look(
    connection: Connection, candidate: Candidate, memory: str, owners: Owners | None, reboot: bool = False, quiesced: t.Container[str] = (),
) -> Plan:
    """Everything that is known of one guest before it is touched.

    :param memory: How its memory is kept: `auto`, `in_place` or `copy`.
    :param owners: Who manages the guests of this host; `None`: that is accepted.
    :param reboot: Whether the host is rebooted while it is saved.
    :param quiesced: Names and UUIDs of guests that the operator wants quiesced.
    """
    plan = Plan(candidate)
    guest, process = candidate.guest, candidate.process
    xml = guest.xml()
    backends = [] if process is None else in_place.backends_of(process.process.pid, xml)
    running = None if process is None else running_version(process.process.pid)
    asked = _can_be_asked(candidate)
    tells = asked and running is not None and running >= _TELLS_REASONS
    plan.blockers = move_blockers(candidate, xml, backends, tells and connection.version() >= _LEAVES_TO_QEMU)
    plan.blockers += [] if owners is None else owners.blockers(xml, reboot)
    if process is None:
        return plan
    pid = process.process.pid
    plan.xml = xml
    plan.confinement = confinement.start_takes(xml)
    # The file systems of one that its owner has paused are as they are.
    plan.quiesce = candidate.facts.state.executes and quiesce.is_wanted(xml, guest.name, guest.uuid, quiesced)
    unable = quiesce.obstacle(guest) if plan.quiesce and asked else None
    plan.blockers += [] if unable is None else [Blocker("quiesce", unable)]
    # One that came back on a kept QEMU still means the installed one.
    plan.emulator = installed_emulator(xml.findtext("devices/emulator", ""))
    plan.no_way_back = way_back.none_because(xml, plan.emulator, pid)
    plan.needs = needs(xml)
    if asked:
        needed, wrong = _own_files(guest, xml, plan.emulator)
        plan.needs += needed
        plan.blockers += [*(_said_reasons(guest) if tells else []), *wrong]
    plan.stale = bool(stale.old_code(stale.code_of(pid, helpers(places(connection.uri), process.monitor))))
    memory_now = process_memory(pid)
    plan.need = copy_need(memory_now, host_memory().swap_used)
    installed = qemu_program.version(plan.emulator)
    if running is not None and installed is not None and installed < running:
        plan.blockers.append(Blocker(
            "downgrade", f"the installed QEMU {_words(installed)} is older than its own {_words(running)}, and cannot take its state up",
        ))
    try:
        connection.check_machine(plan.emulator, xml)
    except Exception as error:  # libvirt's own reason is the message
        plan.blockers.append(Blocker("unsupported", f"libvirt cannot start its machine with the installed QEMU ({describe(error)}); update libvirt first"))
    else:
        lacks = connection.cpu_lacks(plan.emulator, xml)
        if lacks is not None:
            plan.blockers.append(Blocker("cpu", f"the installed QEMU and this host cannot give it the CPU that it has ({lacks})"))
    plan.why_copy = why_copy(xml, backends, running)
    if plan.why_copy is None:
        plan.ram = [str(one["id"]) for one in backends]
        plan.kept = os.path.join(str(memory_folder(str(backends[0]["mem-path"]))), "vm_preserving", guest.uuid)
    if memory == "in_place" and plan.why_copy is not None:
        plan.blockers.append(Blocker("memory", plan.why_copy))
    plan.memory = "copy" if memory == "copy" or plan.why_copy is not None else "in_place"
    if plan.memory == "in_place":
        plan.ordinary = max(0, memory_now.anonymous + memory_now.cached + memory_now.shared - mapped_whole(pid))
        plan.memory_files = [str(one["mem-path"]) for one in backends]
        plan.whole = min(memory_now.shared, gathering.whole(plan.memory_files), plan.ordinary)
    plan.formats = image_formats(connection.can_save_sparse(running), fast=plan.memory == "copy" and not reboot)
    return plan


def copy_speed(folder: str, durable: bool = False) -> float:
    """How fast this host copies memory into a folder, bytes per second.

    :param durable: Until it is on the disk, and not only on its way.
    """
    block = os.urandom(MIB)
    handle = os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o600)
    try:
        began = time.monotonic()
        for _number in range(PROBE // MIB):
            os.write(handle, block)
        if durable:
            os.fdatasync(handle)
        return PROBE / max(1e-6, time.monotonic() - began)
    finally:
        os.close(handle)


def keep_ways_back(connection: Connection, plans: t.Iterable[Plan]) -> None:
    """See that the QEMUs that these guests have are kept. Why that of a guest is not is in its plan."""
    for plan in plans:
        if plan.xml is None or plan.candidate.process is None:
            continue
        wanted = (connection, plan.xml, plan.emulator, plan.candidate.process.process.pid)
        try:
            plan.way_back, why = call_with_timeout(lambda wanted=wanted: way_back.keep(*wanted), LOOK_TIMEOUT)
        except TimeoutError:
            why = f"its QEMU was not kept within {LOOK_TIMEOUT:g} s"
        plan.no_way_back = why or plan.no_way_back


def room_in(folder: str) -> Room:
    """What the host and the folder of the images have for copies."""
    return room(host_memory(), shutil.disk_usage(folder).free)


def prepare(folder: str) -> None:
    """Make the folder of the images.

    :raises MaintenanceError: code `folder`: it cannot be made, or is not ours alone.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise MaintenanceError(f"the folder of the images {folder} is not a private folder of uid {os.geteuid()}; no guest was touched", "folder")
    except OSError as error:
        raise MaintenanceError(f"the folder of the images {folder} cannot be made ({error.strerror}); no guest was touched", "folder") from error
