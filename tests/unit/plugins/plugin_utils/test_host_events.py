# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import (
    RESTARTS,
    event_approvals,
    event_copies,
    event_lines,
    event_relatives,
    host_events,
    sets_of,
    told_ahead,
)


def guest(uuid, pause=None, away=None, stop=""):
    return {"name": f"g{uuid}", "uuid": uuid, "stop": stop, "pause": pause, "away": away, "memory": None, "no_way_back": None, "left_alone": ""}


def known(uuid, why_not=None, availability_set=None):
    return {"name": f"g{uuid}", "uuid": uuid, "resource": f"r_{uuid}", "availability_set": availability_set, "reachable": why_not is None, "why_not": why_not}


def events(guests, told, technique="pause", **over):
    return host_events({"technique": technique, "guests": guests}, {"guests": told}, **over)


@pytest.mark.parametrize(("pause", "away", "over", "expected"), [
    (30, None, {}, -1),  # the plan has the limit, which says nothing
    (30, None, {"restarts_only": True}, RESTARTS),
    (7.2, None, {"duration": 7.2}, 8),
    (7.2, None, {"duration": "7.2", "restarts_only": True}, 8),
    (None, 3.1, {}, 4),
    (None, 0.2, {}, 1),
    (30, 3.1, {"restarts_only": True}, RESTARTS + 4),
    (30, 3.1, {}, 4),
])
def test_the_duration_is_the_prediction_rounded_up(pause, away, over, expected):
    [event] = events([guest("1", pause, away)], [known("1")], **over)["events"]
    assert event["duration"] == expected


def test_who_is_told():
    found = events(
        [guest("1", 30), guest("2", 30), guest("3", 30), guest("4")], [known("1", availability_set="web"), known("2", "no bridge"), known("4")],
    )
    assert [(one["guest"], one["resource"], one["availability_set"], one["type"]) for one in found["events"]] == [("1", "r_1", "web", "Freeze")]
    assert found["untold"] == [{"name": "g2", "why": "no bridge"}, {"name": "g3", "why": "the host's service does not know it"}]


def test_a_reboot_that_keeps_memory_is_a_freeze_and_says_so():
    [event] = events([guest("1", None, 40.0)], [known("1")], technique="reboot")["events"]
    assert event["type"] == "Freeze" and "its memory is kept" in event["description"] and "rebooted" in event["description"]


def test_a_guest_that_is_shut_down_loses_its_memory_and_is_told_so():
    found = events([guest("1", 30.0, stop="a device of the host"), guest("2", None, 40.0)], [known("1"), known("2")], technique="reboot")
    shut_down, saved = found["events"]
    assert (shut_down["type"], shut_down["duration"], saved["type"]) == ("Reboot", -1, "Freeze")
    assert "its memory is lost" in shut_down["description"]
    assert event_lines(found, 900)[0] == "guest g1: told 15 min ahead, that it will be shut down"


def test_lines():
    found = events([guest("1", 30), guest("2", 5), guest("3", None, 2.0)], [known("1"), known("2", "no bridge"), known("3")])
    assert event_lines(found, 900) == [
        "guest g1: told 15 min ahead, for how long it will be away is not known", "guest g3: told 15 min ahead, that it will be away for 2 s",
        "guest g2: cannot be told ahead (no bridge)",
    ]


def test_sets():
    told = {"guests": [known("1", availability_set="web"), known("2"), known("3", availability_set="db")]}
    assert sets_of(told, {"g9": {"availability_set": "cache"}, "g8": {}}) == ["cache", "db", "web"]
    assert sets_of({}, {}) == []


ANNOUNCED = [
    {"guest": "1", "name": "g1", "type": "Freeze", "duration": 5, "description": "d", "resources": ["r_1"], "availability_set": "web", "id": "A",
     "host": "h1", "not_before": 7, "status": "Scheduled", "approved": True, "approved_by": "g2", "approved_by_guest": "2", "approved_at": 3.0},
    {"guest": "3", "name": "g3", "type": "Freeze", "duration": 5, "description": "d", "resources": ["r_3"], "availability_set": None, "id": "B",
     "host": "h1", "not_before": 7, "status": "Scheduled", "approved": False, "approved_by": None, "approved_by_guest": None, "approved_at": None},
]


def test_other_hosts_tell_only_what_is_of_a_set_that_they_have():
    sets = {"h1": ["web"], "h2": ["web", "db"], "h3": ["db"], "h4": []}
    assert event_copies(ANNOUNCED, sets) == [{"host": "h2", "of": "h1", "events": [
        {"guest": "1", "name": "g1", "type": "Freeze", "duration": 5, "description": "d", "resource": "r_1", "availability_set": "web", "id": "A",
         "not_before": 7}]}]
    assert event_copies([{**ANNOUNCED[0], "status": "Started"}], sets) == []
    both = event_copies([ANNOUNCED[0], {**ANNOUNCED[0], "host": "h2", "id": "C"}], sets)
    assert [(one["host"], one["of"], [event["id"] for event in one["events"]]) for one in both] == [("h2", "h1", ["A"]), ("h1", "h2", ["C"])]
    assert event_relatives("h1", sets) == ["h2"] and event_relatives("h4", sets) == event_relatives("h9", sets) == []


def test_approvals_are_carried_over_once():
    assert event_approvals([{"events": ANNOUNCED}, {"events": ANNOUNCED[:1]}, {"failed": True}]) == [{"id": "A", "guest": "2", "name": "g2", "at": 3.0}]


@pytest.mark.parametrize(("host", "domains", "order", "expected"), [
    ("a", {"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, None, ["c", "e"]),
    ("b", {"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, None, ["d"]),
    ("c", {"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, None, []),
    ("c", {"a": 1, "c": 2}, [2, 1], ["a"]),
    ("a", {"a": 1, "b": None}, None, []),  # another strategy, without domains
    ("x", {"a": 1, "b": 2}, None, []),
])
def test_who_announces_for_the_next_domain(host, domains, order, expected):
    assert told_ahead(host, domains, order) == expected


def test_each_host_of_the_next_domain_is_told_by_just_one():
    domains = {f"a{number}": 1 for number in range(3)} | {f"b{number}": 2 for number in range(7)}
    found = [name for number in range(3) for name in told_ahead(f"a{number}", domains)]
    assert sorted(found) == sorted(f"b{number}" for number in range(7))
