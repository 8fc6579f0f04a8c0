# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt takes from a guest when it suspends it, beside its vCPUs: what has to be given back by whoever resumes the guest without libvirt.

The source of every rule is libvirt 9.0 and 11.3: `qemuProcessStopCPUs` and `qemuProcessStartCPUs` (src/qemu/qemu_process.c), which call
`qemuInterfaceStopDevices` and `qemuInterfaceStartDevices` (src/qemu/qemu_interface.c; later src/hypervisor/domain_interface.c) for the network, and
`virDomainLockProcessPause` and `virDomainLockProcessResume` (src/locking/domain_lock.c) for the leases. They do this for every suspend and resume, in
the order of the definition, and stop at the first device that fails: the devices after it stay as they are.

The link state of an interface (`<link state='down'/>`) is QEMU's alone (`set_link`), and outlasts a suspend. The host's device is up or down without
regard to it.
"""
from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

#: The macvtap mode in which libvirt takes the parent down, too: both have the same MAC address.
PASSTHROUGH = "passthrough"
#: The kinds of disks on which a lock manager has a lease (`virDomainLockManagerAddImage`), and the attributes in which libvirt has their path.
#: A volume can turn out to be any of them; its path is not in the XML.
_LOCKED_DISKS = {"file": "file", "block": "dev", "dir": "dir", "volume": "volume"}


class DirectDevice(t.NamedTuple):
    """A macvtap device, which libvirt sets down with the suspend and up with the resume.

    :ivar device: The host's name of it, for example `macvtap0`.
    :ivar parent: The device that it is on.
    :ivar mode: `vepa`, `bridge`, `private` or `passthrough`.
    """

    device: str
    parent: str
    mode: str

    @property
    def parent_goes_down(self) -> bool:
        """Whether libvirt takes the parent down as well."""
        return self.mode == PASSTHROUGH


class ForwardingEntry(t.NamedTuple):
    """An entry of a bridge whose table libvirt keeps itself (`macTableManager='libvirt'`), which it removes with the suspend and adds with the resume.

    :ivar device: The port of the bridge, the guest's tap device.
    :ivar mac: The MAC address that is behind that port, `52:54:00:12:34:56`.
    :ivar bridge: The bridge, for messages.
    """

    device: str
    mac: str
    bridge: str


class DeviceState(t.NamedTuple):
    """What a suspend takes from a guest.

    :ivar direct: Its macvtap devices, in the order of its definition.
    :ivar forwarding: Its entries in bridges.
    :ivar leases: What a lock manager guards for it: paths of disks, keys of leases. Empty without a lock manager.
    """

    direct: tuple[DirectDevice, ...]
    forwarding: tuple[ForwardingEntry, ...]
    leases: tuple[str, ...]

    @property
    def devices_to_set_up(self) -> list[str]:
        """The devices that have to be up when the guest runs, in the order in which libvirt sets them up: each parent before what is on it."""
        return list(dict.fromkeys(name for device in self.direct for name in (device.parent, device.device)))


def _source(interface: ET.Element) -> tuple[str, ET.Element | None]:
    """What an interface really is, and its source: `<actual>` in libvirt's status file, the interface itself in the live XML."""
    actual = interface.find("actual")
    real = interface if actual is None else actual
    return real.get("type", ""), real.find("source")


def _attribute(interface: ET.Element, element: ET.Element | None, name: str, what: str) -> str:
    value = "" if element is None else element.get(name, "")
    if not value:
        address = interface.find("mac")
        mac = "an unknown MAC address" if address is None else f"MAC address {address.get('address', '')}"
        raise ValueError(f"the interface with {mac} has no {what} in the guest's live XML")
    return value


def _leases(domain: ET.Element, automatic: bool) -> list[str]:
    found = [lease.findtext("key", "") or "(no key)" for lease in domain.findall("devices/lease")]
    if not automatic:
        return found
    for disk in domain.findall("devices/disk"):
        attribute = _LOCKED_DISKS.get(disk.get("type", ""))
        source = disk.find("source")
        path = "" if attribute is None or source is None else source.get(attribute, "")
        if path and disk.find("readonly") is None:
            found.append(path)
    return found


def device_state(xml: str | bytes, lock_manager: str | None, disk_leases: bool) -> DeviceState:
    """What a suspend through libvirt takes from a guest.

    :param xml: The guest's live XML, or libvirt's status file of it (`/run/libvirt/qemu/NAME.xml`): the same can be read in both, so also without libvirt.
    :param lock_manager: libvirt's lock manager, `None` when it has none.
    :param disk_leases: Whether that lock manager takes a lease for each writable disk, or only those that the guest's XML names.
    :raises ValueError: It is no XML of a guest, or does not name what it has to name of a running guest's devices.
    """
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise ValueError(f"the guest's XML cannot be read ({error})") from None
    domain = root.find("domain") if root.tag == "domstatus" else root
    if domain is None or domain.tag != "domain":
        raise ValueError("this is no XML of a guest")
    direct, forwarding = [], []
    for interface in domain.findall("devices/interface"):
        kind, source = _source(interface)
        if kind == "direct":
            direct.append(DirectDevice(
                _attribute(interface, interface.find("target"), "dev", "device of the host (target)"),
                _attribute(interface, source, "dev", "parent device (source)"),
                "" if source is None else source.get("mode", ""),
            ))
        elif kind in ("bridge", "network") and source is not None and source.get("macTableManager") == "libvirt":
            forwarding.append(ForwardingEntry(
                _attribute(interface, interface.find("target"), "dev", "device of the host (target)"),
                _attribute(interface, interface.find("mac"), "address", "MAC address"),
                source.get("bridge", ""),
            ))
    return DeviceState(tuple(direct), tuple(forwarding), tuple(_leases(domain, disk_leases)) if lock_manager else ())
