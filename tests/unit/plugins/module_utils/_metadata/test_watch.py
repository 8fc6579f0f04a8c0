# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_metadata/watch and addresses: who hears of the address. A real bridge with a guest, an uplink and a device beside it, in a network namespace."""
from __future__ import annotations

import json
import os
import shutil
import socket
import struct

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import watch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.addresses import FAMILIES, TABLE, Bridge, arp_rules, makes_table, no_rules

from ..namespace import Namespace

ADDRESS, OTHER = "169.254.169.254", "169.254.169.253"
BRIDGE = Bridge("br0", "52:54:00:00:00:fe", ("vnet0",), ("up0",))
#: Only catches a hang. Seconds.
HANG = 10.0
REQUEST, REPLY = 1, 2


class Wire:
    """The far end of a cable: nobody but the test speaks or hears there."""

    def __init__(self, device):
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self._socket.bind((device, 0x0806))
        self._socket.settimeout(HANG)

    def ask(self, address):
        """Ask who has an address."""
        mac = self._socket.getsockname()[4]
        self._socket.send(
            b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, REQUEST) + mac + socket.inet_aton("192.0.2.99") + bytes(6)
            + socket.inet_aton(address)
        )

    def heard_until(self, kind, sender):
        """What ARP said up to a packet, as (kind, sender's address). Packets do not overtake each other on a cable."""
        heard = []
        while (kind, sender) not in heard:
            data, (_device, _protocol, way, _hardware, _mac) = self._socket.recvfrom(2048)
            if way != socket.PACKET_OUTGOING:
                heard.append((data[21], socket.inet_ntoa(data[28:32])))
        return heard

    def close(self):
        self._socket.close()


class Host:
    """A host whose addresses and rules are followed.

    :ivar near: What a guest hears, `uplink`: what others at the bridge hear, `beside`: what others at another device hear.
    """

    def __init__(self, net, places):
        self.net = net
        self.places = places
        self.network = watch._Network(places)
        self.near, self.uplink, self.beside = (net.run(Wire, device) for device in ("guest0", "out0", "far0"))

    def follow(self, names=("br0",), linux=(BRIDGE,), address=ADDRESS, has_nft=True):
        self.net.run(self.network.follow, names, linux, address, 80, os.getgid(), has_nft)

    def addresses(self, device="br0"):
        return {one["local"] for one in json.loads(self.net.ip("ip", "-json", "-4", "address", "show", "dev", device))[0]["addr_info"]}

    def tables(self):
        return sorted(self.net.ip("nft", "list", "tables").splitlines())

    def send_as(self, address):
        """Send something to two guests from an address of the host. It has to ask for both, for nobody has said where they are."""
        def send():
            for own, to in ((address, "192.0.2.11"), ("192.0.2.1", "192.0.2.12")):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.bind((own, 0))
                    sender.sendto(b"x", (to, 9))
        self.net.run(send)

    def close(self):
        for wire in (self.near, self.uplink, self.beside):
            wire.close()


@pytest.fixture
def host(tmp_path):
    """A host with the bridge `br0`, a guest and an uplink at it, and the device `nic0` beside it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network devices")
    if shutil.which("nft") is None:
        pytest.skip("no nft here")
    net = Namespace()
    try:
        net.ip("ip", "link", "add", "br0", "address", BRIDGE.mac, "type", "bridge")
        for near, far in (("vnet0", "guest0"), ("up0", "out0"), ("nic0", "far0")):
            net.ip("ip", "link", "add", near, "type", "veth", "peer", "name", far)
            # It is of another machine, so this one's kernel must not answer there.
            net.ip("ip", "link", "set", far, "arp", "off", "up")
            net.ip("ip", "link", "set", near, "up")
        for port in ("vnet0", "up0"):
            net.ip("ip", "link", "set", port, "master", "br0")
        net.ip("ip", "link", "set", "br0", "up")
        net.ip("ip", "address", "add", "192.0.2.1/24", "dev", "br0")
        net.ip("ip", "address", "add", "198.51.100.1/24", "dev", "nic0")
        places = EventPlaces(str(tmp_path))
        os.makedirs(os.path.dirname(places.guests))
        made = Host(net, places)
        yield made
        made.close()
    finally:
        net.close()


def test_a_guest_that_asks_for_the_address_is_told(host):
    host.follow()
    host.near.ask(ADDRESS)
    assert (REPLY, ADDRESS) in host.near.heard_until(REPLY, ADDRESS)


@pytest.mark.parametrize(("wire", "own"), [("uplink", "192.0.2.1"), ("beside", "198.51.100.1")])
def test_nobody_else_is(host, wire, own):
    """The host's own address there is told as ever, and after it."""
    host.follow()
    there = getattr(host, wire)
    there.ask(ADDRESS)
    there.ask(own)
    assert (REPLY, ADDRESS) not in there.heard_until(REPLY, own)


def test_a_bridge_that_is_not_served_keeps_still_too(host):
    host.net.ip("ip", "link", "add", "br1", "type", "bridge")
    host.net.ip("ip", "link", "set", "br1", "up")
    host.follow(names=("br1",), linux=(Bridge("br1", "52:54:00:00:00:fd", (), ()),))
    host.near.ask(ADDRESS)
    host.near.ask("192.0.2.1")
    assert (REPLY, ADDRESS) not in host.near.heard_until(REPLY, "192.0.2.1")


def test_the_host_does_not_ask_in_the_name_of_the_address_where_others_hear_it(host):
    """Whoever does, changes what others know of the address; RFC 826."""
    host.follow()
    host.send_as(ADDRESS)
    assert (REQUEST, ADDRESS) in host.near.heard_until(REQUEST, "192.0.2.1")
    assert (REQUEST, ADDRESS) not in host.uplink.heard_until(REQUEST, "192.0.2.1")


def test_another_address_takes_the_place_of_the_first(host):
    host.follow()
    assert host.addresses() == {"192.0.2.1", ADDRESS}
    host.follow(address=OTHER)
    assert host.addresses() == {"192.0.2.1", OTHER}


def test_another_address_while_the_watcher_was_away(host):
    host.follow()
    host.network = watch._Network(host.places)
    host.follow(address=OTHER)
    assert host.addresses() == {"192.0.2.1", OTHER}


def test_nothing_is_left_whatever_the_settings_say_by_then(host):
    host.follow()
    host.net.run(watch._Network(host.places).clear)
    assert host.addresses() == {"192.0.2.1"} and host.tables() == []
    host.net.run(watch._Network(host.places).clear)


def test_an_address_that_was_there_is_not_ours(host):
    host.net.ip("ip", "address", "add", f"{ADDRESS}/32", "dev", "br0")
    host.follow()
    host.net.run(watch._Network(host.places).clear)
    assert host.addresses() == {"192.0.2.1", ADDRESS}


def test_where_no_guest_is_any_more_nothing_is_left(host):
    host.follow()
    host.follow(names=(), linux=())
    assert host.addresses() == {"192.0.2.1"} and host.tables() == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_that_somebody_has_removed_is_made_anew(host, monkeypatch, family):
    monkeypatch.setattr(watch, "_CHECK", 0.0)
    host.follow()
    host.net.ip("nft", "delete", "table", family, TABLE)
    host.follow()
    assert host.tables() == [f"table {one} {TABLE}" for one in sorted(FAMILIES)]


def test_without_nft_there_are_no_rules(host):
    host.follow(linux=(BRIDGE._replace(others=()),), has_nft=False)
    assert ADDRESS in host.addresses() and host.tables() == []


@pytest.mark.parametrize("damaged", ["", "[", '["br0"]', '{"br0": 1}', "null"])
def test_a_record_that_makes_no_sense_is_made_anew(host, damaged):
    with open(os.path.join(os.path.dirname(host.places.guests), "addresses.json"), "w", encoding="ascii") as stream:
        stream.write(damaged)
    host.network = watch._Network(host.places)
    host.follow()
    host.net.run(watch._Network(host.places).clear)
    assert host.addresses() == {"192.0.2.1"}


@pytest.mark.parametrize("served", [[], ["br0"], ["virbr0", "ovs0"]], ids=len)
def test_the_table_of_arp_is_there_when_somebody_is_served(served):
    text = arp_rules(served, ADDRESS)
    assert makes_table(text, "arp") is bool(served) and not makes_table(text, "bridge")
    assert text.startswith(no_rules("arp")) and all(f'"{one}"' in text for one in served)


def test_a_switch_whose_own_port_is_down_is_not_served():
    """`lo` stands for one that is up; one that is not there is down."""
    _linux, not_served = watch._served([], {"lo": watch.OPEN_VSWITCH, "gone0": watch.OPEN_VSWITCH}, None, True)
    assert list(not_served) == ["gone0"] and "ip link set gone0 up" in not_served["gone0"]


def test_a_bridge_of_the_kernel_that_is_down_for_a_moment_is_served_on():
    linux, not_served = watch._served([], {"gone0": watch.LINUX}, None, True)
    assert [one.name for one in linux] == ["gone0"] and not_served == {}
