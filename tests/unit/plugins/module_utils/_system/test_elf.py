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

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.elf import build_id, soname

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


def library(order="<", bits=64, name=b"libx.so.1", base=0x1000):
    """A library: a segment that is loaded at an address, and in it the strings and the dynamic section."""
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + b"\0" * 9
    strings = b"\0abc\0" + name + b"\0"
    at = 176 if bits == 64 else 116
    form, load, segment = ("QQ", "IIQQQQQQ", 56) if bits == 64 else ("II", "IIIIIIII", 32)
    dynamic = b"".join(struct.pack(order + form, tag, value) for tag, value in ((14, 5), (5, base + at), (0, 0)))
    size = len(strings) + len(dynamic)

    def program(kind, offset, length):
        if bits == 64:
            return struct.pack(order + load, kind, 4, offset, base + offset, 0, length, length, 8)
        return struct.pack(order + load, kind, offset, base + offset, 0, length, length, 4, 8)
    if bits == 64:
        header = struct.pack(order + "HHIQQQIHHH", 3, 62, 1, 0, 64, 0, 0, 64, segment, 2) + b"\0" * 6
    else:
        header = struct.pack(order + "HHIIIIIHHH", 3, 3, 1, 0, 52, 0, 0, 52, segment, 2) + b"\0" * 6
    return ident + header + program(1, at, size) + program(2, at + len(strings), len(dynamic)) + strings + dynamic


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_the_name_of_a_library_in_both_sizes_and_both_orders(order, bits):
    assert soname(io.BytesIO(library(order, bits))) == "libx.so.1"


@pytest.mark.parametrize("name", [b"", b"../x", b".hidden", b"a" * 300, b"\xff.so"])
def test_a_name_that_is_no_file_name_is_none(name):
    assert soname(io.BytesIO(library(name=name))) is None


@pytest.mark.parametrize("data", [b"", b"\x7fELF", elf(), library()[:100], library()[:170]])
def test_what_has_no_name(data):
    assert soname(io.BytesIO(data)) is None


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf here")
def test_readelf_says_the_same_name():
    libraries = re.findall(r"=> (/\S+)", subprocess.run(["ldd", "/bin/bash"], capture_output=True, text=True, check=True).stdout)
    for path in libraries:
        said = subprocess.run(["readelf", "--dynamic", "--wide", path], capture_output=True, text=True, check=True).stdout
        with open(path, "rb") as stream:
            assert soname(stream) == re.search(r"SONAME.*\[(.+)\]", said).group(1)
    assert libraries
