# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock on a file of ours, which says who holds it. The kernel gives it up when the process dies, however it dies."""
from __future__ import annotations

import contextlib
import fcntl
import os
import time

#: Seconds between two tries.
_PAUSE = 0.02


class Held(Exception):
    """Somebody else holds the lock still.

    :ivar holder: Who, for people.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(path: str, timeout: float) -> int:
    """Take the lock. It is given back when what is returned is closed; children do not get it.

    :param path: Its file, which is made when there is none.
    :param timeout: Seconds to wait for another holder.
    :raises Held: There still is one.
    :raises OSError: The file cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise Held(os.pread(handle, 200, 0).decode("ascii", "replace").strip() or "it left no name") from None
                time.sleep(_PAUSE)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, only its holder has no name
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid():d} since {since}".encode("ascii"), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle
