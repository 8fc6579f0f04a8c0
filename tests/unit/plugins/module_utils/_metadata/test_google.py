# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Google's handlers are told; `k8s-node-termination-handler` and the sample `compute/metadata` are the clients that the cases are read from."""
from __future__ import annotations

import math

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import google

from . import other_clouds as case

EVENT = "instance/maintenance-event"
FLAVOR = "Metadata-Flavor: Google"


def ask(view, key=EVENT, *headers, method="GET", **query):
    return google.answer(case.request(f"/computeMetadata/v1/{key}", FLAVOR, *headers, method=method, **query), view)


def sent_etag(answer):
    return dict(answer.headers)["ETag"]


@pytest.mark.parametrize("events, seconds, expected", [
    ([], 0, "NONE"),
    ([case.event()], 0, "MIGRATE_ON_HOST_MAINTENANCE"),
    ([case.event(began=20)], 21, "MIGRATE_ON_HOST_MAINTENANCE"),
    ([case.event(began=20, ended=25)], 26, "MIGRATE_ON_HOST_MAINTENANCE"),
    ([case.event(began=20, ended=25)], 36, "NONE"),
    ([case.event()], 4600, "NONE"),
    ([case.event("Reboot")], 0, "TERMINATE_ON_HOST_MAINTENANCE"),
    ([case.event("Terminate")], 0, "TERMINATE_ON_HOST_MAINTENANCE"),
    ([case.event(), case.event("Reboot")], 0, "TERMINATE_ON_HOST_MAINTENANCE"),
    ([case.event("Reboot"), case.event()], 0, "TERMINATE_ON_HOST_MAINTENANCE"),
    ([case.event("Reboot", case.WEB2)], 0, "NONE"),
])
def test_the_value_follows_what_is_announced_of_the_guest_itself(events, seconds, expected):
    answer = ask(case.view(*events, seconds=seconds))
    assert (answer.status, answer.body.decode()) == (200, expected)
    assert ("Metadata-Flavor", "Google") in answer.headers


@pytest.mark.parametrize("since, expected", [(895, "TERMINATE_ON_HOST_MAINTENANCE"), (905, "NONE")])
def test_a_guest_that_was_started_anew_after_its_loss_began_is_not_told_to_drain_again(since, expected):
    started = int(case.ANNOUNCED.wall) + since - case.record.EPOCH
    guest = case.dataclasses.replace(case.WEB1, since=started)
    assert ask(case.view(case.event("Reboot", began=900), seconds=960, guest=guest)).body.decode() == expected


@pytest.mark.parametrize("key, expected", [
    ("instance/name", "web_0"), ("instance/id", str(0x6f1c2b7a0d3e4a5f >> 1)), ("instance/zone", "projects/0/zones/westus"),
    ("instance/preempted", "FALSE"), ("instance/scheduling/preemptible", "FALSE"),
    ("instance/scheduling/on-host-maintenance", "TERMINATE"),
])
def test_what_handlers_ask_beside_the_event(key, expected):
    answer = ask(case.view(), key)
    assert (answer.status, answer.body.decode()) == (200, expected)


@pytest.mark.parametrize("headers, status", [
    ([], 403), (["Metadata-Flavor: Azure"], 403), (["metadata-flavor: google"], 200), ([FLAVOR, "X-Forwarded-For: 1.2.3.4"], 403),
])
def test_the_header_is_demanded_and_a_proxy_refused(headers, status):
    answer = google.answer(case.request(f"/computeMetadata/v1/{EVENT}", *headers), case.view(case.event("Reboot")))
    assert answer.status == status
    assert ("Metadata-Flavor", "Google") in answer.headers
    assert (b"TERMINATE" in answer.body) is (status == 200)


@pytest.mark.parametrize("path", [
    "/computeMetadata/v1/", "/computeMetadata/v1/project/project-id", "/computeMetadata/v1beta1/instance/name", "/computeMetadata/",
])
def test_there_is_no_other_key(path):
    assert google.handles(path)
    assert google.answer(case.request(path, FLAVOR), case.view()).status == 404


def test_the_root_is_not_googles_so_that_no_library_takes_the_host_for_its_cloud():
    assert not google.handles("/")


def test_a_key_cannot_be_written():
    assert ask(case.view(), method="POST").status == 405


def test_who_knows_another_value_is_answered_at_once():
    view = case.view(case.event("Reboot"))
    assert ask(view, wait_for_change="true", last_etag="0").body == b"TERMINATE_ON_HOST_MAINTENANCE"
    assert ask(view, wait_for_change="True", last_etag=sent_etag(ask(case.view()))).body == b"TERMINATE_ON_HOST_MAINTENANCE"


@pytest.mark.parametrize("named", [True, False])
def test_who_knows_the_value_waits_for_another(named):
    calm, near = case.view(), case.view(case.event())
    waits = ask(calm, wait_for_change="true", **({"last_etag": sent_etag(ask(calm))} if named else {}))
    assert waits.timeout == math.inf
    assert waits.again(calm, False) is None
    assert waits.again(case.view(case.event(guest=case.WEB2)), False) is None
    found = waits.again(near, False)
    assert found.body == b"MIGRATE_ON_HOST_MAINTENANCE"
    assert sent_etag(found) == sent_etag(ask(near)) != sent_etag(ask(calm))


@pytest.mark.parametrize("seconds, timeout", [("0", 0), ("5", 5), ("999999999", 999999999)])
def test_a_wait_ends_with_the_value_that_it_began_with(seconds, timeout):
    waits = ask(case.view(), wait_for_change="true", timeout_sec=seconds)
    assert waits.timeout == timeout
    assert waits.again(case.view(), True).body == b"NONE"


@pytest.mark.parametrize("seconds", ["", "-1", "x", "1.5", "9999999999", "\u0661"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(seconds):
    assert ask(case.view(), wait_for_change="true", timeout_sec=seconds).status == 400


def test_as_json():
    assert ask(case.view(), alt="json").body == b'"NONE"'


def test_without_wait_for_change_nobody_waits():
    assert ask(case.view(), wait_for_change="false", last_etag=sent_etag(ask(case.view()))).body == b"NONE"
