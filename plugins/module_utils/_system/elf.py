# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two things of an ELF file: the build id, which says whether two files hold the same code, and the name by which programs ask for a library."""
from __future__ import annotations

import struct
import typing as t

#: Program header types, note type and tags of the dynamic section (elf(5); the linker's --build-id).
_PT_LOAD, _PT_DYNAMIC, _PT_NOTE = 1, 2, 4
_NT_GNU_BUILD_ID = 3
_DT_STRTAB, _DT_SONAME = 5, 14
#: By ELF class (1: 32 bits, 2: 64 bits): what of the rest of the file header is of use (e_phoff, e_phentsize, e_phnum), of a
#: program header (p_type, p_offset, p_vaddr, p_filesz, p_align), and an entry of the dynamic section.
_HEADER = {1: "12xI10xHH", 2: "16xQ14xHH"}
_ENTRY = {1: "III4xI8xI", 2: "I4xQQ8xQ8xQ"}
_DYNAMIC = {1: "II", 2: "QQ"}
#: Bytes of notes, and program headers, that a real file stays far below.
_MOST = 1 << 20
_MOST_HEADERS = 4096


def _notes(data: bytes, order: str, align: int) -> t.Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        at += 12
        name = data[at:at + name_size]
        at += -(-name_size // align) * align
        yield name, kind, data[at:at + size]
        at += -(-size // align) * align


class _Segment(t.NamedTuple):
    kind: int
    offset: int
    address: int
    size: int
    align: int


def _segments(stream: t.BinaryIO) -> tuple[str, int, list[_Segment]] | None:
    """Byte order, class and program headers of an ELF file; `None` for another file."""
    ident = stream.read(16)
    if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    order = "<" if ident[5] == 1 else ">"
    header, entry = order + _HEADER[ident[4]], order + _ENTRY[ident[4]]
    where, entry_size, count = struct.unpack(header, stream.read(struct.calcsize(header)))
    found = []
    for number in range(min(count, _MOST_HEADERS)):
        stream.seek(where + number * entry_size)
        found.append(_Segment(*struct.unpack(entry, stream.read(struct.calcsize(entry)))))
    return order, ident[4], found


def build_id(stream: t.BinaryIO) -> str | None:
    """The build id of an ELF file in hex, or `None`: no ELF file, a damaged one, or one that was linked without.

    :param stream: The file, seekable.
    :raises OSError: It cannot be read.
    """
    try:
        order, _size, segments = _segments(stream) or ("", 0, [])
        for segment in segments:
            if segment.kind != _PT_NOTE:
                continue
            stream.seek(segment.offset)
            for name, note, content in _notes(stream.read(min(segment.size, _MOST)), order, 8 if segment.align == 8 else 4):
                if name == b"GNU\0" and note == _NT_GNU_BUILD_ID and content:
                    return content.hex()
    except (struct.error, OverflowError, ValueError):  # cut off, or offsets beyond all reason
        return None
    return None


def soname(stream: t.BinaryIO) -> str | None:
    """The name by which programs ask for a library, or `None`: it has none, or is no ELF file, or a damaged one.

    :param stream: The file, seekable.
    :raises OSError: It cannot be read.
    """
    try:
        order, size, segments = _segments(stream) or ("", 0, [])
        found: dict[int, int] = {}
        for segment in segments:
            if segment.kind == _PT_DYNAMIC:
                stream.seek(segment.offset)
                data = stream.read(min(segment.size, _MOST))
                entry = order + _DYNAMIC[size]
                found.update(struct.iter_unpack(entry, data[:len(data) - len(data) % struct.calcsize(entry)]))
        if not {_DT_STRTAB, _DT_SONAME} <= set(found):
            return None
        at = found[_DT_STRTAB] + found[_DT_SONAME]
        for segment in segments:
            if segment.kind == _PT_LOAD and segment.address <= at < segment.address + segment.size:
                stream.seek(segment.offset + at - segment.address)
                name, end, _rest = stream.read(256).partition(b"\0")
                text = name.decode("ascii")
                return text if end and text and "/" not in text and not text.startswith(".") else None
    except (struct.error, OverflowError, ValueError):
        return None
    return None
