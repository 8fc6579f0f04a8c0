# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/elf: the build id, of this machine's own programs and of files made for the test."""
from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.elf import build_id

ID = bytes(range(20))


def note(order, name, kind, content, align=4):
    def padded(data):
        return data + b"\0" * (-len(data) % align)
    return struct.pack(order + "III", len(name), len(content), kind) + padded(name) + padded(content)


def elf(order="<", bits=64, notes=None, align=4, kind=4):
    """A file with one program header that points at notes."""
    content = note(order, b"GNU\0", 3, ID, align) if notes is None else notes
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + b"\0" * 9
    if bits == 64:
        header = struct.pack(order + "HHIQQQIHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1) + b"\0" * 6
        entry = struct.pack(order + "IIQQQQQQ", kind, 4, 120, 0, 0, len(content), len(content), align)
    else:
        header = struct.pack(order + "HHIIIIIHHH", 3, 3, 1, 0, 52, 0, 0, 52, 32, 1) + b"\0" * 6
        entry = struct.pack(order + "IIIIIIII", kind, 84, 0, 0, len(content), len(content), 4, align)
    return ident + header + entry + content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_both_sizes_and_both_orders(order, bits):
    assert build_id(io.BytesIO(elf(order, bits))) == ID.hex()


def test_it_is_found_behind_other_notes():
    notes = note("<", b"GNU\0", 1, b"\0" * 16) + note("<", b"stapsdt\0", 3, b"abc") + note("<", b"GNU\0", 3, ID)
    assert build_id(io.BytesIO(elf(notes=notes))) == ID.hex()


def test_notes_that_are_aligned_to_eight_bytes():
    notes = note("<", b"GNU\0", 5, b"x" * 9, 8) + note("<", b"GNU\0", 3, ID, 8)
    assert build_id(io.BytesIO(elf(notes=notes, align=8))) == ID.hex()


@pytest.mark.parametrize("data", [
    b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\x03\x01" + b"\0" * 100, b"\x7fELF\x02\x03" + b"\0" * 100, elf(kind=1), elf(notes=b""),
    elf(notes=note("<", b"GNU\0", 1, ID)), elf(notes=note("<", b"GNU\0", 3, b"")), elf()[:100], elf()[:70],
])
def test_what_has_none(data):
    assert build_id(io.BytesIO(data)) is None


@given(st.binary(max_size=300) | st.tuples(st.sampled_from([elf(), elf(">", 32)]), st.integers(16, 150), st.binary(max_size=40)).map(
    lambda parts: parts[0][:parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]):]))
def test_a_damaged_file_gives_an_id_or_none(data):
    found = build_id(io.BytesIO(data))
    assert found is None or re.fullmatch("([0-9a-f]{2})+", found)


def test_this_python():
    with open(sys.executable, "rb") as stream:
        found = build_id(stream)
    assert found is None or re.fullmatch("[0-9a-f]{8,}", found)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf here")
@pytest.mark.parametrize("path", ["/bin/true", "/bin/ls", "/bin/sh"])
def test_readelf_says_the_same(path):
    said = subprocess.run(["readelf", "--notes", "--wide", path], capture_output=True, text=True, check=True).stdout
    expected = re.search("Build ID: ([0-9a-f]+)", said)
    with open(path, "rb") as stream:
        assert build_id(stream) == (expected and expected.group(1))
