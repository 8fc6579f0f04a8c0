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
{metadata}\
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

    :ivar role: `ours`: to be paused. `aside`: runs and is excluded. `owner`: paused by its owner before anything begins.
    :ivar disk: Path of a raw disk image on the host, or empty.
    :ivar kind: The lab's kind of guest that boots Linux, runs an agent and answers over its network; empty: there is only firmware, which idles.
    :ivar number: Of one that boots: it decides its address, and is no other guest's of the host.
    :ivar metadata: What its owner has written into its metadata, as XML.
    """

    name: str
    role: str = "ours"
    transient: bool = False
    disk: str = ""
    kind: str = ""
    number: int = layout.MAX_ADDRESSED_GUESTS - 1
    metadata: str = ""
    uuid: str = dataclasses.field(default_factory=lambda: PREFIX + str(uuid.uuid4()).partition("-")[2])

    def document(self) -> dict:
        """For on_host.start_guests."""
        return {
            "name": self.name, "uuid": self.uuid, "role": self.role, "transient": self.transient, "agent": bool(self.kind), "address": self.address(),
            "leased": lab_guests.disk_path(self._lab_guest()) if self.kind == "leased" else "", "xml": self._xml(),
        }  # fmt: skip

    def address(self) -> str:
        """Where it answers over its network; empty when it has none."""
        return self._lab_guest()["address"] if self.kind else ""

    def _lab_guest(self) -> dict:
        # The host is none of the lab's, so that its MAC is not in use.
        return {**layout.guest("h99", self.kind, self.number, 128), "name": self.name}

    def _xml(self) -> str:
        monitor = _MONITOR.format(folder=MONITORS, uuid=self.uuid)
        metadata = f"  <metadata>{self.metadata}</metadata>\n" if self.metadata else ""
        if not self.kind:
            disk = _DISK.format(path=self.disk) if self.disk else ""
            return _MINIMAL.format(name=escape(self.name), uuid=self.uuid, disk=disk, monitor=monitor, metadata=metadata)
        text = lab_guests.definition(self._lab_guest())
        text = text.replace("<domain type='qemu'>", "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>")
        text = text.replace("</name>", f"</name>\n  <uuid>{self.uuid}</uuid>\n{metadata}")
        return text.replace("</domain>", f"{monitor}</domain>")


#: In every fault of a pause this one is ours too. It boots once for many of them, and shows at the end of each that what was paused keeps its memory
#: and answers over its network.
WITNESS = Guest("chaos-witness", kind="normal", number=layout.MAX_ADDRESSED_GUESTS - 3, uuid=f"{PREFIX}0000-4000-8000-000000000077")


def usual() -> list[Guest]:
    """Three that are ours and two that are not."""
    return [*(Guest(f"chaos-{number}") for number in (1, 2, 3)), *bystanders()]


def bystanders() -> list[Guest]:
    """One that its owner has paused, one that runs and is excluded: neither may ever be touched."""
    return [Guest("chaos-owner", role="owner"), Guest("chaos-aside", role="aside")]
