# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests of a fault: their names and their libvirt XML. All have a monitor of ours beside libvirt's."""

from __future__ import annotations

import dataclasses
import uuid
from xml.sax.saxutils import escape

from vmplab import guests as lab_guests
from vmplab import layout

#: Where the fault's things are on the host; gone after a reboot.
FOLDER = "/run/vmp-chaos"
MONITORS = f"{FOLDER}/monitors"
#: The collection's own folder on the host.
LEDGER_FOLDER = "/var/lib/vm_preserving/system"
#: Every chaos guest's UUID begins so: by this they are found and removed again.
PREFIX = "c4a05000-"

_MINIMAL = """\
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <features><acpi/></features>
  <devices><controller type='usb' model='none'/><memballoon model='none'/>{disk}</devices>
{monitor}\
</domain>
"""
_DISK = """
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='hda' bus='ide'/></disk>
"""
_MONITOR = """\
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:{folder}/{uuid}.sock,server=on,wait=off'/>
  </qemu:commandline>
"""


@dataclasses.dataclass(frozen=True)
class Guest:
    """One guest of a fault.

    :ivar role: C(ours): to be paused. C(aside): runs and is excluded. C(owner): paused by its owner before anything begins.
    :ivar disk: Path of a raw disk image on the host, or empty.
    :ivar agent: It boots Linux and runs a guest agent; otherwise there is only firmware, which idles.
    """

    name: str
    role: str = "ours"
    transient: bool = False
    disk: str = ""
    agent: bool = False
    uuid: str = dataclasses.field(default_factory=lambda: PREFIX + str(uuid.uuid4()).partition("-")[2])

    def document(self) -> dict:
        """For on_host.start_guests."""
        return {"name": self.name, "uuid": self.uuid, "role": self.role, "transient": self.transient, "agent": self.agent, "xml": self._xml()}

    def _xml(self) -> str:
        monitor = _MONITOR.format(folder=MONITORS, uuid=self.uuid)
        if not self.agent:
            disk = _DISK.format(path=self.disk) if self.disk else ""
            return _MINIMAL.format(name=escape(self.name), uuid=self.uuid, disk=disk, monitor=monitor)
        document = {**layout.guest("h9", "normal", layout.MAX_ADDRESSED_GUESTS - 1, 128), "name": self.name}
        text = lab_guests.definition(document)
        text = text.replace("<domain type='qemu'>", "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>")
        text = text.replace("</name>", f"</name>\n  <uuid>{self.uuid}</uuid>")
        return text.replace("</domain>", f"{monitor}</domain>")


def usual() -> list[Guest]:
    """Three that are ours and two that are not."""
    return [*(Guest(f"chaos-{number}") for number in (1, 2, 3)), *bystanders()]


def bystanders() -> list[Guest]:
    """One that its owner has paused, one that runs and is excluded: neither may ever be touched."""
    return [Guest("chaos-owner", role="owner"), Guest("chaos-aside", role="aside")]
