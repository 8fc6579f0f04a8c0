# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the program that recovers a host by itself on that host: what guard_program does."""
from __future__ import annotations

import os
import typing as t

from .._core.errors import MaintenanceError
from .._launch import program
from .._system.files import holds, replace


def keep_program(path: str, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """The body of guard_program: the program is at a path, or is not.

    :returns: `changed` and `path`.
    :raises MaintenanceError: code `file`: the file cannot be written or removed.
    """
    data = program()
    try:
        changed = not holds(path, data) if present else os.path.lexists(path)
        if changed and not check_mode:
            if present:
                replace(path, data)
            else:
                os.unlink(path)
    except OSError as error:
        raise MaintenanceError(
            f"the guard's program at {path} cannot be {'written' if present else 'removed'} ({error.strerror}); nothing was changed. "
            "Look at that path on the host and run again", "file",
        ) from error
    return {"changed": changed, "path": path}
