# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loader's configuration as it is on disk. It holds no decisions."""
from __future__ import annotations

import os
import subprocess

#: What tells the distributions' ways apart, in the order in which they are looked for: the RHEL family has a GRUB whose entries grubby knows, Debian and
#: Ubuntu have update-grub.
TOOLS = (("grubby", "/usr/sbin/grubby"), ("grub", "/usr/sbin/update-grub"))
#: Seconds for grubby.
TIMEOUT = 60.0


def kind(root: str = "/") -> str | None:
    """`grub`, `grubby`, or `None`: neither is on this host."""
    for name, path in TOOLS:
        if os.access(os.path.join(root, path.lstrip("/")), os.X_OK):
            return name
    return None


def grub(root: str = "/") -> str:
    """Debian's grub.cfg.

    :raises OSError: It cannot be read.
    """
    with open(os.path.join(root, "boot/grub/grub.cfg"), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def grubby() -> str:
    """What grubby says of all entries.

    :raises OSError: It cannot be run, or fails.
    """
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["/usr/sbin/grubby", "--info=ALL"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"grubby did not answer within {TIMEOUT:g} s") from error
    if done.returncode:
        raise OSError(f"grubby ended with {done.returncode}: {' '.join(done.stderr.split())}")
    return done.stdout


def kernels(root: str = "/") -> list[str]:
    """The file names of the kernels in `/boot`.

    :raises OSError: It cannot be read.
    """
    return sorted(name for name in os.listdir(os.path.join(root, "boot")) if name.startswith("vmlinuz-"))
