# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.netdev: real devices in a network namespace of the test's own, judged by iproute2."""
from __future__ import annotations

import errno
import os
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import netdev

from ..namespace import Namespace

MAC = "52:54:00:12:34:56"


@pytest.fixture
def net():
    """A namespace with a pair of devices, a macvtap device and one that takes its parent for itself, and a bridge with a tap device. All are down."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network devices")
    made = Namespace()
    try:
        made.ip("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        made.ip("ip", "link", "add", "macvtap0", "link", "eth0", "type", "macvtap", "mode", "bridge")
        made.ip("ip", "link", "add", "macvtap1", "link", "eth1", "type", "macvtap", "mode", "passthru")
        made.ip("ip", "link", "add", "br0", "type", "bridge")
        made.ip("ip", "tuntap", "add", "vnet0", "mode", "tap")
        made.ip("ip", "link", "set", "vnet0", "master", "br0")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("device", ["eth0", "macvtap0", "macvtap1", "br0", "vnet0"])
def test_a_device_is_set_up(net, device):
    assert "UP" not in net.flags(device)
    assert not net.run(netdev.is_up, device)
    assert net.run(netdev.set_up, device)
    assert "UP" in net.flags(device)
    assert net.run(netdev.is_up, device)
    assert not net.run(netdev.set_up, device)


def test_the_other_flags_of_a_device_are_kept(net):
    net.ip("ip", "link", "set", "eth0", "promisc", "on", "multicast", "off")
    before = net.flags("eth0")
    net.run(netdev.set_up, "eth0")
    assert "PROMISC" in before and "MULTICAST" not in before
    assert set(before) <= set(net.flags("eth0")) and "MULTICAST" not in net.flags("eth0")


def test_what_libvirt_takes_down_for_passthrough_is_set_up(net):
    for name in ("eth1", "macvtap1"):
        net.ip("ip", "link", "set", name, "up")
    for name in ("macvtap1", "eth1"):
        net.ip("ip", "link", "set", name, "down")
    for name in ("eth1", "macvtap1"):
        assert net.run(netdev.set_up, name)
    assert "UP" in net.flags("eth1") and "UP" in net.flags("macvtap1")


def test_an_entry_is_added_as_libvirt_adds_it(net):
    # What "bridge" calls static is what libvirt makes: it gives NUD_NOARP and NUD_REACHABLE, and the kernel looks at the former only.
    assert not net.run(netdev.has_forwarding_entry, "vnet0", MAC)
    assert net.run(netdev.add_forwarding_entry, "vnet0", MAC)
    assert net.entries("vnet0") == [MAC]
    assert net.run(netdev.has_forwarding_entry, "vnet0", MAC.upper())
    assert not net.run(netdev.add_forwarding_entry, "vnet0", MAC)
    assert net.entries("vnet0") == [MAC]
    net.ip("bridge", "fdb", "del", MAC, "dev", "vnet0", "master")
    assert not net.run(netdev.has_forwarding_entry, "vnet0", MAC)


def test_entries_of_others_do_not_count(net):
    net.ip("ip", "tuntap", "add", "vnet1", "mode", "tap")
    net.ip("ip", "link", "set", "vnet1", "master", "br0")
    net.ip("bridge", "fdb", "add", MAC, "dev", "vnet1", "master", "static")
    net.ip("bridge", "fdb", "add", "52:54:00:00:00:02", "dev", "vnet0", "master", "dynamic", "extern_learn")
    net.ip("ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789", "dev", "eth0")
    net.ip("ip", "link", "set", "vx0", "master", "br0")
    net.ip("bridge", "fdb", "add", "52:54:00:00:00:03", "dev", "vx0", "dst", "192.0.2.1", "self", "static")
    assert not net.run(netdev.has_forwarding_entry, "vnet0", MAC)
    assert not net.run(netdev.has_forwarding_entry, "vnet0", "52:54:00:00:00:02"), "it will be forgotten"
    assert not net.run(netdev.has_forwarding_entry, "vx0", "52:54:00:00:00:03"), "that is the device's own list"
    assert net.run(netdev.has_forwarding_entry, "vnet1", MAC)


def test_an_entry_is_found_among_many(net):
    many = "".join(f"fdb add 52:54:00:01:{number // 256:02x}:{number % 256:02x} dev vnet0 master static\n" for number in range(3000))
    net.run(lambda: subprocess.run(["bridge", "-batch", "-"], input=many, text=True, check=True))
    assert len(net.entries("vnet0")) == 3000
    assert net.run(netdev.has_forwarding_entry, "vnet0", "52:54:00:01:0b:b7")
    assert not net.run(netdev.has_forwarding_entry, "vnet0", "52:54:00:01:0b:b8")


@pytest.mark.parametrize(("call", "words"), [
    (lambda: netdev.is_up("gone0"), "network device gone0 cannot be looked at"),
    (lambda: netdev.set_up("gone0"), "network device gone0 cannot be looked at"),
    (lambda: netdev.add_forwarding_entry("gone0", MAC), "there is no network device gone0"),
    (lambda: netdev.has_forwarding_entry("gone0", MAC), "there is no network device gone0"),
])
def test_a_device_that_is_gone(net, call, words):
    with pytest.raises(OSError, match=words) as caught:
        net.run(call)
    assert caught.value.errno == errno.ENODEV


def test_a_device_that_is_no_port(net):
    with pytest.raises(OSError, match=f"entry for {MAC} at macvtap0 cannot be added .it is no port of a bridge"):
        net.run(netdev.add_forwarding_entry, "macvtap0", MAC)


def test_a_parent_that_has_no_link_keeps_no_device_down(net):
    net.run(netdev.set_up, "macvtap0")
    assert net.run(netdev.is_up, "macvtap0") and not net.run(netdev.is_up, "eth0")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "eth0:1", "a\0b", "sixteen-letters-", "x" * 4000, "é" * 8, "tab\there", "\udcff" * 16])
@pytest.mark.parametrize("call", [
    netdev.is_up, netdev.set_up, lambda name: netdev.add_forwarding_entry(name, MAC), lambda name: netdev.has_forwarding_entry(name, MAC),
])
def test_a_name_that_no_device_can_have(call, name):
    with pytest.raises(OSError, match="is no name of a network device"):
        call(name)


@pytest.mark.parametrize("mac", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "52-54-00-12-34-56", MAC + "\n", MAC + ":00"])
@pytest.mark.parametrize("call", [netdev.add_forwarding_entry, netdev.has_forwarding_entry])
def test_an_address_that_is_none(call, mac):
    with pytest.raises(ValueError, match="is no MAC address"):
        call("lo", mac)
