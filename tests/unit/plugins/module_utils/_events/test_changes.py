# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_events/changes and shown: what is announced, what a guest sees of it, and an incarnation that grows with every change of that and never goes back."""
from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.approvals import Approval
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.changes import Wanted, end, schedule, start
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.record import (
    EPOCH,
    EXPIRES,
    LINGER,
    Moment,
    announcements,
    announcements_document,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.shown import incarnation, is_due, seconds_left, shown

WEB, DB = "6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab", "7f1c2b7a-0d3e-4a5f-8b9c-0123456789ab"
NOW = Moment("boot", 1000.0, 1_800_000_000.25)
APPROVAL = Approval(WEB, "web", 1.0)


def later(seconds, moment=NOW):
    return Moment(moment.boot_id, moment.boottime + seconds, moment.wall + seconds)


def wanted(uuid=WEB, **over):
    return Wanted(**{
        "type": "Freeze", "uuid": uuid, "name": "web", "resources": ("web_0",), "availability_set": "front", "duration": 5, "description": "", **over,
    })


def announced(*over, notice=900, now=NOW, before=changes.NONE):
    return schedule(before, "kvm1", [wanted(**one) for one in over or [{}]], "Platform", notice, now)


def seen(found, now=NOW, group="set:front"):
    return [(event.status, event.uuid) for event in shown(found, group, now)]


def test_an_announcement():
    found = announced()
    [event] = found.events
    assert (event.status, event.not_before, event.notice, event.announced) == ("Scheduled", 1_800_000_901, 900, NOW)
    assert event.id == event.id.upper() and len(event.id) == 36
    assert found.incarnation == int(NOW.wall) - EPOCH and event.gone_incarnation == found.incarnation + 1 == found.counter
    assert announcements(announcements_document(found)) == found


def test_the_whole_life_of_an_event():
    found = announced()
    ids = [found.events[0].id]
    assert seen(found) == [("Scheduled", WEB)]
    begun = start(found, ids, later(900))
    assert seen(begun, later(900)) == [("Started", WEB)]
    over = end(begun, ids, later(905))
    assert [event.status for event in over.events] == ["Completed"]
    # A guest that was paused itself still finds it.
    assert seen(over, later(905 + LINGER - 0.1)) == [("Started", WEB)] and seen(over, later(905 + LINGER)) == []
    assert incarnation(over, 0, later(905)) > incarnation(begun, 0, later(900)) > incarnation(found, 0, NOW)
    assert incarnation(over, 0, later(905 + LINGER)) > incarnation(over, 0, later(905))


def test_a_guest_sees_the_events_of_its_group_alone():
    found = announced({}, {"uuid": DB, "availability_set": None})
    assert seen(found) == [("Scheduled", WEB)] and seen(found, group=f"guest:{DB}") == [("Scheduled", DB)]
    assert seen(found, group=f"guest:{WEB}") == seen(found, group="set:other") == []


def test_what_waits_already_is_kept():
    found = announced()
    again = announced(now=later(60), before=found)
    assert again is found
    longer = announced({"duration": 9}, now=later(60), before=found)
    assert longer.events[0] == dataclasses.replace(found.events[0], duration=9, gone_incarnation=longer.events[0].gone_incarnation)
    assert longer.incarnation > found.counter


@pytest.mark.parametrize("over", [{"type": "Reboot"}, {"id": "C7061BAC-AFDC-4513-B24B-AA5F13A16123"}])
def test_another_event_of_the_same_guest_and_host_takes_its_place(over):
    found = announced()
    other = announced(over, now=later(60), before=found)
    assert len(other.events) == 1 and other.events[0].id != found.events[0].id


def test_what_a_run_that_died_has_left_begun_is_over():
    begun = announced()
    begun = start(begun, [begun.events[0].id], later(1))
    again = announced(now=later(60), before=begun)
    assert [event.status for event in again.events] == ["Completed", "Scheduled"]
    assert again.events[0].id != again.events[1].id


def test_what_is_not_wanted_any_more_is_over_and_other_hosts_events_stay():
    found = schedule(announced({}, {"uuid": DB}), "kvm2", [wanted()], "Platform", 900, NOW)
    again = announced({"uuid": DB}, now=later(1), before=found)
    assert [(event.host, event.uuid) for event in again.events] == [("kvm1", DB), ("kvm2", WEB)]
    assert announced({"uuid": DB}, {"uuid": DB}, now=later(2), before=again) is again


def test_an_event_that_another_host_has_announced_keeps_its_time():
    [event] = announced({"id": "C7061BAC-AFDC-4513-B24B-AA5F13A16123", "not_before": 1_800_000_300}).events
    assert (event.id, event.not_before, event.notice) == ("C7061BAC-AFDC-4513-B24B-AA5F13A16123", 1_800_000_300, 300)


def test_cancelled_it_goes_without_having_begun():
    found = announced()
    assert end(found, [found.events[0].id], later(5)).events == []
    assert end(found, ["another"], later(5)) is found and start(found, ["another"], later(5)) is found


def test_an_event_that_nobody_began_goes_by_itself():
    found = announced()
    assert seen(found, later(900 + EXPIRES - 1)) == [("Scheduled", WEB)] and seen(found, later(900 + EXPIRES)) == []
    assert incarnation(found, 0, later(900 + EXPIRES)) == found.incarnation + 1
    assert start(found, [found.events[0].id], later(900 + EXPIRES)) is found
    # It is cleared away by the next change, and is no change itself.
    assert [event.uuid for event in announced({"uuid": DB}, now=later(5000), before=found).events] == [DB]


def test_notice_is_measured_by_a_clock_that_nobody_sets():
    [event] = announced().events
    stepped = Moment("boot", NOW.boottime + 10, NOW.wall + 86400)
    assert seconds_left(event, stepped) == 890 and not is_due(event, None, stepped)
    assert is_due(event, APPROVAL, stepped) and is_due(event, None, later(900))
    assert seconds_left(event, Moment("other", 1.0, NOW.wall + 300)) == 600
    assert is_due(dataclasses.replace(event, status="Started"), None, NOW)


def test_after_a_reboot_of_the_host_what_is_over_is_gone():
    found = announced()
    ids = [found.events[0].id]
    over = end(start(found, ids, NOW), ids, NOW)
    assert seen(over, Moment("other", NOW.boottime, NOW.wall)) == []
    assert seen(start(found, ids, NOW), Moment("other", 1.0, NOW.wall + 60)) == [("Started", WEB)]


STEPS = st.lists(st.tuples(
    st.sampled_from(["schedule", "other", "start", "end", "wait", "clock", "reboot"]), st.sampled_from([WEB, DB]), st.sampled_from(["front", None]),
    st.sampled_from([0.0, 0.2, 3.0, LINGER, 100.0, 900.0, EXPIRES, -5000.0]),
), max_size=25)


@given(STEPS)
@settings(max_examples=300)
def test_the_incarnation_grows_with_every_change_that_is_seen_and_never_goes_back(steps):
    """Whatever happens, in whatever order, with a wall clock that is set as it likes within a boot."""
    found, now = changes.NONE, NOW
    groups = ["set:front", f"guest:{WEB}", f"guest:{DB}"]
    last = {group: ([], 0) for group in groups}
    for what, uuid, availability_set, seconds in steps:
        if what == "schedule":
            found = schedule(found, "kvm1", [wanted(uuid, availability_set=availability_set)], "Platform", 900, now)
        elif what == "other":
            found = schedule(found, "kvm2", [wanted(one) for one in (WEB, DB)], "Platform", 900, now)
        elif what == "start":
            found = start(found, [event.id for event in found.events if event.uuid == uuid], now)
        elif what == "end":
            found = end(found, [event.id for event in found.events if event.uuid == uuid], now)
        elif what == "wait":
            now = later(abs(seconds), now)
        elif what == "clock":
            now = dataclasses.replace(now, wall=now.wall + seconds)
        for group in groups:
            see, number = shown(found, group, now), incarnation(found, 0, now)
            assert number >= max(1, last[group][1])
            if [dataclasses.replace(one, gone_incarnation=0) for one in see] != [dataclasses.replace(one, gone_incarnation=0) for one in last[group][0]]:
                assert number > last[group][1]
            last[group] = (see, number)
