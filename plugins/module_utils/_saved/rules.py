# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests can be saved and restored, how, for how long they will be away, and what to do with one that was left half way. Pure."""
from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from .._core.states import Blocker, State
from .room import MIB, CopyNeed

#: Seconds that saving and restoring a guest take without any memory: two processes, the devices, libvirt's own work.
FIXED = 1.2
#: How much slower QEMU is at writing a page than a plain copy in RAM: the page is looked at, goes through a pipe, and is written.
SAVE_FACTOR = 2.0
#: The same for reading it back into a page that has to be made first.
RESTORE_FACTOR = 2.0
#: How fast pages are taken to come back from swap, bytes per second: from a solid-state disk, a few at a time, in the order of their addresses.
SWAP_SPEED = 200 * MIB
#: How much longer than a plain unmapping it takes a QEMU to free a page: with KVM the processor's own table of the guest's pages has it too.
UNMAP_FACTOR = 2.0
#: Seconds that gathering a guest's memory has to take off its predicted pause, else it is left as it is.
WORTH = 0.1
#: Reasons of a pause in which nothing is under way: its owner's; and what libvirt says of a paused guest that was restored, or after its own restart.
QUIET = ("user", "migration", "unknown", "from-snapshot")


def _host_devices(xml: ET.Element, qemu_decides: bool) -> Blocker | None:
    """Devices of the host that keep a guest from being saved. A USB device does not: the guest sees it unplugged and plugged in again."""
    interfaces = [one for one in xml.findall("devices/interface") if one.get("type") in ("hostdev", "vdpa")]
    devices = [*xml.findall("devices/hostdev"), *interfaces]
    if any(one.find("teaming") is not None and one.find("teaming").get("type") == "transient" for one in [*devices, *xml.findall("devices/interface")]):
        # QEMU waits until the guest has given it up, for ever: libvirt stops the vCPUs before it saves.
        return Blocker("passthrough", "a device of the host (teaming) has to be given up by the guest, which it cannot do while it is saved; unplug it first")
    if not qemu_decides and (interfaces or [one for one in devices if not (one.get("mode") == "subsystem" and one.get("type") == "usb")]):
        return Blocker("passthrough", "a device of the host is passed through to it, whose state cannot be saved")
    return None


def save_blockers(xml: ET.Element, state: State, qemu_decides: bool = False) -> list[Blocker]:
    """Everything in a guest's definition that keeps libvirt from saving it, or a QEMU from restoring it. There is no dry run.

    Source: libvirt, src/qemu/qemu_migration.c (qemuMigrationSrcIsAllowed) and the devices that QEMU marks as not migratable.

    :param xml: The live XML.
    :param state: Its state now.
    :param qemu_decides: QEMU is asked about devices of the host and 9p file systems, as libvirt does; else they are judged as libvirt does without that.
    """
    found: list[Blocker] = []

    def block(code: str, message: str) -> None:
        found.append(Blocker(code, message))

    if not state.executes and not (state.state == "paused" and state.reason in QUIET):
        block("not_running", f"it is {state.state} ({state.reason})")
    devices = _host_devices(xml, qemu_decides)
    if devices is not None:
        found.append(devices)
    if [one for one in xml.findall("devices/filesystem/driver") if one.get("type") == "virtiofs"]:
        block("virtiofs", "it uses a virtiofs file system, and that a new daemon can load the state of the old one is not proved")
    elif not qemu_decides and [
        one for one in xml.findall("devices/filesystem") if one.find("driver") is None or one.find("driver").get("type") in (None, "path")
    ]:
        block("filesystem", "it uses a 9p file system, which QEMU cannot save while it is mounted")
    if xml.findall("devices/disk/transient"):
        block("transient_disk", "it has a transient disk, whose changes would be lost")
    for shmem in xml.findall("devices/shmem"):
        name = shmem.get("name", "")
        if shmem.get("role") != "master":
            block("shmem", f"the memory {name} that it shares with others (shmem) is not its own (role='master'), and libvirt does not save such a guest")
        elif shmem.find("server") is not None:
            block("shmem", f"the memory {name} that it shares with others (shmem) belongs to a server, and would be set back to what it was at the save")
    if xml.find("launchSecurity") is not None:
        block("launch_security", "its memory is encrypted (launchSecurity)")
    invtsc = [one for one in xml.findall("cpu/feature") if one.get("name") == "invtsc" and one.get("policy") in (None, "require", "force")]
    if invtsc and not [one for one in xml.findall("clock/timer") if one.get("name") == "tsc" and one.get("frequency")]:
        block("invtsc", "its CPU has invtsc without a fixed TSC frequency")
    return found


#: How libvirt calls the backend of a memory device in QEMU: this, and the device's alias, which is also the name of its file.
_DEVICE_PREFIX = "mem"


def plugged_backends(backends: t.Sequence[dict[str, t.Any]], xml: ET.Element, mapped: t.Mapping[str, bool]) -> list[dict[str, t.Any]]:
    """The memory backends that a QEMU has now: its command line is older than the memory devices that were plugged in or out since.

    Source: libvirt, src/qemu/qemu_command.c (qemuBuildMemoryDimmBackendProps): backend `memALIAS`, file `ALIAS`.

    :param backends: Those in its command line.
    :param xml: The live XML.
    :param mapped: The files that it has mapped, and whether as shared memory.
    """
    aliases = [alias.get("name", "") for alias in xml.findall("devices/memory/alias")]
    known = {str(one.get("id")) for one in backends}
    # Plugged out: no device has it any more, and its file is not mapped.
    found = [
        one for one in backends
        if not str(one.get("id")).startswith(_DEVICE_PREFIX) or str(one.get("id"))[len(_DEVICE_PREFIX):] in aliases or one.get("mem-path") in mapped
    ]
    for alias in aliases:
        if _DEVICE_PREFIX + alias in known:
            continue
        path = next((path for path in mapped if path.rsplit("/", 1)[-1] == alias), None)
        if path is None:
            found.append({"id": _DEVICE_PREFIX + alias, "qom-type": "memory without one, plugged in while it ran"})
        else:
            found.append({"id": _DEVICE_PREFIX + alias, "qom-type": "memory-backend-file", "mem-path": path, "share": mapped[path]})
    return found


def memory_folder(path: str) -> str | None:
    """The `memory_backing_dir` under which libvirt has put a guest's memory file; `None`: it is not one of libvirt's.

    :param path: `memory_backing_dir/libvirt/qemu/ID-NAME/FILE`.
    """
    parts = path.rsplit("/", 4)
    return parts[0] if len(parts) == 5 and parts[1:3] == ["libvirt", "qemu"] and parts[0].startswith("/") and parts[4] else None


def in_place_obstacle(xml: ET.Element, backends: t.Sequence[t.Mapping[str, t.Any]]) -> str | None:
    """Why a guest's memory cannot stay where it is, or `None` when it can. The table of what was tried is in docs/in_place.md.

    :param xml: The live XML.
    :param backends: The memory backends of its QEMU, as QEMU's JSON properties.
    """
    if xml.find("memoryBacking/discard") is not None or any(one.get("discard-data") for one in backends) or any(
        one.get("discard") == "yes" for one in [*xml.findall("cpu/numa/cell"), *xml.findall("devices/memory")]
    ):
        return "its memory is discarded when its QEMU ends (discard)"
    for device in xml.findall("devices/memory"):
        if device.get("model") != "dimm":
            return f"it has a memory device of the model {device.get('model')}, and that its memory can stay in place is not proved"
    if not backends:
        return "its memory is no file (it needs memoryBacking with source type='file' and access mode='shared' at its next start)"
    for one in backends:
        if one.get("qom-type") != "memory-backend-file":
            return f"its memory {one.get('id')} is no file but {one.get('qom-type')}; it needs source type='file' and access mode='shared' at its next start"
        if one.get("share") is not True:
            return f"its memory {one.get('id')} is a private file; it needs access mode='shared' at its next start"
        name = str(one.get("id", ""))
        if not name or "/" in name or name.startswith("."):
            return "a memory backend of it has no usable name"
        path = str(one.get("mem-path", ""))
        if memory_folder(f"{path}/*") is not None:
            return (
                f"its memory {name} is in huge pages that have no name (memoryBacking/hugepages); it needs source type='file' without hugepages at its next "
                "start, and memory_backing_dir on a hugetlbfs if its pages are to be huge"
            )
        if memory_folder(path) is None:
            return f"its memory {name} is not in libvirt's own folder (memory_backing_dir) but in {path}"
    if len({str(one["mem-path"]).rsplit("/", 1)[0] for one in backends}) > 1:
        return "its memory files are not in one folder"
    return None


def predicted_copy(need: CopyNeed, speed: float) -> float:
    """Seconds that a guest will be away whose memory is copied.

    :param need: What the copy takes.
    :param speed: How fast this host copies memory into the folder of the images, bytes per second.
    """
    return FIXED + (need.image + need.growth) / speed * (SAVE_FACTOR + RESTORE_FACTOR) + need.swapped / SWAP_SPEED


class Letting(t.NamedTuple):
    """How fast a host lets go of the shared memory of a process that ends, bytes per second.

    :ivar ordinary: In pages of 4 KiB, one by one.
    :ivar gathered: In pages of 2 MiB that are 512 entries of the page table all the same; `None`: this kernel does not gather pages.
    """

    ordinary: float
    gathered: float | None


def predicted_in_place(ordinary: int, gathered: int, speed: Letting) -> float:
    """Seconds that a guest will be away whose memory stays where it is.

    When the old QEMU ends the kernel takes page after page from it, and libvirt waits for that.

    :param ordinary: Memory of its QEMU in ordinary pages, bytes.
    :param gathered: What of it is gathered into pages of 2 MiB by then, bytes.
    :param speed: How fast this host does that.
    """
    seconds = ordinary / speed.ordinary if speed.gathered is None else (ordinary - gathered) / speed.ordinary + gathered / speed.gathered
    return FIXED + seconds * UNMAP_FACTOR


def worth_gathering(ordinary: int, whole: int, speed: Letting) -> bool:
    """Whether a guest's memory is gathered before its pause: it costs a copy of it while the guest runs.

    :param ordinary: Memory of its QEMU in ordinary pages, bytes.
    :param whole: What of it can be gathered, bytes.
    :param speed: How fast this host lets go of either.
    """
    return speed.gathered is not None and predicted_in_place(ordinary, 0, speed) - predicted_in_place(ordinary, whole, speed) >= WORTH


def predicted_way_back(need: CopyNeed, speed: float) -> float:
    """Seconds that a guest whose memory is copied is away for longer when the installed QEMU does not take up its state at the very end, and the one that it
    had has to. Where its memory stays in place it is once more what was predicted.

    :param need: What the copy takes.
    :param speed: How fast this host copies memory, bytes per second.
    """
    # One more restore. What libvirt asks of the kept QEMU it was asked before.
    return FIXED + (need.image + need.growth) / speed * RESTORE_FACTOR


def late_way_back(predicted: float, back: float, limit: float) -> str | None:
    """Why a guest would be back on the QEMU that it has too late, or `None` when it would not.

    :param predicted: Seconds that it will be away.
    :param back: Seconds that the way back takes in addition.
    :param limit: Seconds that it may be away.
    """
    if predicted + back <= limit:
        return None
    return f"it would be back on the QEMU that it has only after about {predicted + back:.1f} s, later than the pause limit of {limit:g} s"


def longest_save(predicted: float, back: float, limit: float) -> float:
    """Seconds after which a save is given up, so that the rest can be done in time.

    :param predicted: Seconds that the guest will be away. Half of that is the restore, which nothing can hurry.
    :param back: Seconds that the way back takes in addition; 0: there is none.
    :param limit: Seconds that it may be away.
    """
    return limit - predicted / 2 - (back if late_way_back(predicted, back, limit) is None else 0.0)


def predicted_absences(residents: t.Sequence[int], speed: float, reboot: float) -> list[float]:
    """Seconds that each guest will be away when all are saved, one after another, the host is rebooted, and all are restored.

    They are saved in the reverse of the order in which they are restored: who is saved first is restored last, and is away for the longest.

    :param residents: Memory of each QEMU in RAM, bytes, in the order of the restores.
    :param speed: How fast this host writes to its disk, bytes per second.
    :param reboot: Seconds from the end of the last save to the first restore.
    """
    found: list[float] = []
    away = reboot
    for resident in residents:
        away += FIXED + 2 * resident / speed
        found.append(away)
    return found


@dataclasses.dataclass(frozen=True)
class Remains:
    """A guest that may be saved, as it is found.

    :ivar state: What libvirt says; `None`: it does not know the guest (a transient one that is saved or has ended).
    :ivar same_process: It is the QEMU of the ledger.
    :ivar token: The id in its LIVE metadata.
    :ivar job: libvirt works on it (a save, a restore), or `None`.
    :ivar shutoff: Why libvirt says that a defined guest is off.
    :ivar image: `saved`: complete, and nobody has resumed the guest since. `restoring`: somebody may have. `absent`.
    """

    state: State | None
    same_process: bool
    token: str | None
    job: str | None
    shutoff: str | None
    image: str


#: Reasons of `shutoff` that say that the guest has not run since it was saved: saved; a start that failed, which is what a broken restore is;
#: ended by a libvirtd that came back in the middle of the start. `unknown`: libvirtd was restarted since.
_NOT_RUN_SINCE = ("saved", "failed", "daemon")

RecoverVerdict = t.Literal["wait", "abort", "untouched", "restored", "resume", "restore", "gone", "not_ours", "keep"]


def recover_verdict(saving_id: str, was_paused: bool, found: Remains) -> tuple[RecoverVerdict, str]:
    """What to do with a guest that may be saved: the program that saved it has died, or the host was rebooted.

    The rule that decides: memory may be restored only if the guest cannot have run since it was saved; else it would fall back to an older state.

    :param saving_id: The id under which it was saved.
    :param was_paused: It was paused before, by its owner.
    """
    if found.state is not None and found.state.state not in ("shutoff", "nostate"):
        if found.same_process:
            if found.job is not None:
                return "abort", "it is being saved; the save is aborted, and it keeps running"
            if not was_paused and found.state.state == "paused" and found.state.reason in ("save", "migration"):
                return "wait", "libvirt is about to resume it"
            return "untouched", "it runs on as before"
        if found.token == saving_id:
            if found.job is not None or found.state.reason == "starting-up":
                return "wait", "libvirt is restoring it"
            # With its image gone, somebody wanted it so (virsh start --paused): libvirt removes its own only when the guest is back as it was wanted.
            if found.state.state == "paused" and found.state.reason == "migration" and not was_paused and found.image != "absent":
                return "resume", "it is restored and was not resumed"
            return "restored", "it is back"
        if found.state.reason in ("starting-up", "migration"):
            return "wait", "it is being started"
        return "not_ours", "somebody started it anew after it had been saved"
    if found.image == "absent":
        return "gone", "it has ended"
    if found.shutoff in _NOT_RUN_SINCE:
        return "restore", "it is saved"
    if found.image == "saved" and found.shutoff in (None, "unknown"):
        return "restore", "it is saved"
    if found.shutoff in (None, "unknown"):
        return "keep", "whether it ran since it was saved cannot be known"
    return "not_ours", f"it has run since, and was ended ({found.shutoff})"
