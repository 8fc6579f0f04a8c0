# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a pause: what an operator may ask for, and when the guard begins so that they are kept. Pure."""
from __future__ import annotations

from .._core.errors import MaintenanceError
from .record import MAX_PAUSE_BUDGET, MAX_PAUSE_LIMIT

#: Seconds that a guest may be paused, unless the operator says otherwise: what public clouds promise.
DEFAULT_PAUSE_LIMIT = 30.0
#: The longest that a module can be asked to wait. Seconds.
MAX_PATIENCE = 3600.0
#: The longest that a job on a guest is waited for: a day. Seconds.
MAX_WAIT = 86400.0


#: How many times the seconds that pausing took the guard takes for resuming, and some seconds for itself: a busy host may be busier by then.
_SLOWER = 3.0
_ITSELF = 0.2
#: The guard never begins earlier than this many seconds, or this share of the limit, before the deadline.
_LONGEST_LEAD = 5.0
_LARGEST_SHARE = 0.5


def longest_lead(pause_limit: float) -> float:
    """How many seconds before the deadline the guard begins at the earliest."""
    return min(_LONGEST_LEAD, pause_limit * _LARGEST_SHARE)


def lead(pause_limit: float, paused_within: float | None = None) -> float:
    """How many seconds before the deadline the guard begins, so that the guests run *by* the deadline.

    Two seconds cover a dead libvirtd (connection refused, then the monitors); for a very short limit a tenth of it. A host that needed long to pause
    its guests needs long to resume them (seen: 200 guests on a busy host, 0.8 s late with a limit of 6 s).

    :param paused_within: Seconds from the first suspend to the last on this host, just now; `None` when not known yet.
    """
    learnt = 0.0 if paused_within is None else paused_within * _SLOWER + _ITSELF
    return min(max(min(2.0, pause_limit / 10), learnt), longest_lead(pause_limit))


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


def check_wait(seconds: float) -> None:
    """Refuse a wait for jobs that makes no sense.

    :param seconds: `wait_for_jobs`.
    :raises MaintenanceError: code `limit`.
    """
    if not 0 <= seconds <= MAX_WAIT:
        raise MaintenanceError(f"wait_for_jobs is {seconds:g} s, it must be from 0 to {MAX_WAIT:g} s; no guest was touched", "limit")


def check_patience(second_look: float, patience: float = 0.0) -> None:
    """Refuse times that are too long to wait for.

    :param second_look: Seconds.
    :param patience: Seconds.
    :raises MaintenanceError: code `limit`.
    """
    for name, value in (("second_look", second_look), ("patience", patience)):
        if not 0 <= value <= MAX_PATIENCE:
            raise MaintenanceError(f"{name} is {value:g} s, it must be from 0 to {MAX_PATIENCE:g} s; no guest was touched", "limit")
