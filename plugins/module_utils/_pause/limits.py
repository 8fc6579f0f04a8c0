# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a pause: what an operator may ask for, and when the guard begins so that they are kept. Pure."""
from __future__ import annotations

from .._core.errors import MaintenanceError
from .record import MAX_PAUSE_BUDGET, MAX_PAUSE_LIMIT

#: Seconds that a guest may be paused, unless the operator says otherwise: what public clouds promise.
DEFAULT_PAUSE_LIMIT = 30.0
#: The longest that a module waits because it was told to. Seconds.
MAX_PATIENCE = 3600.0


def lead(pause_limit: float) -> float:
    """How many seconds before the deadline the guard begins, so that the guests run *by* the deadline.

    Two seconds cover a dead libvirtd (connection refused, then the monitors); for a very short limit a tenth of it.
    """
    return min(2.0, pause_limit / 10)


def early_lead(pause_limit: float) -> float:
    """How many seconds before the deadline the guard begins to look whether libvirt hangs. If it does, the guard acts then: it needs the time."""
    return min(7.0, pause_limit / 2)


def check_limits(pause_limit: float, pause_budget: float) -> None:
    """Refuse limits that cannot be kept.

    :param pause_limit: Seconds.
    :param pause_budget: Seconds.
    :raises MaintenanceError: code `limit`.
    """
    if not 1 <= pause_limit <= MAX_PAUSE_LIMIT:
        raise MaintenanceError(
            f"pause_limit is {pause_limit:g} s, it must be from 1 to {MAX_PAUSE_LIMIT:g} s; no guest was touched", "limit"
        )
    longest = min(MAX_PAUSE_BUDGET, pause_limit - lead(pause_limit))
    if not 0 < pause_budget <= longest:
        raise MaintenanceError(
            f"pause_budget is {pause_budget:g} s, it must be more than 0 and at most {longest:g} s (pause_limit is {pause_limit:g} s); "
            "no guest was touched", "limit",
        )


def check_patience(second_look: float, patience: float = 0.0) -> None:
    """Refuse times that nobody can wait for.

    :param second_look: Seconds.
    :param patience: Seconds.
    :raises MaintenanceError: code `limit`.
    """
    for name, value in (("second_look", second_look), ("patience", patience)):
        if not 0 <= value <= MAX_PATIENCE:
            raise MaintenanceError(f"{name} is {value:g} s, it must be from 0 to {MAX_PATIENCE:g} s; no guest was touched", "limit")
