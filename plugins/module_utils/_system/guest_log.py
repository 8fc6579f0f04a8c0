# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's log of a guest: why it ended, also of one that libvirt does not know any more."""
from __future__ import annotations

import os
import re

#: Where libvirt writes them for its system driver.
FOLDER = "/var/log/libvirt/qemu"
#: Bytes at the end of the log in which the last words of a guest are.
_TAIL = 4096
#: "2026-11-25 20:15:40.123+0000: shutting down, reason=destroyed" (src/qemu/qemu_process.c, qemuProcessStop)
_LAST_WORDS = re.compile(rb": shutting down, reason=([a-z-]+)\s*$", re.MULTILINE)


def why_it_ended(name: str, folder: str = FOLDER) -> str | None:
    """libvirt's reason of a guest's last end (`shutdown`, `destroyed`, `crashed`, `migrated`, `saved`, `failed`, `from-snapshot`, `daemon`).

    :param name: libvirt's name of the guest.
    :returns: `None` when the log does not say.
    """
    if "/" in name:
        return None
    try:
        with open(os.path.join(folder, f"{name}.log"), "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
            found = _LAST_WORDS.findall(stream.read())
    except OSError:
        return None
    return found[-1].decode("ascii") if found else None
