# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_stop and guest_start: what is refused before anything is touched, and what an operator reads afterwards."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_start, guest_stop
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.ledger import StoppedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.record import StoppedGuest, StoppedTogether

GOOD = {"uri": "qemu:///system", "name": ["gpu"], "timeout": 300.0, "force": False, "managed_guests": "refuse"}
START = {"uri": "qemu:///system", "stop_id": None, "patience": 0.0}


@pytest.mark.parametrize(("over", "says"), [
    ({"uri": "qemu:///session"}, "at qemu:///system only"), ({"name": []}, "name is empty"), ({"timeout": 0.5}, "timeout is 0.5 s"),
    ({"timeout": 7201.0}, "timeout is 7201 s"),
])
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_makes_no_sense_is_refused(over, says, check_mode):
    with pytest.raises(MaintenanceError, match=f"{says}.*no guest was touched"):
        guest_stop.stop_guests({**GOOD, **over}, check_mode)


@pytest.fixture
def known(where, monkeypatch):
    """A closed record, with one guest that ended like this."""
    monkeypatch.setattr(guest_start, "places", lambda _uri: where)

    def write(outcome, had_agent=True, agent="connected"):
        one = StoppedGuest("gpu", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, had_agent, False, asked_at=10.0)
        one.settle(outcome, "why", 52.0 if outcome == "started" else None)
        record = StoppedTogether("r", "qemu:///system", "b", "root", "2026-11-23T08:00:00Z", [one])
        record.close("host")
        StoppedLedger(where).write(record)
        monkeypatch.setattr(guest_start, "Connection", lambda _uri: None)
        monkeypatch.setattr(guest_start, "_agent", lambda _connection, _uuid: agent)
    return write


@pytest.mark.parametrize(("given", "says"), [
    (("started",), None), (("started", False, "disconnected"), None), (("started", False, "absent"), None), (("running",), None), (("untouched",), None),
    (("started", True, "disconnected"), "guest 'gpu' runs, and its agent has not answered within 0 s"),
    (("started", True, "off"), "guest 'gpu' was started, and does not run any more"),
    (("gone",), "guest 'gpu' was not started: why"), (("not_ours",), "guest 'gpu' was not started: why"),
])
def test_a_guest_that_was_started_is_seen_to_run(known, given, says):
    known(*given)
    found = guest_start.start_guests({**START, "stop_id": "r"}, False)
    assert found["changed"] is False  # the host did it
    assert ("failed_because" in found) is (says is not None)
    assert says is None or says in found["failed_because"][1]


def test_history_is_told_only_when_asked_for(known):
    known("started")
    assert guest_start.start_guests(START, False) == {"changed": False, "guests": []}
    assert guest_start.start_guests({**START, "stop_id": "r"}, False)["guests"][0]["away_for"] == 42.0
    with pytest.raises(MaintenanceError, match="knows no guests shut down as other"):
        guest_start.start_guests({**START, "stop_id": "other"}, False)
