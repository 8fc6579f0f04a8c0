# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper processes of a guest: what libvirt starts beside its QEMU and ends with it. By libvirt's own pid files.

libvirt (src/qemu/qemu_tpm.c, qemu_passt.c, qemu_virtiofs.c and so on) names a pid file after the guest, `ID-NAME-...`, in its folder of running
guests or a folder below (`swtpm`, `passt`, `slirp`, `dbus`, `rdp`); some are in the guest's own folder, where its monitor is.
"""
from __future__ import annotations

import glob
import os
import typing as t

from .._core.places import Places
from .running_code import program

#: Helpers by their programs, and whether one that is started anew loses nothing of the guest. It is with every save and restore.
#: * swtpm: the guest's TPM, its state in files and in the image;
#: * qemu-pr-helper: persistent reservations, as root: QEMU connects anew;
#: * nbdkit: the way to a disk on the network, which libvirt sets up anew.
#: Of these the guest takes no notice. Of the others somebody would, so the guest is not moved for them alone, and that is told:
#: * passt, slirp-helper: hold the guest's connections, which end with them;
#: * virtiofsd, vhost-user-gpu: most versions cannot save a guest that has one;
#: * dbus-daemon, qemu-rdp: serve viewers of its screen.
_RENEWED = {
    "swtpm": True, "qemu-pr-helper": True, "nbdkit": True,
    "passt": False, "passt.avx2": False, "slirp-helper": False, "virtiofsd": False, "vhost-user-gpu": False, "dbus-daemon": False, "qemu-rdp": False,
}


class GuestHelper(t.NamedTuple):
    """A helper process of a guest.

    :ivar name: Its program.
    :ivar pid: The process.
    :ivar renewed: A guest is moved for it, see the table.
    """

    name: str
    pid: int
    renewed: bool


def pid_files(runtime: str, monitor: str) -> list[str]:
    """The pid files of a guest's helpers.

    :param runtime: libvirt's folder of running guests.
    :param monitor: The guest's monitor, `.../domain-ID-NAME/monitor.sock`, with the name as libvirt shortens it; empty: none are known.
    """
    own = os.path.dirname(monitor)
    kind, _hyphen, short = os.path.basename(own).partition("-")
    if kind != "domain" or not short:
        return []
    name = glob.escape(short) + "-*.pid"
    found = [path for folder in (glob.escape(runtime), os.path.join(glob.escape(runtime), "*")) for path in glob.glob(os.path.join(folder, name))]
    return sorted([*found, *glob.glob(os.path.join(glob.escape(own), "*.pid"))])


def helpers(where: Places, monitor: str) -> list[GuestHelper]:
    """The helper processes of a guest, by pid. A pid file whose process has another program is a left-over, or the QEMU of a guest with such a name.

    :param where: The folders of the URI.
    :param monitor: Its monitor, by libvirt's status file.
    """
    found = set()
    for path in pid_files(where.runtime, monitor):
        try:
            with open(path, encoding="ascii", errors="replace") as stream:
                pid = int(stream.read().strip())
        except (OSError, ValueError):  # it has just ended, or its file is being written
            continue
        name = os.path.basename(program(pid) or "")
        if name in _RENEWED:
            found.add(GuestHelper(name, pid, _RENEWED[name]))
    return sorted(found, key=lambda helper: helper.pid)
