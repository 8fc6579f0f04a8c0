# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_events/guests: what is known of a guest before it asks."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.policy import NAMESPACE
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.guests import Link, guest, links
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.record import GuestSettings, Interface, Settings

PORT = Interface("52:54:00:00:00:01", "vnet0", "virbr0")


def domain(inner="", devices=""):
    return ET.fromstring(f"<domain><name>web1</name><uuid>u1</uuid><metadata>{inner}</metadata><devices>{devices}</devices></domain>")


@pytest.mark.parametrize(("inner", "expected"), [
    ("<interface type='network'><mac address='52:54:00:AA:00:01'/><source network='default' bridge='virbr0'/><target dev='vnet0'/></interface>",
     Link("52:54:00:aa:00:01", "vnet0", "virbr0", False)),
    # as libvirt's status file has it
    ("<interface type='network'><mac address='m'/><source network='default'/><actual type='network'><source bridge='virbr1'/></actual>"
     "<target dev='v'/></interface>",
     Link("m", "v", "virbr1", False)),
    ("<interface type='bridge'><mac address='m'/><source bridge='ovs0'/><virtualport type='openvswitch'/><target dev='v'/></interface>",
     Link("m", "v", "ovs0", True)),
    ("<interface type='user'><mac address='m'/></interface>", None), ("<interface type='bridge'><source bridge='b'/><target dev='v'/></interface>", None),
])
def test_links(inner, expected):
    assert links(domain(devices=inner)) == ([] if expected is None else [expected])


POLICY = f"<p:policy xmlns:p='{NAMESPACE}' availability_set='own' resource='own_0' tags='a:b'/>"


@pytest.mark.parametrize(("inner", "settings", "expected"), [
    ("", Settings(), ("web1", None, "")),
    (POLICY, Settings(), ("own_0", "own", "a:b")),
    (POLICY, Settings(guests={"web1": GuestSettings("given_0", "given", "c:d")}), ("given_0", "given", "c:d")),
    (POLICY, Settings(guests={"web1": GuestSettings(resource="given_0")}), ("given_0", "own", "a:b")),
    (POLICY, Settings(guests={"web1": GuestSettings(availability_set="")}), ("own_0", None, "a:b")),  # out of its set again
    (POLICY, Settings(guests={"web2": GuestSettings("x", "y", "z")}), ("own_0", "own", "a:b")),
    ("<policy resource='x'/>", Settings(), ("web1", None, "")),
])
def test_the_operators_word_comes_before_the_guests_own(inner, settings, expected):
    found = guest(domain(inner), settings, 7, [PORT])
    assert (found.resource, found.availability_set, found.tags) == expected
    assert (found.uuid, found.name, found.since, found.interfaces, found.os_type) == ("u1", "web1", 7, (PORT,), "Linux")


def test_a_guest_with_windows():
    info = "<l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'><l:os id='http://microsoft.com/win/11'/></l:libosinfo>"
    assert guest(domain(info), Settings(), 7, []).os_type == "Windows"
