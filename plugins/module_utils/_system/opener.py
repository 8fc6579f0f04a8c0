# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that a ledger says is at work: a module of Ansible's, or the document is forged."""
from __future__ import annotations

import os
import re

from .._core.identity import ProcessIdentity, is_alive
from .running_code import program

#: How interpreters are called in which Ansible runs modules.
_PYTHON = re.compile(r"(platform-)?python[0-9.]*")


def is_at_work(process: ProcessIdentity) -> bool:
    """Whether the process still lives that paused, or is saving, guests.

    Modules run in a Python, and in nothing else. So neither libvirtd nor a guest's QEMU is waited for, or ended, because a ledger names it; a guard that begins
    just now may read one that was forged meanwhile, and does not know better.

    :param process: The process by the ledger's word.
    """
    return is_alive(process) and _PYTHON.fullmatch(os.path.basename(program(process.pid) or "")) is not None
