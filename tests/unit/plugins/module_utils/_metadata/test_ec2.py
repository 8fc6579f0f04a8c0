# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2's handlers are told; aws-node-termination-handler in its IMDS mode is the client that the cases are read from."""
from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import ec2

from . import other_clouds as case

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
SCHEDULED = "/latest/meta-data/events/maintenance/scheduled"
HISTORY = "/latest/meta-data/events/maintenance/history"


def token(ttl=60, **of):
    answer = ec2.answer(case.request("/latest/api/token", f"{TTL}: {ttl}", method="PUT"), case.view(**of))
    assert answer.status == 200
    return answer.body.decode()


def ask(path, *events, method="GET", **of):
    return ec2.answer(case.request(path, f"X-aws-ec2-metadata-token: {token(**of)}", method=method), case.view(*events, **of))


def read(path, *events, **of):
    answer = ask(path, *events, **of)
    assert answer.status == 200
    return json.loads(answer.body)


def test_a_scheduled_event_is_shown_as_ec2_documents_it():
    assert read(SCHEDULED, case.event("Reboot", not_before=1_548_061_243)) == [{
        "NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-reboot", "Description": "The host is updated",
        "EventId": "instance-event-c7061bacafdc4513b", "NotAfter": "21 Jan 2019 10:00:48 GMT", "State": "active",
    }]


@pytest.mark.parametrize("kind, code", [
    ("Freeze", "system-maintenance"), ("Reboot", "system-reboot"), ("Redeploy", "instance-stop"), ("Preempt", "instance-retirement"),
    ("Terminate", "instance-retirement"),
])
def test_each_type_has_a_code(kind, code):
    assert read(SCHEDULED, case.event(kind))[0]["Code"] == code


@pytest.mark.parametrize("events, seconds, scheduled, history", [
    ([], 0, [], []),
    ([case.event()], 1, ["active"], []),
    ([case.event(began=9)], 10, ["active"], []),
    ([case.event(began=9, ended=12)], 15, ["completed"], ["completed"]),
    ([case.event(began=9, ended=12)], 30, [], ["completed"]),
    ([case.event("Reboot", case.WEB2)], 1, [], []),
    ([case.event("Reboot", case.WEB2, began=9, ended=12)], 15, [], []),
])
def test_what_is_scheduled_and_what_is_over(events, seconds, scheduled, history):
    assert [one["State"] for one in read(SCHEDULED, *events, seconds=seconds)] == scheduled
    assert [one["State"] for one in read(HISTORY, *events, seconds=seconds)] == history


def test_what_is_over_says_so():
    assert read(HISTORY, case.event(began=9, ended=12), seconds=60)[0]["Description"] == "[Completed] The host is updated"


@given(st.integers(0, 4_000_000_000))
def test_moments_are_written_as_the_termination_handler_reads_them(seconds):
    written = ec2.moment(seconds)
    assert time.strptime(written, "%d %b %Y %H:%M:%S GMT")[:6] == time.gmtime(seconds)[:6]
    assert not written.startswith("0")


@pytest.mark.parametrize("path", [
    "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance", "/latest/meta-data/autoscaling/target-lifecycle-state",
    "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/", "/latest/meta-data",
])
def test_what_is_not_there_is_404_with_a_token_and_401_without(path):
    assert ec2.handles(path)
    assert ask(path).status == 404
    assert ec2.answer(case.request(path), case.view()).status == 401


@pytest.mark.parametrize("path", ["/", "/latest/", "/latest/user-data", "/latest/dynamic/instance-identity/document", "/2009-04-04/meta-data/instance-id"])
def test_what_makes_a_program_believe_in_amazons_cloud_is_not_answered(path):
    assert not ec2.handles(path)


def test_the_guests_own_id():
    assert ask("/latest/meta-data/instance-id").body == b"i-6f1c2b7a0d3e4a5f8"


@pytest.mark.parametrize("path, method", [(SCHEDULED, "POST"), (SCHEDULED, "PUT"), ("/latest/api/token", "GET")])
def test_other_methods_are_refused(path, method):
    assert ask(path, method=method).status == 405


@pytest.mark.parametrize("seconds, status", [
    ("1", 200), ("21600", 200), ("0", 400), ("21601", 400), ("-5", 400), ("x", 400), ("", 400), ("\u0661", 400), (None, 400),
])
def test_a_token_is_for_one_second_to_six_hours(seconds, status):
    headers = [] if seconds is None else [f"{TTL}: {seconds}"]
    answer = ec2.answer(case.request("/latest/api/token", *headers, method="PUT"), case.view())
    assert answer.status == status
    assert status != 200 or (TTL, seconds) in answer.headers


def test_a_token_looks_like_one_of_amazons():
    assert len(token()) == 56
    assert len(base64.b64decode(token(), validate=True)) == 40


@pytest.mark.parametrize("path, method", [(SCHEDULED, "GET"), ("/latest/api/token", "PUT")])
def test_what_came_through_a_proxy_is_refused(path, method):
    headers = [f"{TTL}: 60", f"X-aws-ec2-metadata-token: {token()}", "X-Forwarded-For: 1.2.3.4"]
    assert ec2.answer(case.request(path, *headers, method=method), case.view()).status == 403


def test_an_answer_says_how_long_the_token_is_still_good():
    good = token(60)
    answer = ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {good}"), case.view(seconds=50))
    assert (TTL, "10") in answer.headers
    assert ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {good}"), case.view(seconds=60)).status == 401


def test_a_token_is_good_for_the_guest_that_asked_for_it_alone():
    other = ec2.answer(case.request("/latest/api/token", f"{TTL}: 60", method="PUT"), case.view(guest=case.WEB2)).body.decode()
    assert ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {other}"), case.view()).status == 401


def test_a_token_ends_with_the_service(monkeypatch):
    good = token()
    monkeypatch.setattr(ec2, "_KEY", b"another")
    assert ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {good}"), case.view()).status == 401


def test_a_client_may_send_its_new_token_beside_the_old_one():
    headers = ["X-aws-ec2-metadata-token: old", f"X-aws-ec2-metadata-token: {token()}"]
    assert ec2.answer(case.request(SCHEDULED, *headers), case.view()).status == 200


@given(st.one_of(st.text(), st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode())))
def test_nothing_made_up_is_a_token(text):
    assert ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {text}"), case.view()).status == 401


@given(st.integers(0, 39), st.integers(1, 255))
def test_a_changed_token_is_none(place, by):
    raw = bytearray(base64.b64decode(token()))
    raw[place] ^= by
    assert ec2.answer(case.request(SCHEDULED, f"X-aws-ec2-metadata-token: {base64.b64encode(raw).decode()}"), case.view()).status == 401
