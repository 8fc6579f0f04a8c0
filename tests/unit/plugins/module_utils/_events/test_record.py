# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import record

ID = "C7061BAC-AFDC-4513-B24B-AA5F13A16123"
UUID = "6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab"
NOW = record.Moment("boot", 100.0, 1_800_000_000.0)


def event(**changes):
    return record.Event(**{
        "id": ID, "type": "Freeze", "status": "Scheduled", "uuid": UUID, "name": "web1", "resources": ["web_0"], "availability_set": None, "host": "kvm1",
        "not_before": 1_800_000_900, "notice": 900, "duration": 5, "description": "", "source": "Platform", "announced": NOW, "started": None,
        "completed": None, "gone_incarnation": 8, **changes,
    })


def through_json(document):
    return json.loads(json.dumps(document))


def test_what_is_announced_comes_back_as_it_was_written():
    found = record.Announcements(7, 8, [event(), event(status="Completed", started=NOW, completed=NOW, availability_set="web")])
    assert record.announcements(through_json(record.announcements_document(found))) == found


def test_guests_come_back_as_they_were_written():
    found = record.Guests(
        (record.Guest(UUID, "web1", "web_0", "web", "a:b", "Linux", 9, (record.Interface("52:54:00:00:00:01", "vnet0", "virbr0"),)),), {"virbr0": "linux"},
    )
    assert record.guests(through_json(record.guests_document(found))) == found


def test_settings_come_back_as_they_were_written():
    found = record.Settings(bridges=("br0",), dialects=("azure", "ec2"), guests={"web1": record.GuestSettings("web_0", None, "a:b")})
    assert record.settings(through_json(record.settings_document(found))) == found


@pytest.mark.parametrize(("given", "expected"), [
    ({}, record.GuestSettings()), ({"resource": "web_0"}, record.GuestSettings("web_0")), ({"tags": None}, record.GuestSettings()),
    ({"tag": "x"}, None), ({"tags": 1}, None), (None, None), ([], None),
])
def test_what_is_left_out_of_a_guests_settings(given, expected):
    document = {**through_json(record.settings_document(record.Settings())), "guests": {"web1": given}}
    if expected is None:
        with pytest.raises(LedgerError):
            record.settings(document)
    else:
        assert record.settings(document).guests == {"web1": expected}


@pytest.mark.parametrize("changes", [
    {"id": ID.lower()}, {"type": "Pause"}, {"status": "Over"}, {"source": "Us"}, {"resources": [1]}, {"not_before": 1.5}, {"announced": {}},
    {"status": "Completed"}, {"duration": True}, {"extra": 1},
], ids=str)
def test_an_event_that_makes_no_sense_is_refused(changes):
    document = through_json(record.announcements_document(record.Announcements(7, 8, [event()])))
    document["events"][0].update(changes)
    with pytest.raises(LedgerError):
        record.announcements(document)


@pytest.mark.parametrize("changes", [
    {"port": 0}, {"port": 65536}, {"port": -1}, {"address": "localhost"}, {"address": ""}, {"address": "::1"}, {"address": "169.254"}, {"address": "1.2.3.4\0"},
    {"dialects": ["other"]},
], ids=str)
def test_settings_at_which_nobody_can_listen_are_refused(changes):
    """The service goes on with those it had."""
    with pytest.raises(LedgerError):
        record.settings({**through_json(record.settings_document(record.Settings())), **changes})


@pytest.mark.parametrize("read", [record.announcements, record.guests, record.settings])
@pytest.mark.parametrize("document", [None, [], {}, {"version": 2}, {"version": 1}])
def test_what_is_no_such_document_is_refused(read, document):
    with pytest.raises(LedgerError):
        read(document)


def test_time_is_counted_by_the_boot_clock_and_over_a_reboot_by_the_wall_clock():
    assert record.Moment("boot", 110.0, 0.0).since(NOW) == 10.0
    assert record.Moment("other", 1.0, NOW.wall + 7).since(NOW) == 7.0
    assert record.Moment("boot", 90.0, 2e9).since(NOW) == 0.0
