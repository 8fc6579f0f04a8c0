# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugin_utils/rollout_window: when an update domain may begin."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_window import WindowError, why_not_now

CET = timezone(timedelta(hours=1))


def at(hour, minute=0, day=27):
    return datetime(2026, 11, day, hour, minute, tzinfo=CET)


@pytest.mark.parametrize(("now", "start", "end", "expected", "why"), [
    (at(12), "", "", 9e9, None),
    (at(12), "2026-11-27T11:00", "", 9e9, None),
    (at(12), "2026-11-27T13:30", "", 0, "begins in 1 h 30 min"),
    (at(12), "2026-11-27T11:59Z", "", 0, "begins in 59 min"),
    (at(12), "", "2026-11-27T12:00", 0, "is over"),
    (at(12), "", "2026-11-27T12:10", 600, None),
    (at(12), "", "2026-11-27T12:10", 660, "ends in 10 min, and it is expected to last 11 min"),
    (at(23), "22:00", "04:00", 3600, None),
    (at(2), "22:00", "04:00", 3600, None),
    (at(3, 30), "22:00", "04:00", 3600, "ends in 30 min, and it is expected to last 1 h 0 min"),
    (at(4), "22:00", "04:00", 0, "begins in 18 h 0 min"),
    (at(12), "9:00", "17:00", 0, None),
    (at(18), "9:00", "17:00", 0, "begins in 15 h 0 min"),
])
def test_when_an_update_domain_may_begin(now, start, end, expected, why):
    found = why_not_now(now, start, end, expected)
    assert found is None if why is None else why in found


@pytest.mark.parametrize(("start", "end", "told"), [
    ("22:00", "", "one time of day"),
    ("22:00", "2026-11-28T04:00", "one time of day"),
    ("tonight", "", "'tonight' in the maintenance window is neither"),
    ("22:00", "22:00", "begins when it ends"),
    ("2026-11-28T04:00", "2026-11-27T22:00", "not before its end"),
    ("25:00", "26:00", "'25:00' in"),
])
def test_what_is_no_window(start, end, told):
    with pytest.raises(WindowError, match=told):
        why_not_now(at(12), start, end)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_of_every_day_is_open_for_its_length(now, start, end):
    if start == end:
        return
    moment = at(0) + timedelta(minutes=now)
    texts = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (start, end)]
    inside = (now - start) % 1440 < (end - start) % 1440
    assert (why_not_now(moment, *texts) is None) == inside
