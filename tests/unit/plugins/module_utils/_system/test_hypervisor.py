# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/hypervisor: what can be said without libvirt."""
from __future__ import annotations

import subprocess
import sys
import threading
import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LibvirtUnreachable
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import new_throwaway
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

POLICY = '<policy xmlns="urn:vm_preserving:maintenance:policy" pause="never"/>'


@pytest.mark.parametrize(("metadata", "expected"), [
    ("", False),
    (POLICY, True),
    ('<vmp:policy xmlns:vmp="urn:vm_preserving:maintenance:policy" pause="never">text</vmp:policy>', True),
    ('<other xmlns="urn:x"/>' + POLICY, True),
    (POLICY.replace("never", "always"), False),
    (POLICY.replace("never", "NEVER"), False),
    (POLICY.replace(' pause="never"', ""), False),
    ('<policy pause="never"/>', False),
    ('<policy xmlns="urn:vm_preserving:maintenance:window" pause="never"/>', False),
    (f'<other xmlns="urn:x">{POLICY}</other>', False),
])
def test_opted_out(metadata, expected):
    assert hypervisor.opted_out(ET.fromstring(f"<domain><name>g</name><metadata>{metadata}</metadata></domain>")) is expected


_KEPT = """
import gc, types
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

class Raw:
    _o = object()

hypervisor.libvirt = types.SimpleNamespace(libvirtmod=types.SimpleNamespace(virConnectClose=lambda handle: None))
gc.disable()
kept = hypervisor._quiet(Raw())
kept.itself = kept
"""


def test_a_connection_that_an_error_has_kept_does_not_keep_the_program():
    """Found on the lab: guest_save had failed, and never answered."""
    done = subprocess.run([sys.executable, "-c", _KEPT], timeout=60, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_guest_without_metadata_has_not_opted_out():
    assert hypervisor.opted_out(ET.fromstring(f"<domain><devices>{POLICY}</devices></domain>")) is False


@pytest.mark.usefixtures("no_libvirt")
def test_without_the_bindings_libvirt_is_unreachable_and_the_operator_knows_why():
    for connect in (lambda: hypervisor.Connection("qemu:///system"), lambda: hypervisor.Lanes("qemu:///system", [])):
        with pytest.raises(LibvirtUnreachable) as caught:
            connect()
        assert "python3-libvirt" in str(caught.value)


@pytest.mark.parametrize(("guests", "at_once", "connections"), [(0, 12, 1), (1, 12, 1), (5, 12, 2), (500, 12, 3), (500, 16, 4)])
def test_as_many_calls_at_once_as_are_allowed(libvirt, guests, at_once, connections):
    library = libvirt(*({"name": f"g{number}", "uuid": f"u{number}", "state": 1} for number in range(guests)))
    lanes = hypervisor.Lanes("qemu:///session", list(library.guests), at_once=at_once)
    assert library.opened == connections
    together = threading.Barrier(min(guests, at_once) or 1)
    # None comes back before so many are in flight.
    calls = lanes.each(list(library.guests)[:at_once], lambda guest: together.wait(30), 30)
    assert [call.state for call in calls.values()] == ["done"] * min(guests, at_once)


def test_an_error_is_told_on_one_line():
    assert hypervisor.describe(RuntimeError("two\nlines  and\tmore")) == "two lines and more"


class LibvirtError(Exception):
    """As libvirt's own."""

    def get_error_code(self):
        return self.args[1]


CPU = "<cpu mode='custom'><model>Westmere</model></cpu>"


@pytest.mark.parametrize(("inner", "error", "lacks"), [
    (CPU, None, None),
    (CPU, LibvirtError("required features:\npcommit", 91), "('required features:\\npcommit', 91)"),
    # Another architecture, a driver that cannot compare, a libvirt before 4.4.
    (CPU, LibvirtError("not supported", 3), None),
    ("<cpu mode='host-passthrough'/>", LibvirtError("it has no model", 91), None),
    ("", LibvirtError("it has none", 91), None),
])
def test_what_a_cpu_lacks(monkeypatch, inner, error, lacks):
    asked = []

    def compare(*words):
        asked.append(words)
        if error is not None:
            raise error

    monkeypatch.setattr(hypervisor, "libvirt", types.SimpleNamespace(
        libvirtError=LibvirtError, VIR_ERR_CPU_INCOMPATIBLE=91, VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE=2,
    ))
    connection = object.__new__(hypervisor.Connection)
    connection._raw = types.SimpleNamespace(compareHypervisorCPU=compare)
    xml = ET.fromstring(f"<domain type='kvm'><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>{inner}</domain>")
    assert connection.cpu_lacks("/usr/bin/q", xml) == lacks
    assert [words[:4] for words in asked] == ([("/usr/bin/q", "x86_64", "pc-q35-7.2", "kvm")] if "model" in inner else [])


class Domain:
    """A guest of libvirt's that keeps what is asked of it."""

    def __init__(self, name="g1", uuid="11111111-1111-4111-8111-111111111111", number=1):
        self.words, self.did = (name, uuid, number), []

    def name(self):
        return self.words[0]

    def UUIDString(self):
        return self.words[1]

    def ID(self):
        return self.words[2]

    def __getattr__(self, call):
        return lambda *words: self.did.append((call, *words))


def test_guests_that_are_thrown_away_do_not_count(monkeypatch):
    who = new_throwaway()
    monkeypatch.setattr(hypervisor, "libvirt", types.SimpleNamespace(VIR_CONNECT_LIST_DOMAINS_ACTIVE=1))
    connection = hypervisor.Connection.__new__(hypervisor.Connection)
    connection.uri = "qemu:///system"
    connection._raw = types.SimpleNamespace(listAllDomains=lambda _which: [Domain("g2"), Domain(*who), Domain("g1"), Domain("g3", number=-1)])
    assert [guest.name for guest in connection.running()] == ["g1", "g2"]
    assert [guest.name for guest in connection.throwaways()] == [who.name]


@pytest.mark.parametrize(("image_format", "expected"), [
    ("ordinary", [("managedSave", 0)]),
    # Without a file libvirt 11.3 forgets the format, and to let go of the guest.
    ("sparse", [("saveParams", {"file": "/var/lib/libvirt/qemu/save/g1.save", "image_format": "sparse"}, 0), ("managedSaveGetXMLDesc", 0)]),
])
def test_a_managed_save(monkeypatch, image_format, expected):
    monkeypatch.setattr(hypervisor, "libvirt", types.SimpleNamespace(VIR_DOMAIN_SAVE_PARAM_FILE="file"))
    domain = Domain()
    hypervisor.Guest(domain).managed_save(image_format)
    assert domain.did == expected


def test_a_managed_save_that_libvirt_has_not_seen_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(hypervisor, "MANAGED_SAVES", str(tmp_path))
    guest = hypervisor.Guest(Domain())
    assert not guest.has_managed_save()
    (tmp_path / "g1.save").touch()
    assert guest.has_managed_save()
