# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How clocks are to be: the options that several modules have in common, checked. Pure."""
from __future__ import annotations

import typing as t

from .._core.errors import MaintenanceError

#: Seconds; more than a thousand years. No agent can set a clock that is further off.
LONGEST_OFFSET = 1e11


def check_tolerance(name: str, value: float) -> None:
    """Refuse a tolerance that makes no sense.

    :param name: The option.
    :param value: Seconds.
    :raises MaintenanceError: code `limit`.
    """
    if not 0 < value <= 3600:
        raise MaintenanceError(f"{name} is {value:g} s, it must be more than 0 and at most 3600 s; no guest was touched", "limit")


def checked_targets(raw: t.Mapping[str, t.Any]) -> dict[str, float]:
    """The offsets that clocks should have, by name or UUID of the guest, in seconds.

    :param raw: The option `target_offsets`.
    :raises MaintenanceError: code `limit`: one is no number.
    """
    targets: dict[str, float] = {}
    for name, value in raw.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LONGEST_OFFSET:
            raise MaintenanceError(f"target_offsets of guest {name!r} is {value!r:.40}, it must be a number of seconds; no guest was touched", "limit")
        targets[name] = float(value)
    return targets
