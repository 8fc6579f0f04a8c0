# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/in_place/definition: what a definition has to say so that memory can stay in place, and the change that makes it say so."""
from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place.definition import (
    for_in_place,
    memory_lines,
    memory_size,
    next_start_obstacle,
    room_problem,
)

SHARED_FILE = "<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>"
MIB = 1024 * 1024


def guest(inner="", memory=131072):
    return (
        f"<domain type='kvm'><name>g</name><memory unit='KiB'>{memory}</memory><currentMemory unit='KiB'>{memory}</currentMemory>{inner}"
        "<devices><graphics type='vnc' passwd='secret'/></devices></domain>"
    )


def cells(*attributes):
    return "<cpu><numa>" + "".join(f"<cell id='{number}' memory='1' unit='KiB' {one}/>" for number, one in enumerate(attributes)) + "</numa></cpu>"


def device(attributes):
    return f"<devices><memory {attributes}><target><size unit='KiB'>1</size></target></memory></devices>"


@pytest.mark.parametrize(("inner", "word"), [
    # As libvirt 9.0 and 11.3 turn them into QEMU's memory backends (virsh domxml-to-native).
    (SHARED_FILE, None),
    ("<memoryBacking><access mode='shared'/></memoryBacking>", None),
    ("<memoryBacking><source type='anonymous'/><access mode='shared'/></memoryBacking>", None),
    ("<memoryBacking><nosharepages/><source type='file'/><access mode='shared'/><allocation mode='immediate'/></memoryBacking>", None),
    (cells("memAccess='shared'", "memAccess='shared'"), None),
    (SHARED_FILE + cells("", ""), None),
    (SHARED_FILE + device("model='dimm'"), None),
    (cells("memAccess='shared'") + device("model='dimm' access='shared'"), None),
    ("", "it needs memoryBacking"),
    ("<memoryBacking/>", "it needs memoryBacking"),
    ("<memoryBacking><source type='file'/></memoryBacking>", "it needs memoryBacking"),
    (cells("", ""), "NUMA cell 0 is private"),
    (SHARED_FILE + cells("memAccess='shared'", "memAccess='private'"), "NUMA cell 1 is private"),
    (SHARED_FILE + device("model='dimm' access='private'"), "memory device 0 is private"),
    (cells("memAccess='shared'") + device("model='dimm'"), "memory device 0 is private"),
    ("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", "memfd"),
    ("<memoryBacking><source type='file'/><access mode='shared'/><discard/></memoryBacking>", "discarded"),
    (SHARED_FILE + cells("memAccess='shared' discard='yes'"), "discarded"),
    (SHARED_FILE + device("model='dimm' discard='yes'"), "discarded"),
    ("<memoryBacking><hugepages/><source type='file'/><access mode='shared'/></memoryBacking>", "huge pages"),
    (SHARED_FILE + device("model='nvdimm' access='shared'"), "nvdimm"),
    (SHARED_FILE + device("model='virtio-mem'"), "virtio-mem"),
    (SHARED_FILE + device("model='virtio-pmem' access='shared'"), "virtio-pmem"),
    (SHARED_FILE + device("model='sgx-epc'"), "sgx-epc"),
])
def test_whether_memory_can_stay_in_place_after_the_next_start(inner, word):
    found = next_start_obstacle(ET.fromstring(guest(inner)))
    assert (found is None) if word is None else (word in found)


BACKINGS = ["", "<memoryBacking/>", SHARED_FILE, "<memoryBacking><locked/><source type='memfd'/></memoryBacking>",
            "<memoryBacking><access mode='private'/><discard/></memoryBacking>", "<memoryBacking><source type='anonymous'/></memoryBacking>"]
CELLS = ["", cells("", ""), cells("memAccess='private'", "memAccess='shared' discard='yes'")]
DEVICES = ["", device("model='dimm'"), device("model='dimm' access='private' discard='yes'")]


@pytest.mark.parametrize(("backing", "numa", "dimm"), list(itertools.product(BACKINGS, CELLS, DEVICES)))
def test_the_change_is_enough_and_is_made_once(backing, numa, dimm):
    before = guest(backing + numa + dimm)
    after = for_in_place(before)
    assert next_start_obstacle(ET.fromstring(after)) is None
    assert for_in_place(after) == after
    assert memory_size(ET.fromstring(after)) == memory_size(ET.fromstring(before))
    if backing:
        assert ("<locked/>" in after) == ("<locked/>" in before)


def test_what_is_right_is_not_touched():
    text = guest(SHARED_FILE)
    assert for_in_place(text) is text


def test_everything_else_stays_as_it_was():
    """Found on the lab: ElementTree gave the metadata of others other prefixes."""
    metadata = '<metadata><a:os xmlns:a="urn:a"><a:id v="&lt;1&quot;"/></a:os><own xmlns="urn:own"><x/></own></metadata>'
    after = for_in_place(f'<domain xmlns:qemu="urn:q" type="kvm"><name>g</name><memory unit="KiB">1</memory>{metadata}<qemu:commandline/></domain>')
    assert after.replace('<memoryBacking><source type="file"/><access mode="shared"/></memoryBacking>', "") == (
        f'<domain xmlns:qemu="urn:q" type="kvm"><name>g</name><memory unit="KiB">1</memory>{metadata}<qemu:commandline/></domain>'
    )


@pytest.mark.parametrize("inner", [
    "<memoryBacking><hugepages/></memoryBacking>", device("model='nvdimm'"), device("model='virtio-mem'"), device("model='virtio-pmem'"),
])
def test_what_only_the_owner_can_give_up_is_refused(inner):
    with pytest.raises(MaintenanceError) as caught:
        for_in_place(guest(inner))
    assert caught.value.code == "memory"


def test_the_diff_shows_memory_and_no_secret():
    shown = memory_lines(ET.fromstring(guest(SHARED_FILE + cells("memAccess='shared'") + device("model='dimm'"))))
    assert "memoryBacking" in shown and "cell" in shown and "dimm" in shown and "secret" not in shown
    assert memory_lines(ET.fromstring(guest())) == "<memoryBacking/>\n"


@pytest.mark.parametrize(("inner", "in_ram", "size", "word"), [
    ([SHARED_FILE, SHARED_FILE], True, 256 * MIB, None),
    ([SHARED_FILE, SHARED_FILE], True, 255 * MIB, "256 MiB"),
    ([SHARED_FILE, ""], True, 128 * MIB, None),
    ([], True, 0, None),
    ([], False, 1 << 40, "not in RAM"),
])
def test_whether_there_is_room_for_the_memory_files(inner, in_ram, size, word):
    found = room_problem([ET.fromstring(guest(one)) for one in inner], "/ram", "tmpfs" if in_ram else "ext4", in_ram, size)
    assert (found is None) if word is None else (word in found)
