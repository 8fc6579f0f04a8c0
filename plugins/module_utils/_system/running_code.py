# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for what really runs: the code that a process has mapped, libvirt's daemons, the QEMUs of the guests, the kernel.

Everything comes from /proc and from libvirt's status files, so it works while libvirt does not answer.
"""
from __future__ import annotations

import os
import typing as t
import xml.etree.ElementTree as ET

from .._core.places import Places
from .._core.throwaway import is_throwaway
from .elf import build_id
from .status_file import guest_process

#: libvirt's long-running programs: the monolithic daemon, the modular ones, and the two that hold logs and locks (libvirt.org/daemons.html).
DAEMONS = frozenset({
    "libvirtd", "virtproxyd", "virtqemud", "virtnetworkd", "virtstoraged", "virtnodedevd", "virtnwfilterd", "virtsecretd", "virtinterfaced",
    "virtlogd", "virtlockd",
})
_DELETED = " (deleted)"
#: Executable mappings of files that no package brings: code that a process generates for itself (memfd, ORC, libffi), shared memory, devices.
_NO_PROGRAM = ("/memfd:", "/SYSV", "/dev/", "/tmp/", "/var/tmp/", "/run/", "/var/run/")


class CodeFile(t.NamedTuple):
    """A file whose code a process has mapped.

    :ivar path: Where the file is, or was when it was mapped.
    :ivar deleted: That file is no longer there; another may be at its path.
    :ivar area: One mapping of it, as the name under `/proc/PID/map_files`.
    """

    path: str
    deleted: bool
    area: str


class GuestCode(t.NamedTuple):
    """The QEMU of a guest.

    :ivar name: libvirt's name.
    :ivar uuid: libvirt's UUID.
    :ivar pid: The process.
    :ivar monitor: Its monitor by libvirt's status file; empty when that names none.
    """

    name: str
    uuid: str
    pid: int
    monitor: str = ""


def parse_maps(text: str) -> list[CodeFile]:
    """The programs and libraries in `/proc/PID/maps` (proc(5)), each once, in the order of their addresses.

    Only executable mappings count: guest memory, locales, caches and disk images are no code.

    :param text: The content of the file.
    """
    found: dict[tuple[str, bool], CodeFile] = {}
    for line in text.split("\n"):
        fields = line.split(None, 5)
        if len(fields) < 6 or "x" not in fields[1] or not fields[5].startswith("/"):
            continue
        deleted = fields[5].endswith(_DELETED)
        path = fields[5][:-len(_DELETED)] if deleted else fields[5]
        if path.startswith(_NO_PROGRAM) or os.path.basename(path).startswith("orcexec."):
            continue
        # maps pads the addresses with zeros, the names under map_files have none.
        area = "-".join(address.lstrip("0") or "0" for address in fields[0].split("-"))
        found.setdefault((path, deleted), CodeFile(path, deleted, area))
    return list(found.values())


def code_files(pid: int) -> list[CodeFile] | None:
    """The programs and libraries that a process runs, or `None` when it has ended.

    :raises OSError: It may not be looked at.
    """
    try:
        with open(f"/proc/{pid:d}/maps", encoding="utf-8", errors="replace") as stream:
            return parse_maps(stream.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def build_id_of(path: str) -> str | None:
    """The build id of the file at a path, `None` when there is none or it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return build_id(stream)
    except (OSError, ValueError):  # ValueError: a path with a NUL
        return None


def mapped_build_id(pid: int, file: CodeFile) -> str | None:
    """The build id of the very file that a process has mapped, also when it was deleted; `None` when not available."""
    return build_id_of(f"/proc/{pid:d}/map_files/{file.area}")


def program(pid: int) -> str | None:
    """Where the program of a process is, or was when it was started; `None` for a process that has ended or may not be looked at."""
    try:
        path = os.readlink(f"/proc/{pid:d}/exe")
    except OSError:
        return None
    return path[:-len(_DELETED)] if path.endswith(_DELETED) else path


def program_build_id(pid: int) -> str | None:
    """The build id of the program that a process runs, also when its file was deleted."""
    return build_id_of(f"/proc/{pid:d}/exe")


def guests(where: Places) -> tuple[list[GuestCode], list[str]]:
    """The guests that run on this host by libvirt's own status files, by name. Those that are thrown away do not count.

    :param where: The folders of the URI.
    :returns: The guests, and the names of the files that say of no guest who it is.
    """
    found, unreadable = _by_status(where)
    return [guest for guest in found if not is_throwaway(guest.name, guest.uuid)], unreadable


def throwaways(where: Places) -> list[GuestCode]:
    """The throw-away guests by libvirt's own status files.

    :param where: The folders of the URI.
    """
    return [guest for guest in _by_status(where)[0] if is_throwaway(guest.name, guest.uuid)]


def _by_status(where: Places) -> tuple[list[GuestCode], list[str]]:
    found: list[GuestCode] = []
    unreadable: list[str] = []
    try:
        files = sorted(name for name in os.listdir(where.runtime) if name.endswith(".xml"))
    except OSError:  # libvirt has never run here
        return [], []
    for file in files:
        name = file[:-len(".xml")]
        try:
            root = ET.parse(os.path.join(where.runtime, file)).getroot()
        except FileNotFoundError:  # it has just ended
            continue
        except (OSError, ET.ParseError, LookupError, ValueError):  # LookupError, ValueError: an encoding that Python does not know
            unreadable.append(file)
            continue
        uuid = root.findtext("domain/uuid")
        if uuid is None:
            unreadable.append(file)
            continue
        process = guest_process(where, name, uuid)
        if process is not None:
            found.append(GuestCode(name, uuid, process.process.pid, process.monitor))
    return found, unreadable


def _pid_space(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def processes() -> list[tuple[str, int]]:
    """The processes of this host that run a program, as (name of the program, pid). Those of containers on it are not this host's."""
    ours = _pid_space("self")
    found = []
    for entry in os.listdir("/proc"):
        path = program(int(entry)) if entry.isdigit() else None
        if path and _pid_space(entry) == ours:
            found.append((os.path.basename(path), int(entry)))
    return sorted(found)


def daemons() -> list[tuple[str, int]]:
    """libvirt's daemons on this host, as (name, pid)."""
    return [(name, pid) for name, pid in processes() if name in DAEMONS]


def parse_unit(text: str) -> str | None:
    """The systemd unit in `/proc/PID/cgroup` (cgroups(7)): the innermost service or scope, `None` when there is none.

    :param text: The content of the file.
    """
    for line in text.splitlines():
        for name in reversed(line.split(":", 2)[-1].split("/")):
            if name.endswith((".service", ".scope")):
                return name
    return None


def unit(pid: int) -> str | None:
    """The systemd unit of a process, `None` when it has none or has ended."""
    try:
        with open(f"/proc/{pid:d}/cgroup", encoding="utf-8", errors="replace") as stream:
            return parse_unit(stream.read())
    except OSError:
        return None


def installed_kernels(root: str = "/") -> list[str]:
    """The releases of the kernels that are installed, by their images: `/boot/vmlinuz-RELEASE` or `/lib/modules/RELEASE/vmlinuz`.

    :param root: Where the file system begins.
    """
    def names(*folder: str) -> list[str]:
        try:
            return os.listdir(os.path.join(root, *folder))
        except OSError:
            return []

    found = {name[len("vmlinuz-"):] for name in names("boot") if name.startswith("vmlinuz-")}
    found |= {name for name in names("lib", "modules") if os.path.exists(os.path.join(root, "lib", "modules", name, "vmlinuz"))}
    return sorted(found)


def kernel_since(release: str, root: str = "/") -> float | None:
    """When a kernel was installed: when its image got there (its ctime; packages give images an mtime of their own). `None` when that is not known.

    :param release: Its release.
    :param root: Where the file system begins.
    :returns: Seconds since the epoch.
    """
    found = []
    for path in (os.path.join(root, "boot", f"vmlinuz-{release}"), os.path.join(root, "lib", "modules", release, "vmlinuz")):
        try:
            found.append(os.stat(path).st_ctime)
        except OSError:
            continue
    return min(found, default=None)


def booted() -> float:
    """When this host was booted (`btime` of `/proc/stat`, proc(5)), seconds since the epoch."""
    with open("/proc/stat", encoding="ascii") as stream:
        return float(next(line for line in stream if line.startswith("btime ")).split()[1])
