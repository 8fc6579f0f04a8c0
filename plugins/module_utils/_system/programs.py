# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs run on the host, containers on it included, by what /proc says."""
from __future__ import annotations

import os
import typing as t


def _read(pid: str, file: str) -> bytes:
    """A file of a process; nothing when the process has ended or is a zombie."""
    try:
        with open(f"/proc/{pid}/{file}", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _names(pid: str) -> set[str]:
    """What a process is called: the kernel's name for it (cut after 15 bytes, proc(5)), those of its file and of the script that its interpreter runs."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        path = ""
    words = _read(pid, "cmdline").decode("utf-8", "replace").split("\0")
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    program = path[:-len(" (deleted)")] if path.endswith(" (deleted)") else path
    names = {os.path.basename(program), os.path.basename(words[0]), _read(pid, "comm").decode("utf-8", "replace").rstrip("\n")}
    if any(name.startswith("python") for name in names):
        names.add(os.path.basename(script))
    return names


def running(programs: t.Iterable[str]) -> frozenset[str]:
    """Which of some programs run on this host. Programs in containers count, those written in Python too.

    :param programs: Their names, without a path.
    """
    wanted = frozenset(programs)
    found: set[str] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _read(entry, "cmdline"):  # neither one of the kernel's own nor a zombie
            found |= _names(entry) & wanted
    return frozenset(found)
