# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the program that recovers a host by itself on that host: what guard_program does."""
from __future__ import annotations

import typing as t

from .._launch import program
from .kept_program import keep


def keep_program(path: str, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """The body of guard_program: the program is at a path, or is not.

    :returns: `changed` and `path`.
    :raises MaintenanceError: code `file`: the file cannot be written or removed.
    """
    return keep(path, program(), "the guard's program", present, check_mode, 0o600)
