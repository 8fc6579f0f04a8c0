# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire contract of scheduled events, row by row, over a real socket."""
from __future__ import annotations

import json
import locale
import os
import re
import urllib.parse
import urllib.request

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.record import LINGER, Moment
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.spool import moment
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.azure import VERSIONS

EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NAMES = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
#: The keys of an event, by version; one more and strict decoders die.
KEYS = {"EventId", "EventStatus", "EventType", "ResourceType", "Resources", "NotBefore"}
WEB1, DB = "6f1c2b7a-0d3e-4a5f-8b9c-000000000001", "6f1c2b7a-0d3e-4a5f-8b9c-000000000002"


# ---- the documented sequence ----

def test_the_documented_sequence(host):
    """The four documents of Microsoft's page, with the right weekday."""
    first = host.events()
    assert set(first) == {"DocumentIncarnation", "Events"} and first["Events"] == [] and first["DocumentIncarnation"] > 0
    event = host.announce(id="C7061BAC-AFDC-4513-B24B-AA5F13A16123", not_before=1775946418)
    second = host.events()
    assert second["Events"] == [{
        "EventId": "C7061BAC-AFDC-4513-B24B-AA5F13A16123", "EventStatus": "Scheduled", "EventType": "Freeze", "ResourceType": "VirtualMachine",
        "Resources": ["WestNO_0"], "NotBefore": "Sat, 11 Apr 2026 22:26:58 GMT",
        "Description": "Virtual machine is being paused because of a memory-preserving Live Migration operation.", "EventSource": "Platform",
        "DurationInSeconds": 5,
    }]
    host.change(lambda found, now: changes.start(found, [event.id], now))
    third = host.events()
    assert third["Events"] == [{**second["Events"][0], "EventStatus": "Started", "NotBefore": ""}]
    host.change(lambda found, now: changes.end(found, [event.id], now))
    assert host.events()["Events"] == third["Events"]  # for the guest that was paused itself
    now = moment()
    ago = Moment(now.boot_id, now.boottime - LINGER - 1, now.wall)
    host.found.events[0].completed = ago
    host.spool.write(host.found)
    host.loop.call_soon_threadsafe(host.service.known.look)
    fourth = host.events()
    assert fourth["Events"] == []
    numbers = [one["DocumentIncarnation"] for one in (first, second, third, fourth)]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("version", VERSIONS)
def test_exactly_the_keys_of_each_version(host, version):
    host.announce()
    [event] = host.events(version=version)["Events"]
    wanted = KEYS | ({"Description"} if version >= "2019-04-01" else set()) | ({"EventSource"} if version >= "2019-08-01" else set())
    assert set(event) == wanted | ({"DurationInSeconds"} if version >= "2020-07-01" else set())
    assert event["Resources"] == ["_WestNO_0" if version == "2017-03-01" else "WestNO_0"]


def test_the_moment_does_not_depend_on_the_locale(host):
    host.announce(not_before=1775946418)
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "C.UTF-8", "POSIX"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert host.events()["Events"][0]["NotBefore"] == "Sat, 11 Apr 2026 22:26:58 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, before)


# ---- what is demanded of a request ----

@pytest.mark.parametrize("name", ["Metadata", "metadata", "METADATA"])
@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_the_header_in_any_case(host, name, value):
    assert host.raw(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("value", [None, "false", "", "1"])
@pytest.mark.parametrize("path", [EVENTS, NAMES, "/metadata/versions", *(f"/metadata/scheduledevents?api-version={one}" for one in VERSIONS[1:])])
def test_without_the_header(host, path, value):
    line = "" if value is None else f"Metadata: {value}\r\n"
    answer = host.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "Bad request. Required metadata header not specified"}


def test_the_first_version_does_not_demand_it(host):
    assert host.raw(b"GET /metadata/scheduledevents?api-version=2017-03-01 HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", [EVENTS, NAMES, "/metadata/versions", "/metadata/scheduledevents?api-version=2017-03-01"])
@pytest.mark.parametrize("value", ["1.2.3.4", ""])
def test_what_was_forwarded_is_refused(host, path, value):
    assert host.ask(path, **{"X-Forwarded-For": value}).status == 400


@pytest.mark.parametrize("query", [
    "", "?", "?api-version=", "?api-version=2016-01-01", "?api-version=2020-07-01&api-version=2020-07-01", "?api-version=2020-07-01&API-VERSION=2019-01-01",
    "?api-version=2020-07-01%00", "?version=2020-07-01", "?api-version=2020-07-01&a=1&a=2",
])
@pytest.mark.parametrize("path", ["/metadata/scheduledevents", "/metadata/instance"])
def test_a_version_that_is_none(host, path, query):
    found = host.ask(path + query)
    assert found.status == 400 and found.json["error"].startswith("Bad request. api-version is invalid or was not specified in the request.")
    assert len(found.json["newest-versions"]) == 3 and found.json["newest-versions"] == sorted(found.json["newest-versions"], reverse=True)
    assert host.ask(path + query, method="POST" if path.endswith("events") else "GET").status == 400


@pytest.mark.parametrize("path", [
    "/", "/metadata", "/metadata/", "/metadata/nothing", "/metadata/scheduledevents/x", "/latest/nothing", "/x", "/%00", "/metadata/../x",
])
def test_a_path_that_is_none(host, path):
    found = host.ask(f"{path}?api-version=2020-07-01")
    assert (found.status, found.json) == (404, {"error": "Not found"})


@pytest.mark.parametrize(("method", "path", "allowed"), [
    *((method, EVENTS, "GET, HEAD, POST") for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "XYZ")),
    *((method, path, "GET, HEAD") for method in ("POST", "PUT") for path in (NAMES, "/metadata/versions")),
])
def test_other_methods(host, method, path, allowed):
    found = host.ask(path, method=method)
    assert (found.status, found.headers.getheader("Allow")) == (405, allowed)


@pytest.mark.parametrize("path", ["/metadata/scheduledevents/?api-version=2020-07-01", "/Metadata/ScheduledEvents?Api-Version=2020-07-01"])
def test_paths_as_clients_write_them(host, path):
    assert host.ask(path).status == 200


def test_the_versions(host):
    assert host.ask("/metadata/versions").json == {"apiVersions": list(VERSIONS)}


# ---- ETag ----

def test_a_document_that_has_not_changed(host):
    found = host.ask(EVENTS)
    number = found.json["DocumentIncarnation"]
    assert found.headers.getheader("ETag") == f'"{number}"'
    for given in (f'"{number}"', str(number), f'W/"{number}"', f'"1", "{number}"', "*"):
        same = host.ask(EVENTS, **{"If-None-Match": given})
        assert (same.status, same.body, same.headers.getheader("ETag")) == (304, b"", f'"{number}"')
    for given in ("0", '"0"', "", '""', "x", f"{number}0"):
        assert host.ask(EVENTS, **{"If-None-Match": given}).status == 200
    host.announce()
    assert host.ask(EVENTS, **{"If-None-Match": f'"{number}"'}).status == 200


# ---- approvals ----

def approved(host):
    return {one.id: approval.name for one in host.found.events for approval in [host.spool.approval(one.id)] if approval is not None}


def test_an_approval_also_the_second_time_and_from_another_guest(host):
    event = host.announce()
    for who in ("127.0.0.10", "127.0.0.10", "127.0.0.11"):
        found = host.approve(event.id, who)
        assert (found.status, found.body) == (200, b"")
    assert approved(host) == {event.id: "web0"}
    assert host.events()["Events"][0]["EventStatus"] == "Scheduled"


def test_a_guest_of_the_set_that_is_not_in_resources_counts_too(host):
    event = host.announce()
    assert host.approve(event.id, "127.0.0.11").status == 200 and approved(host) == {event.id: "web1"}


def test_the_id_in_any_case_and_after_the_start(host):
    event = host.announce()
    host.change(lambda found, now: changes.start(found, [event.id], now))
    assert host.approve(event.id.lower()).status == 200


@pytest.mark.parametrize("headers", [
    {}, {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}, {"If-None-Match": "*"},
    {"Content-Type": "nonsense"},
], ids=str)
def test_any_or_no_content_type(host, headers):
    event = host.announce()
    assert host.approve(event.id, **headers).status == 200


@pytest.mark.parametrize("more", [{"DocumentIncarnation": 5}, {"DocumentIncarnation": "5"}, {"x": [1]}])
def test_extra_keys_are_ignored(host, more):
    event = host.announce()
    body = json.dumps({"StartRequests": [{"EventId": event.id, "y": 1}], **more})
    assert host.ask("/metadata/scheduledevents?api-version=2017-08-01", method="POST", body=body).status == 200
    assert approved(host) == {event.id: "web0"}


@pytest.mark.parametrize("body", [
    None, "", "{", "[]", "null", "1", '"x"', "{}", '{"StartRequests": null}', '{"StartRequests": []}', '{"StartRequests": [1]}', '{"StartRequests": [{}]}',
    '{"StartRequests": [{"EventId": 1}]}', '{"StartRequests": [{"EventId": "x"}]}', '{"StartRequests": {"EventId": "x"}}', "[" * 30000, b"\xff\xfe",
    '{"StartRequests": [{"EventId": "../../../etc/passwd"}]}', '{"StartRequests": [{"EventId": "C7061BAC-AFDC-4513-B24B-AA5F13A16123"}]}',
])
def test_a_malformed_body_or_an_unknown_id(host, body):
    event = host.announce()
    found = host.ask(EVENTS, method="POST", body=body)
    assert found.status == 400 and set(found.json) == {"error"}
    assert approved(host) == {} and os.listdir(host.places.approvals) == [event.id]


def test_another_sets_event_cannot_be_seen_or_approved(host):
    event = host.announce()
    assert host.events("127.0.0.12")["Events"] == []
    assert host.approve(event.id, "127.0.0.12").status == 400 and approved(host) == {}
    own = host.announce(DB)
    assert [one["EventId"] for one in host.events("127.0.0.12")["Events"]] == [own.id]
    assert [one["EventId"] for one in host.events("127.0.0.11")["Events"]] == [event.id]


@pytest.mark.parametrize("path", ["/", EVENTS, NAMES, "/metadata/versions", "/metadata/scheduledevents", "/latest/api/token", "/computeMetadata/v1/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_whoever_is_not_known_learns_nothing(host, path, method):
    host.announce()
    found = host.ask(path, "127.0.0.99", method)
    assert (found.status, found.json) == (404, {"error": "Not found"})


# ---- the instance ----

@pytest.mark.parametrize("version", ["2017-03-01", "2019-08-01", "2020-09-01", "2021-02-01", "2021-05-01", "2021-11-15", "2021-12-13"])
def test_the_instance(host, version):
    found = host.ask(f"/metadata/instance?api-version={version}").json
    assert found["compute"] == {
        "location": "westus", "name": "WestNO_0", "osType": "Linux", "platformFaultDomain": "36", "platformUpdateDomain": "42", "tags": "baz:bash;foo:bar",
        "tagsList": [{"name": "baz", "value": "bash"}, {"name": "foo", "value": "bar"}], "vmId": "6f1c2b7a-0d3e-4a5f-8b9c-000000000000",
    }
    assert host.ask(f"/metadata/instance/compute?api-version={version}&format=json").json == found["compute"]


def test_the_name_is_byte_for_byte_a_resource(host):
    host.announce()
    assert host.ask(NAMES).body.decode() in host.events()["Events"][0]["Resources"]


@pytest.mark.parametrize(("leaf", "expected"), [
    ("compute/name", "WestNO_0"), ("compute/vmId", "6f1c2b7a-0d3e-4a5f-8b9c-000000000000"), ("compute/vmid", "6f1c2b7a-0d3e-4a5f-8b9c-000000000000"),
    ("compute/platformUpdateDomain", "42"), ("compute/tagsList/1/value", "bar"),
])
def test_the_leaves(host, leaf, expected):
    found = host.ask(f"/metadata/instance/{leaf}?api-version=2021-02-01&format=text")
    assert (found.status, found.body.decode()) == (200, expected) and found.headers.getheader("Content-Type").startswith("text/plain")


@pytest.mark.parametrize("leaf", [
    "nothing", "compute/nothing", "compute/name/x", "compute/tagsList/2", "compute/tagsList/x", "compute/tagsList/-1", "compute//name",
])
def test_what_there_is_not_of_an_instance(host, leaf):
    assert host.ask(f"/metadata/instance/{leaf}?api-version=2021-02-01&format=text").status == 404


def test_only_a_leaf_can_be_had_as_text(host):
    assert host.ask("/metadata/instance?api-version=2021-02-01&format=text").status == 400


# ---- clients as they are ----

def test_a_client_with_urllib(host):
    """As many handlers do it: form-urlencoded by default, the document's own id."""
    event = host.announce()
    base = f"http://127.0.0.1:{host.port}"

    class From(urllib.request.HTTPHandler):
        def http_open(self, req):
            return self.do_open(lambda name, **more: __import__("http.client").client.HTTPConnection(name, source_address=("127.0.0.10", 0), **more), req)

    opener = urllib.request.build_opener(From)
    document = json.load(opener.open(urllib.request.Request(base + EVENTS, headers={"Metadata": "true"})))
    [found] = [one for one in document["Events"] if one["EventType"] == "Freeze"]
    body = json.dumps({"StartRequests": [{"EventId": found["EventId"]}]}).encode()
    answer = opener.open(urllib.request.Request(base + EVENTS, body, {"Metadata": "true"}))
    assert answer.status == 200 and approved(host) == {event.id: "web0"}
    assert re.fullmatch(r"[0-9A-F-]{36}", urllib.parse.quote(found["EventId"]))


def test_up_to_five_requests_per_second_are_answered_at_once(host):
    for _number in range(50):
        assert host.ask(EVENTS).status == 200
