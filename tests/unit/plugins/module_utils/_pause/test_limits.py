# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/limits: what may be asked for, and when the guard begins."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import limits
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.record import MAX_PAUSE_BUDGET, MAX_PAUSE_LIMIT

LIMITS = st.floats(1.0, MAX_PAUSE_LIMIT)
TOOK = st.none() | st.floats(0.0, 1000.0)
ANY = st.floats() | st.integers(-10**6, 10**6)


@given(LIMITS, TOOK)
def test_the_guard_begins_after_the_opening_and_before_the_deadline(limit, took):
    assert 0 < limits.lead(limit, took) <= limits.longest_lead(limit) <= limit / 2


@given(LIMITS, st.floats(0.0, 1000.0), st.floats(0.0, 1000.0))
def test_a_slower_host_is_never_begun_with_later(limit, took, more):
    assert limits.lead(limit) <= limits.lead(limit, took) <= limits.lead(limit, took + more)


@given(LIMITS, st.floats(0.0, 1000.0))
def test_what_was_learnt_is_taken_in_full_up_to_the_longest(limit, took):
    assert limits.lead(limit, took) >= min(took * 3, limits.longest_lead(limit))


@given(LIMITS)
def test_without_anything_learnt(limit):
    assert limits.lead(limit) == min(2.0, limit / 10)
    assert limits.early_lead(limit) <= min(7.0, limit / 2)


@given(LIMITS, TOOK, st.floats(0.0, MAX_PAUSE_BUDGET))
def test_a_budget_that_is_allowed_ends_before_the_guard_would_begin(limit, took, budget):
    """The lead can only be learnt once all guests are paused."""
    try:
        limits.check_limits(limit, budget)
    except MaintenanceError as error:
        assert error.code == "limit"
        return
    assert 0 < budget <= limit - limits.lead(limit)


@given(ANY, ANY)
def test_limits_are_kept_or_refused(limit, budget):
    try:
        limits.check_limits(limit, budget)
    except MaintenanceError as error:
        assert error.code == "limit" and "no guest was touched" in str(error)
        return
    assert 1 <= limit <= MAX_PAUSE_LIMIT and 0 < budget <= MAX_PAUSE_BUDGET


@pytest.mark.parametrize(("check", "name", "longest"), [
    (limits.check_wait, "wait_for_jobs", limits.MAX_WAIT), (limits.check_patience, "second_look", limits.MAX_PATIENCE),
    (lambda value: limits.check_patience(0.0, value), "patience", limits.MAX_PATIENCE),
])
@pytest.mark.parametrize("value", [-0.1, None, float("nan"), float("inf")])
def test_waits_that_nobody_can_mean(check, name, longest, value):
    check(0.0)
    check(longest)
    with pytest.raises(MaintenanceError, match=f"^{name} is .*no guest was touched$"):
        check(longest + 1 if value is None else value)
