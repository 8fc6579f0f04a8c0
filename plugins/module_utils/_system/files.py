# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole files: comparing one, and replacing one so that a reader sees the old or the new content and nothing between."""
from __future__ import annotations

import os


def holds(path: str, data: bytes) -> bool:
    """Whether a file has just this content."""
    try:
        with open(path, "rb") as stream:
            return stream.read() == data
    except FileNotFoundError:
        return False


def replace(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace a file, on disk when this returns.

    :raises OSError: It cannot be written; the old one is still there.
    """
    temporary = f"{path}.{os.getpid():d}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
