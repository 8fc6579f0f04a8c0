# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_metadata/caller and neighbours: who asks, by where a request came in, and what the kernel's tables say."""
from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.record import Guest, Guests, Interface
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import neighbours
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.caller import caller
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.listeners import parse_first, sender
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.neighbours import Neighbours, parse_arp, parse_forwarding

ARP = """IP address       HW type     Flags       HW address            Mask     Device
192.168.122.11   0x1         0x2         52:54:00:77:01:01     *        virbr0
192.168.122.12   0x1         0x0         00:00:00:00:00:00     *        virbr0
192.168.122.11   0x1         0x2         52:54:00:77:09:01     *        br1
10.0.0.1         0x1         0x6         52:54:00:AB:CD:EF     *        eth0
"""


def test_parse_arp():
    assert parse_arp(ARP) == {
        ("virbr0", "192.168.122.11"): "52:54:00:77:01:01", ("br1", "192.168.122.11"): "52:54:00:77:09:01", ("eth0", "10.0.0.1"): "52:54:00:ab:cd:ef",
    }
    assert parse_arp("") == parse_arp("IP address\n") == {}


def entry(mac, port, is_local=0):
    return struct.pack("=6sBBIBxxx", bytes.fromhex(mac.replace(":", "")), port & 0xFF, is_local, 0, port >> 8)


def test_parse_forwarding():
    data = entry("52:54:00:77:01:01", 1) + entry("52:54:00:77:01:02", 0x102) + entry("fe:54:00:77:01:01", 1, is_local=1)
    assert parse_forwarding(data) == {"52:54:00:77:01:01": 1, "52:54:00:77:01:02": 0x102}


@given(st.binary(max_size=200))
def test_a_table_that_is_cut_short(data):
    parse_forwarding(data)


#: From a bridge, and from loopback, as a kernel gave them.
FIRST = bytes.fromhex("5254000000fe52540000000108004500003cdd0d")
AT_LOOPBACK = bytes.fromhex("00000000000000000000000008004500003c6d64")


@pytest.mark.parametrize(("packet", "expected"), [
    (FIRST, "52:54:00:00:00:01"), (AT_LOOPBACK, None), (b"", None), (FIRST[:14], None), (FIRST[14:] * 9, None), (FIRST[:12] + b"\x86\xdd\x60", None),
], ids=["bridge", "loopback", "nothing", "cut short", "without a link layer", "IPv6"])
def test_who_began_a_connection(packet, expected):
    assert parse_first(packet) == expected


def test_a_connection_of_which_the_kernel_tells_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname(), 5):
        with listening.accept()[0] as taken:
            assert sender(taken) is None


class Tables:
    """A host's tables as a test has them."""

    def __init__(self, macs, seen):
        self.macs, self.seen = macs, seen

    def mac(self, bridge, address):
        return self.macs.get((bridge, address))

    def device_of_mac(self, bridge, mac):
        return self.seen.get((bridge, mac))


def guest(name, *interfaces):
    return Guest(name, name, name, None, "", "Linux", 1, tuple(Interface(*one) for one in interfaces))


GUESTS = Guests(
    (guest("web", ("m1", "vnet0", "virbr0")), guest("db", ("m2", "vnet1", "virbr0"), ("m1", "vnet2", "ovs0"), ("m3", "vnet3", "virbr0"))),
    {"virbr0": "linux", "ovs0": "openvswitch"},
)
GOOD = {"macs": {("virbr0", "a1"): "m1", ("virbr0", "a2"): "m2", ("ovs0", "a3"): "m1", ("virbr0", "a4"): "m9"},
        "seen": {("virbr0", "m1"): "vnet0", ("virbr0", "m2"): "vnet1"}}


@pytest.mark.parametrize(("bridge", "address", "over", "expected"), [
    ("virbr0", "a1", {}, "web"), ("virbr0", "a2", {}, "db"), ("ovs0", "a3", {}, "db"),
    ("virbr0", "a4", {}, None),  # a MAC address of nobody
    ("virbr0", "a9", {}, None),  # an address that nobody has
    ("br7", "a1", {}, None),
    ("virbr0", "a1", {"seen": {("virbr0", "m1"): "vnet1"}}, None),  # another guest sends with its MAC address
    ("virbr0", "a1", {"seen": {}}, None),
    ("virbr0", "a1", {"sender": "m1"}, "web"), ("ovs0", "a3", {"sender": "m1"}, "db"),
    ("virbr0", "a1", {"sender": "m2"}, None),  # it says by ARP that it is at another guest's MAC address
    ("virbr0", "a1", {"sender": "m9"}, None), ("ovs0", "a3", {"sender": "m2"}, None),
    ("virbr0", "a2", {"sender": "m3"}, "db"),  # two interfaces of one guest at one bridge
])
def test_who_asks(bridge, address, over, expected):
    known = {**GOOD, "sender": None, **over}
    found = caller(GUESTS, Tables(known["macs"], known["seen"]), bridge, address, known["sender"])
    assert (found.name if found else None) == expected


def test_two_guests_with_one_address_are_neither():
    twins = Guests((guest("a", ("m1", "vnet0", "virbr0")), guest("b", ("m1", "vnet1", "virbr0"))), {"virbr0": "linux"})
    assert caller(twins, Tables(**GOOD), "virbr0", "a1", "m1") is None


def test_a_kernel_that_answers_no_such_questions(monkeypatch):
    """Before Linux 5.0, and for the entries of a VLAN: then the whole table is read."""
    monkeypatch.setattr(Neighbours, "_ask", lambda *_given: None)
    monkeypatch.setattr(neighbours.socket, "if_nametoindex", lambda _name: 7)
    files = {"arp": ARP.encode(), "port_no": b"0x1\n", "brforward": entry("52:54:00:77:01:01", 1)}
    monkeypatch.setattr(neighbours, "_read", lambda path: files[path.rpartition("/")[2]])
    monkeypatch.setattr(neighbours.os, "listdir", lambda _path: ["vnet0"])
    found = Neighbours()
    assert found.mac("virbr0", "192.168.122.11") == "52:54:00:77:01:01" and found.mac("virbr0", "192.168.122.99") is None
    assert found.device_of_mac("virbr0", "52:54:00:77:01:01") == "vnet0" and found.device_of_mac("virbr0", "52:54:00:77:01:99") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.1.1", "rubbish", ""])
def test_nothing_is_known_of_loopback(address):
    assert Neighbours().mac("lo", address) in (None, "00:00:00:00:00:00")


def test_a_bridge_that_is_not_there():
    found = Neighbours()
    assert found.mac("no-such-bridge", "192.168.122.11") is None and found.device_of_mac("no-such-bridge", "52:54:00:77:01:01") is None
