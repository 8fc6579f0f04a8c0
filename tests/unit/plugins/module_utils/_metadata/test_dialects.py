# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other two dialects of the same events, over a real socket: Google's maintenance-event and EC2's scheduled events."""
from __future__ import annotations

import base64
import socket
import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import ec2, google

EVENT = "/computeMetadata/v1/instance/maintenance-event"
SCHEDULED = "/latest/meta-data/events/maintenance/scheduled"
FLAVOR = {"Metadata-Flavor": "Google"}


def token(host, who="127.0.0.10", seconds="60"):
    found = host.ask("/latest/api/token", who, "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": seconds})
    return found.body.decode() if found.status == 200 else found.status


def ec2_ask(host, path, who="127.0.0.10", given=None):
    return host.ask(path, who, **{"X-aws-ec2-metadata-token": given or token(host, who)})


@pytest.mark.parametrize("dialects", [[], ["azure"]])
def test_they_are_off_unless_they_are_asked_for(host, dialects):
    settings = record.Settings(dialects=tuple(dialects))
    spool.write_document(host.places.settings, record.settings_document(settings), 0)
    host.service.known.look()
    for path, method in ((EVENT, "GET"), ("/latest/api/token", "PUT"), (SCHEDULED, "GET")):
        assert host.ask(path, method=method, **FLAVOR).status == 404


# ---- Google ----

def test_googles_maintenance_event(host):
    first = host.ask(EVENT, **FLAVOR)
    assert (first.status, first.body, first.headers.getheader("Metadata-Flavor")) == (200, b"NONE", "Google")
    event = host.announce()
    assert host.ask(EVENT, **FLAVOR).body == b"MIGRATE_ON_HOST_MAINTENANCE"
    assert host.ask(EVENT, "127.0.0.11", **FLAVOR).body == b"NONE"  # it is not about the other guest of the set
    assert host.ask(EVENT + "?alt=json", **FLAVOR).json == "MIGRATE_ON_HOST_MAINTENANCE"
    host.change(lambda found, now: changes.end(found, [event.id], now))
    assert host.ask(EVENT, **FLAVOR).body == b"NONE"
    host.announce(type="Reboot")
    assert host.ask(EVENT, **FLAVOR).body == b"TERMINATE_ON_HOST_MAINTENANCE"


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "Azure"}, {**FLAVOR, "X-Forwarded-For": "1.2.3.4"}])
def test_googles_header_is_demanded(host, headers):
    assert host.ask(EVENT, **headers).status == 403


def test_google_waits_for_a_change(host):
    etag = host.ask(EVENT, **FLAVOR).headers.getheader("ETag")
    assert etag == google.etag("NONE")
    began = time.monotonic()
    assert host.ask(f"{EVENT}?wait_for_change=true&last_etag={etag}&timeout_sec=1", **FLAVOR).body == b"NONE"
    assert time.monotonic() - began >= 1
    assert host.ask(f"{EVENT}?wait_for_change=true&last_etag=0", **FLAVOR).body == b"NONE"
    later = threading.Timer(0.5, host.announce)
    later.start()
    found = host.ask(f"{EVENT}?wait_for_change=true&last_etag={etag}", **FLAVOR)
    later.join()
    assert found.body == b"MIGRATE_ON_HOST_MAINTENANCE" and found.headers.getheader("ETag") != etag


def test_who_stops_waiting_leaves_nothing_behind(host):
    with host.connect() as client:
        etag = google.etag("NONE")
        client.sendall(f"GET {EVENT}?wait_for_change=True&last_etag={etag} HTTP/1.1\r\nHost: x\r\nMetadata-Flavor: Google\r\n\r\n".encode())
        client.settimeout(0.6)
        with pytest.raises(socket.timeout):  # two looks, and nothing to say
            client.recv(1)
        assert host.server._count == 1
    deadline = time.monotonic() + 10
    while host.server._open:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("leaf", "expected"), [("name", b"WestNO_0"), ("zone", b"projects/0/zones/westus")])
def test_what_googles_handlers_ask_for_beside(host, leaf, expected):
    assert host.ask(f"/computeMetadata/v1/instance/{leaf}", **FLAVOR).body == expected
    assert host.ask("/computeMetadata/v1/instance/id", **FLAVOR).body.isdigit()
    assert host.ask("/computeMetadata/v1/instance/nothing", **FLAVOR).status == 404 and host.ask(EVENT, method="POST", **FLAVOR).status == 405


# ---- EC2 ----

def test_ec2s_scheduled_events(host):
    assert ec2_ask(host, SCHEDULED).json == []
    event = host.announce(id="C7061BAC-AFDC-4513-B24B-AA5F13A16123", not_before=1548061243)
    assert ec2_ask(host, SCHEDULED).json == [{
        "NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-maintenance", "Description": event.description, "EventId": "instance-event-c7061bacafdc4513b",
        "NotAfter": "21 Jan 2019 10:00:48 GMT", "State": "active",
    }]
    assert ec2_ask(host, SCHEDULED, "127.0.0.11").json == []
    host.change(lambda found, now: changes.start(found, [event.id], now))
    assert ec2_ask(host, SCHEDULED).json[0]["State"] == "active"
    host.change(lambda found, now: changes.end(found, [event.id], now))
    assert ec2_ask(host, SCHEDULED).json[0]["State"] == "completed"
    assert ec2_ask(host, SCHEDULED.replace("scheduled", "history")).json[0]["State"] == "completed"


def test_every_type_has_a_code():
    assert set(ec2._CODES) == set(record.TYPES)


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "x", "1e3", "999999999"])
def test_a_tokens_life_that_is_none(host, seconds):
    assert token(host, seconds=seconds) == 400


def test_without_a_token_that_was_given_to_this_guest_there_is_nothing(host):
    mine = token(host)
    assert ec2_ask(host, SCHEDULED, given=mine).status == 200
    assert host.ask(SCHEDULED).status == 401 and ec2_ask(host, SCHEDULED, "127.0.0.11", mine).status == 401
    for bad in ("x", "====", mine[:-4], "A" * len(mine), base64.urlsafe_b64encode(b"\xff" * 40).decode(), "\xe4"):
        assert ec2_ask(host, SCHEDULED, given=bad).status == 401
    short = token(host, seconds="1")
    deadline = time.monotonic() + 10
    while ec2_ask(host, SCHEDULED, given=short).status != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("path", "status"), [
    ("/latest/meta-data/instance-id", 200), ("/latest/meta-data/events/maintenance/history", 200), ("/latest/meta-data/spot/instance-action", 404),
    ("/latest/meta-data/events/recommendations/rebalance", 404), ("/latest/meta-data/", 404),
])
def test_what_ec2s_handlers_ask_for_beside(host, path, status):
    assert ec2_ask(host, path).status == status


def test_what_was_forwarded_gets_no_token(host):
    found = host.ask("/latest/api/token", method="PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60", "X-Forwarded-For": "1.2.3.4"})
    assert found.status == 403 and host.ask("/latest/api/token").status == 405
