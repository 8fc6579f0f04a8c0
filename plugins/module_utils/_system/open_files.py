# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a process has open, and what is at a path now. It holds no decisions."""
from __future__ import annotations

import os
import stat
import typing as t

_DELETED = " (deleted)"


class Found(t.NamedTuple):
    """A file.

    :ivar path: Where it is, without symbolic links; for one that is open, where it was when it was last there.
    :ivar key: What tells it from all others: the device and the inode, or the numbers of a device, which can have several nodes.
    :ivar size: Bytes; of a device 0.
    :ivar named: It is still at `path`.
    """

    path: str
    key: tuple[int, int]
    size: int
    named: bool = True


def _found(seen: os.stat_result, path: str, named: bool) -> Found:
    if stat.S_ISBLK(seen.st_mode) or stat.S_ISCHR(seen.st_mode):
        return Found(path, (-1 if stat.S_ISBLK(seen.st_mode) else -2, seen.st_rdev), 0, named)
    return Found(path, (seen.st_dev, seen.st_ino), seen.st_size, named)


def open_files(pid: int) -> list[Found]:
    """The files and devices that a process has open.

    Source: proc(5), /proc/PID/fd: the name of a file that is gone ends with ` (deleted)`.

    :raises OSError: It may not be looked at, or has ended.
    """
    folder = f"/proc/{pid:d}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            path = os.readlink(os.path.join(folder, name))
            if not path.startswith("/"):  # a socket, a pipe, an event
                continue
            seen = os.stat(os.path.join(folder, name))
        except FileNotFoundError:  # closed since
            continue
        gone = path.endswith(_DELETED)
        found.append(_found(seen, path[:-len(_DELETED)] if gone else path, not gone))
    return found


def at_path(path: str) -> Found | None:
    """What is at a path, `None` when nothing is.

    :raises OSError: It cannot be told, for example because a file server does not let root look.
    """
    try:
        return _found(os.stat(path), os.path.realpath(path), True)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a path with a NUL
        return None


def users_of(path: str) -> list[int]:
    """The processes that have a file mapped, by its name. Those that may not be looked at are left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/maps", encoding="utf-8", errors="surrogateescape") as stream:
                    if any(line.rstrip("\n").endswith(f" {path}") for line in stream):
                        found.append(int(entry))
            except OSError:  # it has ended
                continue
    return sorted(found)
