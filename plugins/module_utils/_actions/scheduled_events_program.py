# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the program that tells guests on a host: what scheduled_events_program does."""
from __future__ import annotations

import typing as t

from .._launch import program
from .._metadata import program as entry
from .kept_program import keep


def keep_program(path: str, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """The body of scheduled_events_program: the program is at a path, or is not. Its service runs as a user of its own, who has to read it.

    :returns: `changed` and `path`.
    :raises MaintenanceError: code `file`: the file cannot be written or removed.
    """
    return keep(path, program(entry), "the program of scheduled events", present, check_mode, 0o644)
