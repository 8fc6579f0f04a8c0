# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether libvirt's daemon runs in a container: in another root file system than ours. The host's package lists say nothing about it then."""
from __future__ import annotations

import os
import typing as t

#: The daemons that have guests: the monolithic one and the modular one of QEMU (libvirt.org/daemons.html).
_DAEMONS = frozenset({"libvirtd", "virtqemud"})


class Daemon(t.NamedTuple):
    """A daemon of libvirt.

    :ivar name: Its program.
    :ivar pid: The process, as this host numbers it.
    """

    name: str
    pid: int


def _is_ours(pid: int) -> bool:
    """Whether a process has the root file system that we have.

    The mount namespace does not show it: systemd gives many a service of the host one of its own, with the same root.

    :raises OSError: It has ended, or may not be looked at.
    """
    root, ours = os.stat(f"/proc/{pid}/root/"), os.stat("/")
    return (root.st_dev, root.st_ino) == (ours.st_dev, ours.st_ino)


def contained_libvirt() -> Daemon | None:
    """The daemon of libvirt that runs in a container; `None` when there is none, or when one runs on the host itself.

    Only daemons of our own user count: a user's session has nothing to do with the host's guests, and a container of another may well have its own.
    """
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            path = os.readlink(f"/proc/{entry}/exe")
            name = os.path.basename(path[:-len(" (deleted)")] if path.endswith(" (deleted)") else path)
            if name not in _DAEMONS or os.stat(f"/proc/{entry}").st_uid != os.geteuid():
                continue
            if _is_ours(int(entry)):
                return None
        except OSError:  # it has ended, is one of the kernel's, or somebody else's
            continue
        found.append(Daemon(name, int(entry)))
    return min(found, key=lambda daemon: daemon.pid, default=None)
