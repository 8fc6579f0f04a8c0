# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a process and a boot are: the identities that /proc gives."""
from __future__ import annotations

import os
import typing as t


class ProcessIdentity(t.NamedTuple):
    """A process that cannot be mistaken for a later one with the same id.

    :ivar pid: The process id.
    :ivar start_time: Clock ticks since boot at which it started (field 22 of `/proc/PID/stat`, proc(5)).
    """

    pid: int
    start_time: int


def boot_id() -> str:
    """The id of this boot of the host."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def process_identity(pid: int) -> ProcessIdentity | None:
    """The identity of a running process, or `None` when there is none with that id.

    A zombie counts as gone: it executes nothing any more.
    """
    try:
        with open(f"/proc/{pid:d}/stat", "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in parentheses and may itself contain spaces and parentheses: cut at the last one.
    fields = text[text.rindex(b")") + 2:].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return ProcessIdentity(pid, int(fields[19]))


def is_stopped(pid: int) -> bool:
    """Whether a process cannot go on by itself: stopped, traced, or waiting for a device (states T, t and D of proc(5)), or gone."""
    try:
        with open(f"/proc/{pid:d}/stat", "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text[text.rindex(b")") + 2:].split()[0] not in (b"R", b"S", b"I")


def own_identity() -> ProcessIdentity:
    """The identity of this process."""
    return t.cast(ProcessIdentity, process_identity(os.getpid()))


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return process_identity(identity.pid) == identity
