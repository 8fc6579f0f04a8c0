# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole files: comparing one, and replacing one so that a reader sees the old or the new content and nothing between."""
from __future__ import annotations

import contextlib
import os


def holds(path: str, data: bytes) -> bool:
    """Whether a file has just this content."""
    try:
        with open(path, "rb") as stream:
            return stream.read() == data
    except FileNotFoundError:
        return False


def put(path: str, data: bytes, mode: int = 0o600, gid: int = -1) -> None:
    """Replace a file. What it holds is on disk when this returns; that it has its name is after `sync_folder`, which does for many at once.

    :param mode: Its rights, whatever the umask.
    :param gid: Its group; -1: the process's.
    :raises OSError: It cannot be written; the old one is still there.
    """
    # One name for a process: a write that was given up, and goes on beside a later one, finds its file gone and does not come after that.
    temporary = f"{path}.{os.getpid():d}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
            os.fchown(handle, -1, gid)
            os.fchmod(handle, mode)
            stream.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(path: str) -> None:
    """Have the names in a folder on disk when this returns.

    :raises OSError: That cannot be done.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace(path: str, data: bytes, mode: int = 0o600, gid: int = -1) -> None:
    """Replace a file, on disk with its name when this returns; else as `put`."""
    put(path, data, mode, gid)
    sync_folder(os.path.dirname(path) or ".")
