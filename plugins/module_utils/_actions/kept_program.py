# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping a file of ours on a host, or none."""
from __future__ import annotations

import os
import typing as t

from .._core.errors import MaintenanceError
from .._system.files import holds, replace


def keep(path: str, data: bytes, what: str, present: bool, check_mode: bool, mode: int) -> dict[str, t.Any]:
    """See that a file is at a path, or is not.

    :param data: Its content.
    :param what: What it is, for messages.
    :param mode: Its rights.
    :returns: `changed` and `path`.
    :raises MaintenanceError: code `file`: the file cannot be written or removed.
    """
    try:
        changed = not holds(path, data) if present else os.path.lexists(path)
        if changed and not check_mode:
            if present:
                replace(path, data, mode)
            else:
                os.unlink(path)
    except OSError as error:
        raise MaintenanceError(
            f"{what} at {path} cannot be {'written' if present else 'removed'} ({error.strerror}); nothing was changed. Look at that path on the host and run "
            "again", "file",
        ) from error
    return {"changed": changed, "path": path}
