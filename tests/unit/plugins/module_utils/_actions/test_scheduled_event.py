# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scheduled_event and scheduled_event_info, with a spool and a service's socket of the test's own."""
from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_event import announce
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_event_info import info
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import health, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.approvals import Approval
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.spool import Spool

UUID, OTHER = "6f1c2b7a-0d3e-4a5f-8b9c-000000000000", "6f1c2b7a-0d3e-4a5f-8b9c-000000000001"


@pytest.fixture
def places(tmp_path):
    found = EventPlaces(str(tmp_path))
    os.makedirs(found.approvals)
    for path in (found.guests, found.settings, found.health):
        os.makedirs(os.path.dirname(path))
    bridged = (record.Interface("52:54:00:00:00:01", "vnet0", "virbr0"),)
    lone = (record.Interface("52:54:00:00:00:02", "vnet1", "br9"),)
    guests = record.Guests((
        record.Guest(UUID, "web", "web_0", "front", "", "Linux", 1, bridged), record.Guest(OTHER, "db", "db", None, "", "Linux", 1, lone),
        record.Guest(UUID[:-1] + "2", "none", "none", None, "", "Linux", 1, ()),
    ), {"virbr0": "linux"})
    spool.write_document(found.guests, record.guests_document(guests), os.getgid())
    settings = record.Settings(guests={"away": record.GuestSettings("away_1", "back")})
    spool.write_document(found.settings, record.settings_document(settings), os.getgid())
    return found


def event(**over):
    return {
        "guest": UUID, "name": "web", "type": "Freeze", "duration": 5, "description": "", "resource": None, "availability_set": None, "id": None,
        "not_before": None, **over,
    }


def run(places, state="scheduled", check_mode=False, **over):
    params = {
        "state": state, "host": "kvm1", "id": None, "events": [event()] if state == "scheduled" else [], "source": "Platform", "notice": 900, "approved": [],
        "wait": 0.0, **over,
    }
    return announce(params, check_mode, places, os.getgid())


def test_from_the_announcement_to_the_end(places):
    found = run(places)
    [one] = found["events"]
    assert found["changed"] and not found["due"] and not found["all_approved"]
    assert (one["status"], one["resources"], one["availability_set"], one["notice"]) == ("Scheduled", ["web_0"], "front", 900)
    again = run(places)
    assert not again["changed"] and again["events"][0]["id"] == one["id"]
    assert run(places, "started")["events"][0]["status"] == "Started" and not run(places, "started")["changed"]
    assert run(places, "completed")["events"][0]["status"] == "Completed" and not run(places, "completed")["changed"]
    assert found["diff"] == {"before": "", "after": "web: Freeze Scheduled, 5 s\n"}


def test_cancelled(places):
    run(places)
    found = run(places, "cancelled")
    assert found["changed"] and found["events"] == [] and found["due"]
    assert not run(places, "cancelled")["changed"]


def test_check_mode_changes_nothing(places):
    assert run(places, check_mode=True)["changed"] and not os.path.exists(places.events)
    run(places)
    assert not run(places, check_mode=True)["changed"] and run(places, "started", check_mode=True)["changed"]
    assert run(places)["events"][0]["status"] == "Scheduled"


def test_what_is_known_of_a_guest_and_what_is_given(places):
    given = [event(resource="x", availability_set="y"), event(guest=OTHER, name="db"), event(guest=UUID[:-1] + "9", name="away"),
             event(guest=UUID[:-1] + "8", name="unknown")]
    found = {one["name"]: (one["resources"], one["availability_set"]) for one in run(places, events=given)["events"]}
    assert found == {"web": (["x"], "y"), "db": (["db"], None), "away": (["away_1"], "back"), "unknown": (["unknown"], None)}


def test_only_some_of_a_host(places):
    ids = [one["id"] for one in run(places, events=[event(), event(guest=OTHER, name="db")])["events"]]
    assert [one["status"] for one in run(places, "started", id=ids[:1])["events"]] == ["Started"]
    assert [one["status"] for one in run(places, "completed")["events"]] == ["Completed"]


def test_a_wait_ends_with_an_approval(places):
    [one] = run(places)["events"]

    def approve():
        time.sleep(0.3)
        Spool(places, os.getgid()).approve(one["id"], Approval(UUID, "web", 7.0))

    thread = threading.Thread(target=approve)
    thread.start()
    began = time.monotonic()
    found = run(places, wait=30.0)
    thread.join()
    assert found["due"] and found["all_approved"] and time.monotonic() - began < 10
    assert (found["events"][0]["approved_by"], found["events"][0]["approved_by_guest"], found["events"][0]["approved_at"]) == ("web", UUID, 7.0)
    assert not found["changed"]


def test_a_wait_ends_with_the_notice_and_with_its_own_end(places):
    assert not run(places, wait=0.2)["due"]
    found = run(places, host="kvm2", notice=1, wait=30.0)
    assert found["due"] and not found["all_approved"]


def test_an_event_of_another_host_with_its_approval(places, tmp_path):
    [one] = run(places)["events"]
    peer = EventPlaces(str(tmp_path / "peer"))
    os.makedirs(peer.approvals)
    copied = event(id=one["id"], not_before=one["not_before"], availability_set="front", resource="web_0")
    found = run(peer, events=[copied])
    assert (found["events"][0]["id"], found["events"][0]["not_before"]) == (one["id"], one["not_before"])
    Spool(peer, os.getgid()).approve(one["id"], Approval(OTHER, "sibling", 9.0))
    found = run(places, approved=[{"id": one["id"], "guest": OTHER, "name": "sibling", "at": 9.0}])
    assert found["changed"] and found["events"][0]["approved_by"] == "sibling"
    assert not run(places, approved=[{"id": one["id"], "guest": OTHER, "name": "sibling", "at": 9.0}])["changed"]


@pytest.mark.parametrize(("over", "code"), [
    ({"notice": -1}, "limit"), ({"notice": 90000}, "limit"), ({"wait": 4000.0}, "limit"), ({"id": ["../x"]}, "event"), ({"events": [event(id="x")]}, "event"),
    ({"approved": [{"id": "x", "guest": "", "name": "", "at": 0.0}]}, "event"),
])
def test_bad_input(places, over, code):
    with pytest.raises(MaintenanceError) as caught:
        run(places, **over)
    assert caught.value.code == code


def test_a_host_without_it(tmp_path):
    with pytest.raises(MaintenanceError) as caught:
        run(EventPlaces(str(tmp_path)))
    assert caught.value.code == "not_installed"
    assert info(30.0, EventPlaces(str(tmp_path)), os.getgid()) == {"changed": False, "installed": False, "service": None, "events": [], "guests": []}


def answering(places, found):
    server = socket.socket(socket.AF_UNIX)
    server.bind(places.health)
    server.listen()

    def answer():
        client, _address = server.accept()
        client.sendall(health.line(found))
        client.close()
        server.close()
    threading.Thread(target=answer).start()


def test_who_can_be_told(places):
    run(places)
    found = info(0.0, places, os.getgid())
    assert found["installed"] and found["service"] is None and len(found["events"]) == 1
    assert {one["why_not"] for one in found["guests"]} == {"the service does not answer (systemctl status vm-preserving-events)"}
    answering(places, health.Health(1, 2.0, ["virbr0"], {}, {UUID: 3.0}, [], []))
    guests = {one["name"]: one for one in info(0.0, places, os.getgid())["guests"]}
    assert (guests["web"]["reachable"], guests["web"]["why_not"], guests["web"]["asked_at"]) == (True, None, 3.0)
    assert guests["db"]["why_not"].startswith("br9 is not served") and "no interface" in guests["none"]["why_not"]


def test_a_bridge_at_which_the_service_cannot_listen(places):
    answering(places, health.Health(1, 2.0, [], {"virbr0": "the port is taken"}, {}, [], []))
    guests = {one["name"]: one for one in info(0.0, places, os.getgid())["guests"]}
    assert guests["web"]["why_not"] == "virbr0: the port is taken"


def test_a_service_that_is_starting_is_waited_for(places):
    """The first who asks gets no answer."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(places.health)
    server.listen()

    def answer():
        for data in (b"", health.line(health.Health(1, 2.0, ["virbr0"], {}, {}, [], []))):
            client, _address = server.accept()
            client.sendall(data)
            client.close()
        server.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    assert info(30.0, places, os.getgid())["service"]["pid"] == 1
    thread.join(30)
    assert not thread.is_alive()


def test_a_wait_for_a_service_that_stays_away_ends(places):
    began = time.monotonic()
    assert info(0.3, places, os.getgid())["service"] is None
    assert 0.3 <= time.monotonic() - began < 10


def test_a_broken_spool_is_said_at_once(places):
    with open(places.events, "wb") as stream:
        stream.write(b"{")
    began = time.monotonic()
    with pytest.raises(MaintenanceError) as caught:
        info(60.0, places, os.getgid())
    assert caught.value.code == "spool" and places.events in str(caught.value) and time.monotonic() - began < 30


@pytest.mark.parametrize("wait", [-1.0, 90000.0, float("nan")])
def test_a_wait_that_makes_no_sense(places, wait):
    with pytest.raises(MaintenanceError) as caught:
        info(wait, places, os.getgid())
    assert caught.value.code == "limit"
