# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the boot loader tells each kernel that it can start. Pure."""
from __future__ import annotations

import re
import shlex
import typing as t


class Entry(t.NamedTuple):
    """One choice of the boot loader.

    :ivar kernel: The file name of its kernel, without a folder: `/boot` may be a file system of its own or not.
    :ivar words: Its command line.
    """

    kernel: str
    words: tuple[str, ...]


def of_grub(text: str, kernels: t.Collection[str]) -> list[Entry]:
    """The choices of GRUB.

    :param text: `grub.cfg`, as grub-mkconfig writes it.
    :param kernels: The file names of this host's kernels. Others, of a memory test for example, do not count.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and re.fullmatch(r"linux(16|efi)?", words[0]):
            kernel = words[1].rpartition("/")[2]
            if kernel in kernels:
                found.append(Entry(kernel, tuple(words[2:])))
    return found


def of_grubby(text: str) -> list[Entry]:
    """The choices of any boot loader that grubby knows.

    :param text: What `grubby --info=ALL` prints: for each choice lines of the form `name="value"`, `kernel` before `args`.
    """
    found: list[Entry] = []
    kernel = ""
    for line in text.splitlines():
        name, _equals, value = line.partition("=")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if name == "kernel":
            kernel = value.rpartition("/")[2]
        elif name == "args" and kernel:
            found.append(Entry(kernel, tuple(_split(value))))
            kernel = ""
    return found


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quotation mark without another
        return value.split()


def without(entries: t.Iterable[Entry], argument: str) -> list[str]:
    """The kernels of those entries that lack a word in their command line, each once."""
    return list(dict.fromkeys(entry.kernel for entry in entries if argument not in entry.words))
