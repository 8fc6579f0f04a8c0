# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a QEMU program says of itself, without a guest."""
from __future__ import annotations

import functools
import os
import re
import subprocess

#: Seconds for a QEMU to answer.
TIMEOUT = 10.0


def parse_version(text: str) -> tuple[int, ...] | None:
    """QEMU's version in what `--version` prints: `QEMU emulator version 7.2.22 (Debian ...)`; `None` for anything else."""
    found = re.match(r"QEMU emulator version ([0-9]+(?:\.[0-9]+)+)", text)
    return tuple(map(int, found.group(1).split("."))) if found else None


@functools.lru_cache(maxsize=64)
def _printed(program: str, file: tuple[int, int, int], *arguments: str) -> str:
    """What a program prints; empty when it cannot be run.

    :param file: What tells the file from others that are or will be at that path: guests run the same one, and a process id can come back.
    """
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _ask(program: str, *arguments: str) -> str:
    try:
        seen = os.stat(program)
    except OSError:
        return ""
    return _printed(program, (seen.st_dev, seen.st_ino, seen.st_mtime_ns), *arguments)


def version(program: str) -> tuple[int, ...] | None:
    """The version of a QEMU, `None` when it is none.

    :param program: Its path; `/proc/PID/exe` works for one that was replaced on disk.
    """
    return parse_version(_ask(program, "--version"))


def data_folders(program: str) -> list[str]:
    """Where a QEMU looks for ROMs and firmware, in this order."""
    return [line for line in _ask(program, "-L", "help").splitlines() if line.startswith("/")]
