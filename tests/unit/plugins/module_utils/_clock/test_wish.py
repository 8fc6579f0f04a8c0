# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/wish: what operators may ask for, from YAML."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import wish
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError


@pytest.mark.parametrize("value", [1e-6, 0.1, 1, 3600])
def test_a_tolerance(value):
    wish.check_tolerance("tolerance", value)


@pytest.mark.parametrize("value", [0, -0.1, 3600.1, float("nan"), float("inf"), -float("inf")])
def test_a_tolerance_that_makes_no_sense(value):
    with pytest.raises(MaintenanceError, match="^clock_tolerance is .* s, it must be more than 0 and at most 3600 s; no guest was touched$") as caught:
        wish.check_tolerance("clock_tolerance", value)
    assert caught.value.code == "limit"


def test_targets_are_seconds():
    found = wish.checked_targets({"g1": 3600, "u2": -0.5})
    assert found == {"g1": 3600.0, "u2": -0.5} and all(type(value) is float for value in found.values())
    assert wish.checked_targets({}) == {}


@pytest.mark.parametrize("value", [True, None, "3600", [], float("nan"), float("inf"), -float("inf"), 10**400, -10**400, 1e11])
def test_a_target_that_is_no_number_of_seconds(value):
    with pytest.raises(MaintenanceError, match="target_offsets of guest 'g1' is .*, it must be a number of seconds; no guest was touched") as caught:
        wish.checked_targets({"g0": 0, "g1": value})
    assert caught.value.code == "limit" and len(str(caught.value)) < 150


@given(st.dictionaries(st.text(), st.integers() | st.floats() | st.text() | st.none()))
def test_whatever_is_asked_for_is_a_number_or_refused(raw):
    try:
        found = wish.checked_targets(raw)
    except MaintenanceError:
        return
    assert found == raw and set(found) == set(raw)
