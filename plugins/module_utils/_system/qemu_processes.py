# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All QEMUs on the host, whoever started them: libvirt under any URI, Ganeti, Proxmox, a pod, somebody by hand. By what /proc says."""
from __future__ import annotations

import os
import pwd
import re
import typing as t

from .._core.throwaway import is_throwaway

#: The names of QEMU's system emulators: upstream's, RHEL's, Proxmox's and old Debian's.
_EMULATOR = re.compile(r"qemu-system-.+|qemu-kvm|kvm")


class QemuProcess(t.NamedTuple):
    """A QEMU.

    :ivar pid: The process, as this host numbers it.
    :ivar start_time: Clock ticks since boot at which it started (field 22 of `/proc/PID/stat`, proc(5)).
    :ivar name: What its command line calls the guest; empty when it does not.
    :ivar uuid: The guest's UUID by its command line; empty when that has none.
    :ivar user: Who it runs as; the number where that has no name on this host.
    """

    pid: int
    start_time: int
    name: str
    uuid: str
    user: str

    @property
    def words(self) -> str:
        """It, for messages."""
        return f"{self.name or 'a guest without a name'} (QEMU process {self.pid} of user {self.user})"


def _options(argv: t.Sequence[str], *names: str) -> t.Iterator[str]:
    """The values of an option of QEMU, which may have one or two hyphens."""
    for option, value in zip(argv[1:], argv[2:]):
        if option[:1] == "-" and option[2 if option[:2] == "--" else 1:] in names:
            yield value


def _suboption(value: str, name: str) -> str:
    """A part of an option's value, `guest=g1,debug-threads=on`. The first part needs no name; commas are doubled within a part (QEMU's `qemu-options`)."""
    parts = [part.replace(",,", ",") for part in re.findall(r"(?:[^,]|,,)+", value)]
    for number, part in enumerate(parts):
        key, equals, text = part.partition("=")
        if equals and key == name:
            return text
        if not number and not equals:
            return part
    return ""


def guest_of(argv: t.Sequence[str]) -> tuple[str, str] | None:
    """The name and the UUID of a guest in the command line of its QEMU, each empty when not there; `None` when that QEMU has no guest.

    libvirt starts QEMUs without a machine to ask what they can do (`qemuProcessQMPLaunch`).

    :param argv: The command line.
    """
    if any(_suboption(value, "type") == "none" for value in _options(argv, "machine", "M")):
        return None
    names, uuids = list(_options(argv, "name")), list(_options(argv, "uuid"))
    return _suboption(names[-1], "guest") if names else "", uuids[-1].lower() if uuids else ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _process(pid: int) -> QemuProcess | None:
    """A process, `None` when it is no QEMU with a guest, or has ended.

    :raises OSError: It ended while it was looked at.
    """
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        argv = stream.read().decode("utf-8", "replace").rstrip("\0").split("\0")
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except PermissionError:  # somebody else's, and we are not root
        path = ""
    program = path[:-len(" (deleted)")] if path.endswith(" (deleted)") else path
    if not any(_EMULATOR.fullmatch(os.path.basename(name)) for name in (program, argv[0])):
        return None
    guest = guest_of(argv)
    with open(f"/proc/{pid}/stat", "rb") as stream:
        stat = stream.read()
    fields = stat[stat.rindex(b")") + 2:].split()
    if guest is None or fields[0] in (b"Z", b"X"):
        return None
    with open(f"/proc/{pid}/status", "rb") as stream:
        # Not the owner of the folder, which is root for many a QEMU.
        user = next(int(line.split()[2]) for line in stream if line.startswith(b"Uid:"))
    return QemuProcess(pid, int(fields[19]), *guest, _user(user))


def qemu_processes() -> list[QemuProcess]:
    """All QEMUs on this host that have a guest, in containers too, by pid. Those of throw-away guests do not count."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                process = _process(int(entry))
            except OSError:  # it has ended
                continue
            if process is not None and not is_throwaway(process.name, process.uuid):
                found.append(process)
    return sorted(found)


def unknown(known: t.Container[int]) -> list[QemuProcess]:
    """The QEMUs that somebody else started, by pid.

    :param known: The pids of the guests that libvirt knows under our URI. Ask for them first: a guest that ends in between does no harm, and one that
        starts is unknown for now.
    """
    return [process for process in qemu_processes() if process.pid not in known]
