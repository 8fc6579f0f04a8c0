# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_stopped/record: what is written is read back, and nothing else is believed."""
from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.ledger import StoppedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.record import StoppedGuest, StoppedTogether, from_document, to_document


def stopped():
    guests = [
        StoppedGuest("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, True, True, "stopped", 10.0),
        StoppedGuest("g2", "22222222-2222-4222-8222-222222222222", 8, 4243, 98, False, False),
    ]
    return StoppedTogether("r", "qemu:///system", "b", "root", "2026-11-23T08:00:00Z", guests)


def document():
    return json.loads(json.dumps(to_document(stopped())))


def test_it_comes_back_as_it_was_in_a_file_of_its_own(where):
    StoppedLedger(where).write(stopped())
    assert StoppedLedger(where).read() == stopped()
    assert Ledger(where).read() is None and SavedLedger(where).read() is None


def test_a_guest_is_away_from_the_question_to_the_start():
    one = stopped().guests[0]
    assert one.away_for is None
    one.settle("started", "it was shut down", 52.5)
    assert (one.settled, one.away_for) == (True, 42.5)


def test_it_is_open_until_somebody_closes_it():
    record = stopped()
    assert record.is_open and record.unsettled() == record.guests
    record.close("module")
    assert (record.is_open, record.closed_by) == (False, "module")


@pytest.mark.parametrize("change", [
    {"uri": "qemu+ssh://h2/system"}, {"id": "../x"}, {"id": 5}, {"guests": {}}, {"more": 1}, {"closed_at": 5},
])
def test_another_record_is_not_believed(change):
    found = document()
    found["stopped"].update(change)
    with pytest.raises(LedgerError):
        from_document(found)


@pytest.mark.parametrize("change", [
    {"uuid": "; reboot"}, {"phase": "off"}, {"pid": 1}, {"autostart": 1}, {"asked_at": float("nan")}, {"asked_at": "now"}, {"more": 1},
])
def test_another_guest_is_not_believed(change):
    found = document()
    found["stopped"]["guests"][0].update(change)
    with pytest.raises(LedgerError):
        from_document(found)


def test_of_a_later_release_is_not_believed():
    with pytest.raises(LedgerError, match="its version is 9"):
        from_document({**document(), "version": 9})


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.sampled_from(sorted(document()["stopped"]["guests"][0])), _JSON)
def test_whatever_is_in_it_is_read_back_or_refused(key, value):
    found = copy.deepcopy(document())
    found["stopped"]["guests"][0][key] = value
    try:
        assert from_document(found) is not None
    except LedgerError:
        pass
