# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/kexec/reservation: which RAM is set aside, and what is refused."""
from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.kexec.reservation import (
    ALIGNMENT,
    LEAST_LEFT,
    LOWEST,
    Range,
    available,
    choose,
    in_bytes,
    in_words,
    nodes,
    reserved,
)

MIB = 1024 * 1024
GIB = 1024 * MIB
#: A QEMU machine q35 of 4 GiB, as /sys/firmware/memmap has it.
SMALL = [Range(0, 0x9FC00), Range(0x100000, 0x7FEDF000), Range(4 * GIB, 2 * GIB)]
#: Two nodes of 64 GiB; the second one's RAM follows the first one's.
LARGE = [Range(0x100000, 2 * GIB - 0x100000), Range(4 * GIB, 126 * GIB)]
TWO_NODES = [(0, Range(0, 2 * GIB)), (0, Range(4 * GIB, 62 * GIB)), (1, Range(66 * GIB, 64 * GIB))]


def table(*entries):
    """An SRAT: node, start, size, flags of each; a processor's entry before them."""
    body = bytes([0, 16]) + bytes(14)
    for node, start, size, flags in entries:
        body += struct.pack("<BBIHQQII", 1, 40, node, 0, start, size, 0, flags) + bytes(8)
    return bytes(48) + body


@pytest.mark.parametrize(("size", "start", "ram", "by_node", "argument", "node"), [
    (GIB, None, SMALL, [], "memmap=1G!4G", None),
    (GIB, 5 * GIB, SMALL, [], "memmap=1G!5G", None),
    (1536 * MIB, None, SMALL, [], "memmap=1536M!4G", None),
    (60 * GIB, None, LARGE, TWO_NODES, "memmap=60G!4G", 0),
    # The first node has not enough above 4 GiB.
    (63 * GIB, None, LARGE, TWO_NODES, "memmap=63G!66G", 1),
    # Two pieces that touch are one.
    (2 * GIB, None, [Range(0, 2 * GIB), Range(4 * GIB, GIB), Range(5 * GIB, GIB)], [], "memmap=2G!4G", None),
    # Not aligned at its beginning.
    (GIB, None, [Range(0, 2 * GIB), Range(4 * GIB + MIB, 2 * GIB)], [], "memmap=1G!4224M", None),
])
def test_the_range(size, start, ram, by_node, argument, node):
    found = choose(size, start, ram, by_node)
    assert (found.argument, found.node) == (argument, node)
    assert found.left == sum(one.size for one in ram) - size


@pytest.mark.parametrize(("size", "start", "ram", "by_node", "says"), [
    (0, None, SMALL, [], "multiples of 128M"),
    (GIB + MIB, None, SMALL, [], "multiples of 128M"),
    (GIB, 4 * GIB + MIB, SMALL, [], "multiples of 128M"),
    # Too much, below 4 GiB, over the end.
    (5 * GIB + 128 * MIB, None, [Range(0, 2 * GIB), Range(4 * GIB, 4 * GIB)], [], "at least 1G has to be left"),
    (GIB, GIB, SMALL, [], "in one piece of RAM above 4 GiB"),
    (GIB, 5 * GIB + 128 * MIB, SMALL, [], "This host has: 2G at 4G"),
    (128 * MIB, None, [Range(0, 3 * GIB)], [], "none: it has no RAM above 4 GiB"),
    # In two nodes.
    (70 * GIB, None, LARGE, TWO_NODES, "62G at 4G (NUMA node 0), 64G at 66G (NUMA node 1)"),
    (8 * GIB, 62 * GIB, LARGE, TWO_NODES, "in one NUMA node"),
])
def test_what_is_refused(size, start, ram, by_node, says):
    with pytest.raises(MaintenanceError, match="othing was changed") as caught:
        choose(size, start, ram, by_node)
    assert caught.value.code == "reservation"
    assert says in str(caught.value)


ranges = st.lists(st.builds(Range, st.integers(0, 200 * GIB), st.integers(1, 64 * GIB)), min_size=1, max_size=5)


@given(ranges, st.lists(st.tuples(st.integers(0, 3), st.builds(Range, st.integers(0, 200 * GIB), st.integers(1, 64 * GIB))), max_size=5), st.integers(1, 100))
def test_it_is_always_ram_aligned_and_leaves_enough(ram, by_node, sections):
    try:
        found = choose(sections * ALIGNMENT, None, ram, by_node)
    except MaintenanceError:
        return
    where = found.where
    assert where.start >= LOWEST and where.start % ALIGNMENT == 0 and where.size == sections * ALIGNMENT
    assert found.left >= LEAST_LEFT
    # Each of its sections' ends is in RAM.
    for place in (*range(where.start, where.end, ALIGNMENT), where.end - 1):
        assert any(one.start <= place < one.end for one in ram)
    assert in_bytes(in_words(where.start), "x") == where.start


def test_what_is_there_is_sorted():
    assert available(LARGE, TWO_NODES) == [(0, Range(4 * GIB, 62 * GIB)), (1, Range(66 * GIB, 64 * GIB))]


def test_the_nodes_of_the_firmware():
    found = nodes(table((0, 0, 2 * GIB, 1), (0, 4 * GIB, 62 * GIB, 1), (1, 66 * GIB, 64 * GIB, 1), (1, 1 << 40, 1 << 40, 0), (2, 0, 0, 1)))
    assert found == [(0, Range(0, 2 * GIB)), (0, Range(4 * GIB, 62 * GIB)), (1, Range(66 * GIB, 64 * GIB))]


@pytest.mark.parametrize("srat", [b"", bytes(48), bytes(48) + b"\x01", bytes(48) + b"\x01\x00" * 20, table((0, 0, GIB, 1))[:-20]])
def test_a_table_that_ends_early_or_makes_no_sense(srat):
    assert nodes(srat) == []


@pytest.mark.parametrize(("text", "amount"), [("200G", 200 * GIB), (" 512m ", 512 * MIB), ("1T", 1024 * GIB), ("4096", 4096), ("0", 0)])
def test_amounts(text, amount):
    assert in_bytes(text, "size") == amount


@pytest.mark.parametrize("text", ["", "G", "1.5G", "-1G", "50%", "0x100000000", "1GiB"])
def test_what_is_no_amount(text):
    with pytest.raises(MaintenanceError, match="size is .*has to be a number"):
        in_bytes(text, "size")


def test_the_parameters_that_set_memory_aside():
    assert reserved(["ro", "memmap=1G!4G", "memmap=64K$0x1000", "quiet", "memmap=1G!8G,2G!16G", "mem=4G"]) == ["memmap=1G!4G", "memmap=1G!8G,2G!16G"]
