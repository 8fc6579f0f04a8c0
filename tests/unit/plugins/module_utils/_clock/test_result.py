# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/result: what ledgers and results hold of a clock, written by us and read from a file that anybody may have damaged."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.result import checked_clock, clock_result
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError

OFF = {"offset": -30.0, "bound": 0.001}
RECORD = {"name": "g1", "uuid": "u", "before": OFF, "after": {"offset": 0, "bound": 0.001}, "target": 0.0, "verdict": "in_sync", "changed": True}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["in_sync", "unverified", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["offset", "bound", "code", "message", "x"]), inner, max_size=3), max_leaves=6,
)


@pytest.mark.parametrize(("record", "since"), [
    (RECORD, 0.12345), (RECORD, None), ({**RECORD, "error": {"code": "agent", "message": "no"}}, 1),
    ({**RECORD, "before": None, "after": None, "verdict": "unverified", "changed": False}, 0.0),
])
def test_what_we_write_we_read(record, since):
    found = clock_result(record, since, "a host clock")
    assert found["set_after"] == (None if since is None else round(since, 3)) and found["error"] == record.get("error")
    checked_clock(json.loads(json.dumps(found)), "guest 'g1'")
    checked_clock(None, "guest 'g1'")


GOOD = clock_result({**RECORD, "error": {"code": "c", "message": "m"}}, 0.1, "a host clock")


@pytest.mark.parametrize("change", [
    {"verdict": "fine"}, {"verdict": None}, {"verdict": []}, {"changed": 1}, {"changed": None}, {"reference": None}, {"set_after": "1"}, {"set_after": True},
    {"set_after": float("nan")}, {"set_after": float("inf")}, {"set_after": -float("inf")}, {"before": {}}, {"before": []},
    {"before": {"offset": 1}}, {"after": {**OFF, "more": 1}}, {"after": {**OFF, "bound": None}}, {"after": {**OFF, "bound": True}},
    {"after": {**OFF, "offset": float("nan")}}, {"error": {}}, {"error": "e"}, {"error": {"code": 1, "message": "m"}},
    {"error": {"code": "c", "message": None}}, {"more": 1},
], ids=str)
def test_what_we_never_write_is_refused(change):
    with pytest.raises(LedgerError, match="the clock of guest 'g1' makes no sense"):
        checked_clock({**GOOD, **change}, "guest 'g1'")


@pytest.mark.parametrize("key", sorted(GOOD))
def test_every_key_has_to_be_there(key):
    with pytest.raises(LedgerError):
        checked_clock({name: value for name, value in GOOD.items() if name != key}, "g")


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_whatever_is_in_it_it_is_sense_or_a_ledger_error(key, value):
    """Found in review: an integer that no float holds raised another error, which the guard met at every look, and went no further."""
    try:
        checked_clock({**GOOD, key: value}, "g")
    except LedgerError:
        return
    json.dumps({**GOOD, key: value})


@given(JSON)
def test_whatever_it_is(value):
    try:
        checked_clock(value, "g")
    except LedgerError:
        return
    assert value is None
