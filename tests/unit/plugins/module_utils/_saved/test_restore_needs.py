# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/restore_needs: what a guest's next QEMU will open, and whether it will find there what the running one has."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.restore_needs import Need, firmware_by_name, missing, needs, rom_blocker
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.open_files import Found


def of(inner):
    return [(need.path, need.what, need.wanted) for need in needs(ET.fromstring(f"<domain type='kvm'>{inner}</domain>"))]


def devices(inner):
    return of(f"<devices>{inner}</devices>")


# ---- what it will open ----

def test_a_disk_and_the_files_below_it():
    assert devices(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/top.qcow2' index='3'/>"
        "<backingStore type='file' index='4'><format type='qcow2'/><source file='/i/mid.qcow2'/>"
        "<backingStore type='block' index='5'><format type='raw'/><source dev='/dev/vg/base'/><backingStore/></backingStore></backingStore>"
        "<target dev='vda' bus='virtio'/></disk>"
    ) == [
        ("/i/top.qcow2", "its disk vda", "same"), ("/i/mid.qcow2", "a file below its disk vda", "same"), ("/dev/vg/base", "a file below its disk vda", "same"),
    ]


@pytest.mark.parametrize(("inner", "expected"), [
    ("<disk type='file' device='cdrom'><source file='/i/seed.iso'/><target dev='sda'/></disk>", [("/i/seed.iso", "its CD-ROM sda", "same")]),
    ("<disk type='block' device='disk'><source dev='/dev/sdq'/><target dev='vdb'/></disk>", [("/dev/sdq", "its disk vdb", "same")]),
    ("<disk type='vhostuser' device='disk'><source type='unix' path='/run/v.sock'/><target dev='vdb'/></disk>",
     [("/run/v.sock", "the socket of its disk vdb", "any")]),
    # Nothing in it, on a network, or left out by libvirt when it is not there.
    ("<disk type='file' device='cdrom'><target dev='sda'/></disk>", []),
    ("<disk type='network' device='disk'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>", []),
    ("<disk type='file' device='cdrom'><source file='/i/x.iso' startupPolicy='optional'/><target dev='sda'/></disk>", []),
    # Of a disk it would not leave it out.
    ("<disk type='file' device='disk'><source file='/i/x' startupPolicy='optional'/><target dev='vda'/></disk>", [("/i/x", "its disk vda", "same")]),
    ("<interface type='bridge'><source bridge='br0'/><alias name='net0'/></interface>",
     [("/sys/class/net/br0", "the network device of its device net0", "any")]),
    ("<interface type='network'><source network='default' bridge='virbr0'/></interface>",
     [("/sys/class/net/virbr0", "the network device of its device", "any")]),
    ("<interface type='direct'><source dev='eno1' mode='bridge'/></interface>", [("/sys/class/net/eno1", "the network device of its device", "any")]),
    # Open vSwitch does not need a device of that name.
    ("<interface type='bridge'><source bridge='ovs0'/><virtualport type='openvswitch'/></interface>", []),
    ("<interface type='bridge'><source bridge='../../../etc'/></interface>", []),
    ("<interface type='vhostuser'><source type='unix' path='/run/n.sock' mode='client'/></interface>", [("/run/n.sock", "the socket of its device", "any")]),
    ("<interface type='vhostuser'><source type='unix' path='/run/n.sock' mode='server'/></interface>", []),
    ("<interface type='user'><rom file='/r/x.rom'/><alias name='net1'/></interface>", [("/r/x.rom", "the ROM of its device net1", "any")]),
    ("<interface type='user'><rom enabled='no' file='/r/x.rom'/></interface>", []),
    ("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><address bus='1' device='14'/></source><alias name='hostdev0'/></hostdev>",
     [("/dev/bus/usb/001/014", "the USB device of its device hostdev0", "any")]),
    ("<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><address bus='1' device='14'/></source></hostdev>", []),
    ("<hostdev mode='subsystem' type='usb'><source><address bus='x' device='../1'/></source></hostdev>", []),
    ("<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>", [("/dev/input/event1", "the input device of its device", "any")]),
    ("<input type='tablet' bus='usb'/>", []),
])
def test_devices(inner, expected):
    assert devices(inner) == expected


@pytest.mark.parametrize(("inner", "expected"), [
    ("<loader readonly='yes' type='pflash'>/f/CODE.fd</loader><nvram template='/f/VARS.fd'>/v/g_VARS.fd</nvram>",
     [("/f/CODE.fd", "its firmware", "size"), ("/v/g_VARS.fd", "the variables of its firmware", "size")]),
    ("<loader readonly='yes' type='pflash' format='qcow2'>/f/CODE.qcow2</loader>", [("/f/CODE.qcow2", "its firmware", "any")]),
    ("<loader type='rom'>/f/bios.bin</loader>", [("/f/bios.bin", "its firmware", "any")]),
    ("<nvram type='file'><source file='/v/g.fd'/></nvram>", [("/v/g.fd", "the variables of its firmware", "size")]),
    ("<nvram type='network'><source protocol='iscsi' name='x'/></nvram>", []),
    ("<kernel>/b/vmlinuz</kernel><initrd>/b/initrd</initrd><dtb>/b/x.dtb</dtb>",
     [("/b/vmlinuz", "its kernel", "any"), ("/b/initrd", "its initrd", "any"), ("/b/x.dtb", "its device tree", "any")]),
    ("<acpi><table type='slic'>/b/slic</table></acpi>", [("/b/slic", "its ACPI table", "any")]),
    ("<type arch='x86_64' machine='pc'>hvm</type>", []),
])
def test_firmware_and_kernel(inner, expected):
    assert of(f"<os>{inner}</os>") == expected


# ---- what it will find ----

OLD, NEW = (8, 100), (8, 200)


def held(path="/x", key=OLD, size=1966080, named=True):
    return Found(path, key, size, named)


@pytest.mark.parametrize(("wanted", "now", "open_now", "code"), [
    ("any", None, [], "missing"), ("same", None, [held(named=False)], "missing"), ("size", None, [], "missing"),
    ("any", held(key=NEW), [], None),
    ("same", held(), [held()], None),
    ("same", held("/by/a/link"), [held("/x")], None),
    # A disk that was put in the place of the one that is open.
    ("same", held(key=NEW), [held(named=False)], "replaced"), ("same", held(key=NEW), [], "replaced"),
    ("same", held("/y", key=NEW), [held("/x")], "replaced"),
    # A file system that gives a file another number each time it is looked up; the kernel says that it is still there.
    ("same", held(key=NEW), [held()], None),
    # Its firmware was updated: the content of the old one is in the image, and has to fit.
    ("size", held(key=NEW), [held(named=False)], None),
    ("size", held(key=NEW, size=3653632), [held(named=False)], "other_size"),
    ("size", held("/4M.fd", key=NEW, size=3653632), [held("/2M.fd")], "other_size"),
    ("size", held("/other.fd", key=NEW), [held("/2M.fd")], None),
    ("size", held("/4M.fd", key=NEW, size=3653632), [], "other_size"),
])
def test_what_is_not_as_the_running_qemu_has_it(wanted, now, open_now, code):
    found = missing([Need("/x", "its thing", wanted)], {"/x": now}, open_now)
    assert [one.code for one in found] == ([] if code is None else [code])
    assert all("/x" in one.message and "its thing" in one.message for one in found)


def test_the_sizes_are_told():
    (found,) = missing([Need("/x", "its firmware", "size")], {"/x": held(key=NEW, size=3653632)}, [held(named=False)])
    assert "1966080" in found.message and "3653632" in found.message


def test_what_cannot_be_looked_at_is_left_to_libvirt():
    assert missing([Need("/x", "its disk vda", "same")], {}, []) == []


def test_a_cdrom_can_be_ejected():
    assert "eject" in missing([Need("/x", "its CD-ROM sda", "same")], {"/x": None}, [])[0].message
    assert "eject" not in missing([Need("/x", "its kernel", "any")], {"/x": None}, [])[0].message


# ---- ROMs ----

@pytest.mark.parametrize(("running", "size", "code"), [
    (262144, 262144, None), (262144, 160768, None), (262144, 131072, "other_size"), (262144, 262145, "other_size"), (262144, None, "missing"), (1, 1, None),
    (65536, 39424, None),
])
def test_the_rom_of_a_device(running, size, code):
    found = rom_blocker("net0", "/usr/lib/ipxe/qemu/efi-virtio.rom", running, size)
    assert (None if found is None else found.code) == code
    assert found is None or "efi-virtio.rom" in found.message


@pytest.mark.parametrize(("inner", "expected"), [
    ("<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>", "bios-256k.bin"),
    ("<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>", "bios-256k.bin"),
    ("<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type><loader>/f/x.bin</loader></os>", None),
    ("<os><type arch='x86_64' machine='microvm'>hvm</type></os>", None),
    ("<os><type>hvm</type></os>", None), ("<os/>", None), ("", None),
])
def test_firmware_that_qemu_looks_for_by_its_name(inner, expected):
    assert firmware_by_name(ET.fromstring(f"<domain>{inner}</domain>")) == expected
