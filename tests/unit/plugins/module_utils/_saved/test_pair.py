# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/pair: what is tried on libvirt and the installed QEMU, and what follows."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import Throwaway
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.pair import Pair, Trial, image_formats, judged, pair_of, throwaway_xml

PC = Pair("kvm", "x86_64", "pc-q35-10.0", "/usr/bin/qemu-system-x86_64")
FD = "fd: migration to a file is not supported"


@pytest.mark.parametrize(("sparse", "fast", "expected"), [
    (False, True, ["ordinary"]), (False, False, ["ordinary"]), (True, True, ["sparse", "ordinary"]), (True, False, ["ordinary", "sparse"]),
])
def test_the_formats_of_an_image(sparse, fast, expected):
    assert image_formats(sparse, fast) == expected


def test_the_pair_of_a_guest():
    xml = ET.fromstring("<domain type='qemu'><os><type arch='s390x' machine='s390-ccw-virtio-9.2'>hvm</type></os></domain>")
    assert pair_of(xml, "/usr/bin/q") == Pair("qemu", "s390x", "s390-ccw-virtio-9.2", "/usr/bin/q")


@pytest.mark.parametrize("in_place", [False, True])
def test_a_throwaway_guest_has_nothing_of_the_hosts(in_place):
    root = ET.fromstring(throwaway_xml(Throwaway("n", "u"), PC, in_place))
    assert (root.get("type"), root.findtext("name"), root.findtext("uuid")) == ("kvm", "n", "u")
    kind = root.find("os/type")
    assert (kind.get("arch"), kind.get("machine"), kind.text) == ("x86_64", "pc-q35-10.0", "hvm")
    assert (root.findtext("memory"), root.find("memory").get("unit")) == ("16", "MiB")
    assert [(device.tag, device.get("model")) for device in root.find("devices")] == [("emulator", None), ("controller", "none"), ("memballoon", "none")]
    assert root.findtext("devices/emulator") == PC.emulator
    assert [(one.tag, one.attrib) for one in root.findall("memoryBacking/*")] == (
        [("source", {"type": "file"}), ("access", {"mode": "shared"})] if in_place else []
    )


ORDINARY, SPARSE = (Trial(PC, False, one) for one in ("ordinary", "sparse"))


@pytest.mark.parametrize(("failures", "formats"), [
    ({}, ["ordinary", "sparse"]), ({ORDINARY: FD}, ["sparse"]), ({SPARSE: "no room"}, ["ordinary"]),
    # Of another machine, or of memory in place, says nothing of this one.
    ({ORDINARY._replace(in_place=True): FD, SPARSE._replace(pair=PC._replace(machine="pc")): FD}, ["ordinary", "sparse"]),
])
def test_a_format_that_is_left_is_taken(failures, formats):
    assert judged([ORDINARY, SPARSE], failures) == (formats, None)


def test_without_one_it_is_refused_with_libvirts_words():
    formats, blocker = judged([ORDINARY, SPARSE], {ORDINARY: FD, SPARSE: "no room"})
    assert formats == [] and blocker.code == "pair"
    assert all(word in blocker.message for word in (f"ordinary image: {FD}", "sparse image: no room", PC.machine, PC.emulator)), blocker.message
    assert "in place" not in blocker.message
    assert "in place" in judged([ORDINARY._replace(in_place=True)], {ORDINARY._replace(in_place=True): FD})[1].message
