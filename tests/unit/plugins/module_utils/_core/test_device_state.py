# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core.device_state: what a suspend takes, from live XML and from libvirt's status file."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.device_state import DirectDevice, ForwardingEntry, device_state

#: As libvirt 9.0 shows them in a running guest.
DIRECT = """<interface type='direct'><mac address='52:54:00:aa:00:01'/><source dev='eth0' mode='bridge'/><target dev='macvtap0'/>
<model type='virtio'/><alias name='net0'/></interface>"""
#: A network of macvtap devices: the live XML says what it has become.
DIRECT_NETWORK = """<interface type='direct'><mac address='52:54:00:aa:00:02'/><source network='lan' portid='0e7f5dc4-6d1c-4a35-bd2c-2a3b1a2f9d11'
dev='eth1' mode='passthrough'/><target dev='macvtap1'/><model type='virtio'/><alias name='net1'/></interface>"""
#: The same in the status file.
DIRECT_ACTUAL = """<interface type='network'><mac address='52:54:00:aa:00:02'/><source network='lan' portid='0e7f5dc4-6d1c-4a35-bd2c-2a3b1a2f9d11'/>
<actual type='direct'><source dev='eth1' mode='passthrough'/></actual><target dev='macvtap1'/></interface>"""
MANAGED = """<interface type='network'><mac address='52:54:00:aa:00:03'/><source network='default' portid='1' bridge='virbr0' macTableManager='libvirt'/>
<target dev='vnet3'/></interface>"""
MANAGED_BRIDGE = """<interface type='bridge'><mac address='52:54:00:aa:00:04'/><source network='host' portid='1' bridge='br0' macTableManager='libvirt'/>
<target dev='vnet4'/></interface>"""
MANAGED_ACTUAL = """<interface type='network'><mac address='52:54:00:aa:00:03'/><source network='default' portid='1'/>
<actual type='network'><source bridge='virbr0' macTableManager='libvirt'/></actual><target dev='vnet3'/></interface>"""
UNMANAGED = """<interface type='network'><mac address='52:54:00:aa:00:05'/><source network='default' portid='1' bridge='virbr0'/>
<target dev='vnet5'/></interface>"""
KERNEL = UNMANAGED.replace("bridge='virbr0'", "bridge='virbr0' macTableManager='kernel'")
OTHERS = """<interface type='bridge'><mac address='52:54:00:aa:00:06'/><source bridge='br0'/><target dev='vnet6'/></interface>
<interface type='ethernet'><mac address='52:54:00:aa:00:07'/><target dev='tap7'/></interface>
<interface type='user'><mac address='52:54:00:aa:00:08'/></interface>
<interface type='vhostuser'><mac address='52:54:00:aa:00:09'/><source type='unix' path='/run/x' mode='client'/></interface>
<interface type='hostdev' managed='yes'><mac address='52:54:00:aa:00:0a'/><source><address type='pci' domain='0' bus='1' slot='0'
function='1'/></source></interface>
<interface type='network'><mac address='52:54:00:aa:00:0b'/><source network='vf'/><actual type='hostdev' managed='yes'><source/></actual></interface>"""


def domain(*devices):
    return f"<domain type='kvm' id='3'><name>g1</name><devices>{''.join(devices)}</devices></domain>"


def status(*devices):
    return f"<domstatus state='running' reason='booted' pid='42'>{domain(*devices)}</domstatus>"


@pytest.mark.parametrize(("xml", "direct", "forwarding"), [
    (domain(), (), ()),
    (domain(DIRECT), (DirectDevice("macvtap0", "eth0", "bridge"),), ()),
    (domain(DIRECT.replace("bridge", "vepa")), (DirectDevice("macvtap0", "eth0", "vepa"),), ()),
    (domain(DIRECT_NETWORK), (DirectDevice("macvtap1", "eth1", "passthrough"),), ()),
    (status(DIRECT_ACTUAL), (DirectDevice("macvtap1", "eth1", "passthrough"),), ()),
    (status(DIRECT), (DirectDevice("macvtap0", "eth0", "bridge"),), ()),
    (domain(DIRECT.replace("<alias", "<link state='down'/><alias")), (DirectDevice("macvtap0", "eth0", "bridge"),), ()),
    (domain(MANAGED), (), (ForwardingEntry("vnet3", "52:54:00:aa:00:03", "virbr0"),)),
    (domain(MANAGED_BRIDGE), (), (ForwardingEntry("vnet4", "52:54:00:aa:00:04", "br0"),)),
    (status(MANAGED_ACTUAL), (), (ForwardingEntry("vnet3", "52:54:00:aa:00:03", "virbr0"),)),
    (domain(UNMANAGED, KERNEL, OTHERS), (), ()),
    (domain(DIRECT_NETWORK, UNMANAGED, DIRECT, MANAGED), (DirectDevice("macvtap1", "eth1", "passthrough"), DirectDevice("macvtap0", "eth0", "bridge")),
     (ForwardingEntry("vnet3", "52:54:00:aa:00:03", "virbr0"),)),
])
def test_what_a_suspend_takes(xml, direct, forwarding):
    found = device_state(xml, None, False)
    assert found.direct == direct
    assert found.forwarding == forwarding
    assert found.leases == ()


def test_only_passthrough_takes_the_parent_down():
    assert [device.parent_goes_down for device in device_state(domain(DIRECT, DIRECT_NETWORK), None, False).direct] == [False, True]


def test_each_parent_is_set_up_before_what_is_on_it_and_once():
    again = DIRECT.replace("macvtap0", "macvtap9")
    assert device_state(domain(DIRECT, again, DIRECT_NETWORK), None, False).devices_to_set_up == ["eth0", "macvtap0", "macvtap9", "eth1", "macvtap1"]


LEASE = "<lease><lockspace>space</lockspace><key>g1-data</key><target path='/leases/x' offset='1024'/></lease>"
DISK = "<disk type='{}' device='disk'><source {}/><target dev='vda'/>{}</disk>"
FILE = DISK.format("file", "file='/images/g1.qcow2'", "")
BLOCK = DISK.format("block", "dev='/dev/vg/g1'", "<shareable/>")
VOLUME = DISK.format("volume", "pool='p' volume='v1'", "")
NONE = "".join([
    DISK.format("file", "file='/images/seed.iso'", "<readonly/>"), "<disk type='file' device='cdrom'><target dev='sda'/></disk>",
    DISK.format("network", "protocol='rbd' name='pool/g1'", ""), DISK.format("nvme", "type='pci' managed='yes' namespace='1'", ""),
])


@pytest.mark.parametrize(("manager", "disk_leases", "devices", "leases"), [
    (None, True, [LEASE, FILE], ()),
    ("lockd", True, [FILE, BLOCK, VOLUME, NONE], ("/images/g1.qcow2", "/dev/vg/g1", "v1")),
    ("lockd", False, [FILE, BLOCK, LEASE], ("g1-data",)),
    ("sanlock", False, [FILE, NONE], ()),
    ("sanlock", True, [LEASE, FILE], ("g1-data", "/images/g1.qcow2")),
    ("lockd", True, [NONE], ()),
    ("lockd", True, [], ()),
])
def test_what_a_lock_manager_guards(manager, disk_leases, devices, leases):
    assert device_state(domain(*devices), manager, disk_leases).leases == leases


@pytest.mark.parametrize(("xml", "words"), [
    ("", "cannot be read"), ("<domain", "cannot be read"), ("<network/>", "no XML of a guest"), ("<domstatus/>", "no XML of a guest"),
    (domain(DIRECT.replace("<target dev='macvtap0'/>", "")), "52:54:00:aa:00:01 has no device of the host"),
    (domain(DIRECT.replace("dev='eth0'", "")), "52:54:00:aa:00:01 has no parent device"),
    (domain(MANAGED.replace("<target dev='vnet3'/>", "")), "52:54:00:aa:00:03 has no device of the host"),
    (domain(MANAGED.replace("<mac address='52:54:00:aa:00:03'/>", "")), "an unknown MAC address has no MAC address"),
])
def test_what_cannot_be_told(xml, words):
    with pytest.raises(ValueError, match=words):
        device_state(xml, None, False)
