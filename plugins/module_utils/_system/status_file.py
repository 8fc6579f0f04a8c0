# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's status file of a running QEMU guest: the identity of its process, its monitor, its fake-reboot mark.

libvirt has no API for these. The file is libvirt's own record of a running guest (src/qemu/qemu_domain.c,
qemuDomainObjPrivateXMLFormat): root-owned, written anew at every change.
"""
from __future__ import annotations

import dataclasses
import os
import xml.etree.ElementTree as ET

from .._core.identity import ProcessIdentity, process_identity
from .._core.places import Places


@dataclasses.dataclass(frozen=True)
class GuestProcess:
    """The QEMU process of a guest.

    :ivar process: Its identity.
    :ivar monitor: Path of the monitor socket on which libvirt talks to it; empty when the file names none.
    :ivar fake_reboot: A reboot was asked for and has not happened: libvirt resets the guest when it restarts.
    """

    process: ProcessIdentity
    monitor: str
    fake_reboot: bool


def guest_process(where: Places, name: str, uuid: str) -> GuestProcess | None:
    """What libvirt's status file says of a running guest, or `None` when there is none that can be used.

    :param where: The folders of the URI.
    :param name: libvirt's name of the guest (libvirt allows no slash in it).
    :param uuid: Its UUID; a file of another guest is not used.
    """
    if "/" in name:
        return None
    try:
        with open(os.path.join(where.runtime, name + ".xml"), "rb") as stream:
            root = ET.fromstring(stream.read())
    except (OSError, ET.ParseError, LookupError, ValueError):  # LookupError, ValueError: an encoding that Python does not know
        return None
    if root.tag != "domstatus" or root.findtext("domain/uuid") != uuid:
        return None
    try:
        process = process_identity(int(root.get("pid", "")))
    except ValueError:
        return None
    if process is None:
        return None
    monitor = root.find("monitor")
    path = "" if monitor is None else monitor.get("path", "")
    return GuestProcess(process, path, root.find("fakereboot") is not None)
