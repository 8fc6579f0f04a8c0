# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build id of a program or library: the one thing of an ELF file that says whether two files hold the same code."""
from __future__ import annotations

import struct
import typing as t

#: Program header type and note type (elf(5); the linker's --build-id).
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
#: By ELF class (1: 32 bits, 2: 64 bits): what of the rest of the file header is of use (e_phoff, e_phentsize, e_phnum), and of a
#: program header (p_type, p_offset, p_filesz, p_align).
_HEADER = {1: "12xI10xHH", 2: "16xQ14xHH"}
_ENTRY = {1: "II8xI8xI", 2: "I4xQ16xQ8xQ"}
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


def build_id(stream: t.BinaryIO) -> str | None:
    """The build id of an ELF file in hex, or `None`: no ELF file, a damaged one, or one that was linked without.

    :param stream: The file, seekable.
    :raises OSError: It cannot be read.
    """
    ident = stream.read(16)
    if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    order = "<" if ident[5] == 1 else ">"
    header, entry = order + _HEADER[ident[4]], order + _ENTRY[ident[4]]
    try:
        where, entry_size, count = struct.unpack(header, stream.read(struct.calcsize(header)))
        for number in range(min(count, _MOST_HEADERS)):
            stream.seek(where + number * entry_size)
            kind, offset, size, align = struct.unpack(entry, stream.read(struct.calcsize(entry)))
            if kind != _PT_NOTE:
                continue
            stream.seek(offset)
            for name, note, content in _notes(stream.read(min(size, _MOST)), order, 8 if align == 8 else 4):
                if name == b"GNU\0" and note == _NT_GNU_BUILD_ID and content:
                    return content.hex()
    except (struct.error, OverflowError, ValueError):  # cut off, or offsets beyond all reason
        return None
    return None
