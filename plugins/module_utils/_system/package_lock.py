# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the host's package manager, taken so that nobody applies packages meanwhile. The kernel gives it up with the process."""
from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import typing as t

from .._core.errors import MaintenanceError
from . import running_code

#: dpkg's (dpkg(1), apt takes it as well) and rpm's, by where its database is; record locks of fcntl(2).
LOCKS = ("/var/lib/dpkg/lock-frontend", "/usr/lib/sysimage/rpm/.rpm.lock", "/var/lib/rpm/.rpm.lock")
#: Seconds to wait for a package manager before guests are moved or saved.
LOCK_PATIENCE = 30.0
#: Seconds between two tries.
_PAUSE = 0.2


def _holder(file: int) -> str:
    """Who holds a lock, for people; fcntl(2) F_GETLK with a `struct flock` of Linux."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = os.fstat(file)
        wanted = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
        with open("/proc/locks", encoding="ascii") as stream:  # proc(5)
            for line in stream:
                fields = line.split()
                if "POSIX" in fields and wanted in fields:
                    pid = int(fields[fields.index(wanted) - 1])
                    return f"process {pid} ({os.path.basename(running_code.program(pid) or '') or 'unknown'})"
    return "another process"


@contextlib.contextmanager
def package_lock(patience: float) -> t.Iterator[None]:
    """Hold the locks that this host has.

    :param patience: Seconds to wait for somebody else's.
    :raises MaintenanceError: code `package_lock`: somebody else keeps one.
    """
    until = time.monotonic() + patience
    files: list[int] = []
    try:
        for path in LOCKS:
            try:
                file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            except OSError:  # not on this host; or we are not root, and then nobody's packages are ours
                continue
            files.append(file)
            while True:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                    if time.monotonic() > until:
                        raise MaintenanceError(
                            f"packages are being changed on this host: {_holder(file)} holds {path}; no guest was touched. Wait for it to end, and run again",
                            "package_lock",
                        ) from error
                    time.sleep(_PAUSE)
        yield
    finally:
        for file in files:
            os.close(file)
