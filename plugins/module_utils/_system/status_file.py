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

from .._core.device_state import DeviceState, device_state
from .._core.identity import ProcessIdentity, process_identity
from .._core.places import Places
from .qemu_conf import LockManager


@dataclasses.dataclass(frozen=True)
class GuestProcess:
    """The QEMU process of a guest.

    :ivar process: Its identity.
    :ivar monitor: Path of the monitor socket on which libvirt talks to it; empty when the file names none.
    :ivar fake_reboot: A reboot was asked for and has not happened: libvirt resets the guest when it restarts.
    :ivar agent: Path of the socket of its guest agent, when an agent was connected; else empty.
    :ivar taken: What a suspend through libvirt takes from it beside its vCPUs; `None` when that cannot be read.
    """

    process: ProcessIdentity
    monitor: str
    fake_reboot: bool
    agent: str = ""
    taken: DeviceState | None = None


def _agent(root: ET.Element) -> str:
    for channel in root.findall("domain/devices/channel"):
        target, source = channel.find("target"), channel.find("source")
        if target is not None and target.get("name") == "org.qemu.guest_agent.0" and target.get("state") == "connected" and source is not None:
            return source.get("path", "")
    return ""


def guest_process(where: Places, name: str, uuid: str, locks: LockManager = LockManager(None, False)) -> GuestProcess | None:
    """What libvirt's status file says of a running guest, or `None` when there is none that can be used.

    :param where: The folders of the URI.
    :param name: libvirt's name of the guest (libvirt allows no slash in it).
    :param uuid: Its UUID; a file of another guest is not used.
    :param locks: libvirt's lock manager.
    """
    if "/" in name:
        return None
    try:
        with open(os.path.join(where.runtime, name + ".xml"), "rb") as stream:
            text = stream.read()
        root = ET.fromstring(text)
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
    try:
        taken = device_state(text, locks.name, locks.disk_leases)
    except ValueError:
        taken = None
    return GuestProcess(process, path, root.find("fakereboot") is not None, _agent(root), taken)
