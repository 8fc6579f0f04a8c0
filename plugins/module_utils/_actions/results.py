# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of one guest in a module's result. Pure."""
from __future__ import annotations

import typing as t


def guest_record(name: str, uuid: str, before: dict[str, str], after: dict[str, str], changed: bool, **more: t.Any) -> dict[str, t.Any]:
    """One guest of a result whose guests have a state before and after.

    :param more: Further keys.
    """
    return {"name": name, "uuid": uuid, "before": before, "after": after, "changed": changed, **more}
