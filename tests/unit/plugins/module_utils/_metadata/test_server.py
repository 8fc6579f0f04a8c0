# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_metadata/server and serve: connections as clients of all kinds make them, and what a request can write."""
from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _launch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, health, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.spool import moment
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import pace, program, serve, server

from .conftest import ADDRESSES

EVENTS = b"GET /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n"
DB = "6f1c2b7a-0d3e-4a5f-8b9c-000000000002"


def statuses(data):
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


def read_until(client, end):
    found = b""
    while end not in found:
        block = client.recv(65536)
        assert block, found
        found += block
    return found


# ---- HTTP as clients speak it ----

def test_keep_alive_pipelining_and_head(host):
    assert statuses(host.raw(EVENTS + b"\r\n" + EVENTS + b"\r\n" + EVENTS + b"Connection: close\r\n\r\n" + EVENTS + b"\r\n")) == [200, 200, 200]
    found = host.raw(b"HEAD" + EVENTS[3:] + b"\r\n" + EVENTS + b"\r\n")
    head, get = found.split(b"HTTP/1.1 ")[1:]
    assert head.endswith(b"\r\n\r\n") and get.partition(b"\r\n\r\n")[2]
    length = [line for line in get.split(b"\r\n") if line.startswith(b"Content-Length")]
    assert length == [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")] and length != [b"Content-Length: 0"]


def test_http_1_0(host):
    old = EVENTS.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: x\r\n", b"")
    assert statuses(host.raw(old + b"\r\n" + old + b"\r\n")) == [200]
    assert statuses(host.raw(old + b"Connection: keep-alive\r\n\r\n" + old + b"\r\n")) == [200, 200]


def test_a_body_in_pieces_and_one_that_waits_to_be_asked_for(host):
    event = host.announce()
    body = json.dumps({"StartRequests": [{"EventId": event.id}]}).encode()
    head = b"POST" + EVENTS[3:]
    with host.connect() as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_after_a_request_that_cannot_be_read_the_connection_ends(host):
    found = host.raw(b"nonsense\r\n\r\n" + EVENTS + b"\r\n")
    assert statuses(found) == [400] and b"Connection: close" in found and json.loads(found.partition(b"\r\n\r\n")[2])["error"]


# ---- clients that mean no good, or have just been paused ----

def test_a_hundred_hostile_connections_cost_nobody_else_an_answer(host):
    """Of one guest: half open, slow, too large, endless, and never reading what they get."""
    clients = []
    for number in range(200):
        client = host.connect("127.0.0.11")
        clients.append(client)
        client.sendall([b"", b"GET /met", EVENTS, b"POST" + EVENTS[3:] + b"Content-Length: 30000\r\n\r\n{", (EVENTS + b"\r\n") * 200][number % 5])
    try:
        slowest = 0.0
        for _number in range(20):
            began = time.monotonic()
            assert host.events("127.0.0.12")["Events"] == []
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2.0  # clients give up after five seconds
        assert host.events("127.0.0.11")["Events"] == []  # and itself it has not shut out
    finally:
        for client in clients:
            client.close()


def test_two_hundred_connections_at_once(host):
    clients = [host.connect("127.0.0.1" + str(number % 3)) for number in range(200)]
    try:
        for client in clients:
            client.sendall(EVENTS + b"\r\n")
        for client in clients:
            assert read_until(client, b"]}").startswith(b"HTTP/1.1 200 ")
    finally:
        for client in clients:
            client.close()


def ended(client):
    """Whether the service has ended a connection."""
    try:
        return client.recv(65536) == b""
    except ConnectionError:
        return True


def opened(host, who, count):
    """Connections on each of which something was answered."""
    found = []
    for _number in range(count):
        found.append(host.connect(who))
        found[-1].sendall(EVENTS + b"\r\n")
        read_until(found[-1], b"]}")
    return found


def test_one_connection_too_many_costs_the_client_its_oldest(host, monkeypatch):
    monkeypatch.setattr(server, "MAX_PER_CLIENT", 3)
    others, clients = opened(host, "127.0.0.12", 3), opened(host, "127.0.0.11", 4)
    assert ended(clients[0])
    for client in clients[1:] + others:
        client.sendall(EVENTS + b"\r\n")
        read_until(client, b"]}")
        client.close()


def test_a_guest_is_one_client_with_all_its_addresses(host, monkeypatch):
    monkeypatch.setattr(server, "MAX_PER_CLIENT", 3)
    monkeypatch.setitem(ADDRESSES, "127.0.0.13", ADDRESSES["127.0.0.11"])
    clients = [opened(host, f"127.0.0.1{number}", 1)[0] for number in (1, 3, 1, 3)]
    assert ended(clients[0])
    for client in clients:
        client.close()


def test_where_all_connections_are_taken_those_of_whom_has_the_most_go(host, monkeypatch, until):
    """Also of those together who are not known, from many addresses."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    kept = opened(host, "127.0.0.12", 1)[0]
    strangers = [host.connect(f"127.0.0.{number}") for number in range(100, 130)]
    until(lambda: host.server._count == 8, "the places are taken")
    mine = opened(host, "127.0.0.10", 2)
    for client in [kept, *mine]:
        client.sendall(EVENTS + b"\r\n")
        read_until(client, b"]}")
    assert all(ended(client) for client in strangers[:20])
    for client in [kept, *mine, *strangers]:
        client.close()
    until(lambda: host.server._count == 0 and not host.server._open, "connections that were closed are not counted")


@pytest.mark.parametrize(("head", "status"), [(b"POST" + EVENTS[3:] + b"Content-Length: 500000\r\n\r\n", 413), (b"GET /", 414), (b"nonsense\r\n\r\n", 400)])
def test_whoever_sends_too_much_learns_it(host, head, status):
    """A connection that is ended with bytes unread is reset, and the answer is lost."""
    for _number in range(5):
        found = host.raw(head + b"a" * 500000)
        assert statuses(found) == [status] and json.loads(found.partition(b"\r\n\r\n")[2])["error"]


def test_whoever_goes_on_sending_is_not_heard_for_ever(host, monkeypatch, until):
    monkeypatch.setattr(server, "HEAR_OUT", 0.2)
    with host.connect() as client:
        client.sendall(b"nonsense\r\n\r\n")
        read_until(client, b"}")
        until(lambda: host.server._count == 0, "the connection is ended")


def test_a_request_that_does_not_come_to_its_end(host, monkeypatch):
    monkeypatch.setattr(server, "REQUEST", 0.3)
    with host.connect() as client:
        client.sendall(b"GET /metadata")
        found = read_until(client, b"in time")
        assert statuses(found) == [408]
    monkeypatch.setattr(server, "IDLE", 0.3)
    with host.connect() as client:
        assert client.recv(1) == b""


def test_whoever_asks_too_often_waits(host):
    began = time.monotonic()
    found = host.raw((EVENTS + b"\r\n") * 150)
    assert statuses(found) == [200] * 150 and time.monotonic() - began > 0.5
    assert host.events("127.0.0.12")


def test_the_pace():
    found = pace.Pace()
    delays = [found.delay("a", 10.0) for _number in range(int(pace.BURST) + 50)]
    assert delays[:int(pace.BURST)] == [0.0] * int(pace.BURST) and delays[-1] == pytest.approx(1.0)
    assert found.delay("b", 10.0) == 0.0 and found.delay("a", 20.0) == 0.0
    found.forget(100.0)
    assert found.delay("a", 100.0) == 0.0
    assert max(found.delay("a", 100.0) for _number in range(10000)) == pytest.approx(pace.LONGEST)


# ---- what a request can write ----

def tree(root):
    found = {}
    for folder, _folders, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                found[path] = hashlib.sha256(stream.read()).hexdigest()
    return found


LINES = st.sampled_from([
    b"GET", b"POST", b"PUT", b" ", b"/metadata/scheduledevents", b"/metadata/instance", b"?api-version=2020-07-01", b"/../../x", b"%2e%2e%2f", b" HTTP/1.1\r\n",
    b"Host: x\r\n", b"Metadata: true\r\n", b"Content-Length: 30\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b'{"StartRequests": [{"EventId": "', b'"}]}',
    b"../events.json", b"events.json", b"X-Forwarded-For: 127.0.0.12\r\n", b"\0", b"\xff", b"PUT /latest/api/token", b"/computeMetadata/v1/",
])


def test_no_request_can_write_anything_but_an_approval(host):
    host.announce(DB)
    before = tree(host.places.root)

    @given(st.lists(LINES, max_size=30))
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def ask(pieces):
        found = host.raw(b"".join(pieces))
        assert all(200 <= status < 500 for status in statuses(found))

    ask()
    assert tree(host.places.root) == before
    assert host.events()["Events"] == []


def test_an_approval_on_a_full_disk(host):
    """A limit on the size of files fails as a full disk does. The file of an approval has its blocks already."""
    event = host.announce()
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
        assert host.approve(event.id).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handled)
    assert host.spool.approval(event.id).name == "web0"


def test_an_approval_that_cannot_be_written_is_kept_and_tried_again(host, until, capsys):
    event = host.announce()
    path = os.path.join(host.places.approvals, event.id)
    os.rename(path, f"{path}.away")
    os.symlink(f"{path}.away", path)  # it does not follow a link: an error of the kind that may pass
    assert host.approve(event.id).status == 200
    for _number in range(3):
        host.tidy()
        until(lambda: not host.service._writing, "another try")
    assert list(host.service.waiting) == [event.id]
    os.replace(f"{path}.away", path)
    host.tidy()
    until(lambda: host.service.waiting == {}, "the approval is written")
    assert host.spool.approval(event.id).name == "web0"
    # What goes on for days is told once.
    assert [line.partition(" event ")[0] for line in capsys.readouterr().out.splitlines()] == ["the approval of", "guest web0 has approved"]


@pytest.fixture
def slow_disk(host, monkeypatch):
    """A disk that takes as long for an approval as the test wants."""
    goes_on, write = threading.Event(), host.service._write_now
    monkeypatch.setattr(host.service, "_write_now", lambda *given: goes_on.wait(30) and write(*given))
    yield goes_on
    goes_on.set()


def test_approvals_that_are_being_written_while_the_service_tidies(host, slow_disk, until, capsys):
    events = [host.announce(uuid) for uuid in host.guests]
    found = []
    guests = [threading.Thread(target=lambda given=(event.id, who): found.append(host.approve(*given).status)) for event, who in zip(events, ADDRESSES)]
    for one in guests:
        one.start()
    until(lambda: len(host.service._writing) == 3, "all of them are being written")
    host.tidy()
    assert len(host.service._writing) == 3 and found == []
    slow_disk.set()
    for one in guests:
        one.join(30)
    assert found == [200] * 3 and host.service.waiting == {}
    assert {host.spool.approval(event.id).uuid for event in events} == set(host.guests)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_disk_that_hangs_keeps_nobody_from_an_answer(host, slow_disk, until, monkeypatch):
    monkeypatch.setattr(serve, "_PATIENCE", 0.2)
    event = host.announce()
    assert host.approve(event.id).status == host.approve(event.id, "127.0.0.11").status == 200
    host.tidy()
    assert host.events("127.0.0.12")["Events"] == [] and list(host.service.waiting) == [event.id]
    slow_disk.set()
    until(lambda: host.service.waiting == {}, "the approval is written")
    assert host.spool.approval(event.id).name == "web0"


def test_the_first_approval_counts_also_over_a_restart(host):
    event = host.announce()
    host.approve(event.id)
    host.service._approved.clear()  # as a service that was started anew
    host.approve(event.id, "127.0.0.11")
    assert host.spool.approval(event.id).name == "web0"


def test_a_document_that_cannot_be_read_leaves_what_was_known(host):
    event = host.announce()
    with open(host.places.events, "w", encoding="ascii") as stream:
        stream.write("{")
    host.loop.call_soon_threadsafe(host.service.known.look)
    host.do(asyncio.sleep(0))
    assert [one["EventId"] for one in host.events()["Events"]] == [event.id]
    assert len(host.service.known.trouble) == 1 and host.places.events in host.service.known.trouble[0]


def test_a_document_that_cannot_be_read_for_a_moment_is_read_when_it_can_be(host):
    """It has not changed in between. A link is not followed, which fails as a disk or a right that is missing does."""
    event, path, away = host.announce(), host.places.events, f"{host.places.events}.away"
    host.look()
    os.rename(path, away)
    os.utime(away)
    os.symlink(away, path)
    host.look()
    assert len(host.service.known.trouble) == 1 and [one["EventId"] for one in host.events()["Events"]] == [event.id]
    with open(away, encoding="ascii") as stream:
        document = json.load(stream)
    with open(away, "w", encoding="ascii") as stream:
        json.dump({**document, "events": []}, stream)
    host.look()
    os.replace(away, path)
    host.look()
    assert host.service.known.trouble == [] and host.events()["Events"] == []


# ---- the program ----

def test_the_program_serves_and_ends(tmp_path, host):
    """The very zip that is installed, in a process of its own, killed and started again in between."""
    path = tmp_path / "events.pyz"
    path.write_bytes(_launch.program(program))
    os.makedirs(os.path.dirname(host.places.health))
    event = host.announce()

    def begin():
        found = subprocess.Popen([sys.executable, "-I", str(path), "--root", host.places.root, "serve"], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while True:
            answer = health.ask(host.places.health, 1.0)
            if answer is not None and answer.pid == found.pid:
                return found, answer
            assert time.monotonic() < deadline and found.poll() is None

    process, answer = begin()
    assert (answer.listening, answer.waiting, answer.trouble) == ([], [], [])
    process.kill()
    process.wait()
    process.stdout.close()
    process, answer = begin()
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()
    assert not os.path.exists(host.places.health)
    assert changes.end(host.found, [event.id], moment()).events == []


def test_the_journal_is_not_told_of_each_connection_that_is_open_when_the_service_ends(tmp_path, host):
    path = tmp_path / "events.pyz"
    path.write_bytes(_launch.program(program))
    os.makedirs(os.path.dirname(host.places.health))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spool.write_document(host.places.settings, record.settings_document(record.Settings(address="127.0.0.1", port=port)), os.getgid())
    spool.write_document(host.places.guests, record.guests_document(record.Guests((), {"lo": "linux"})), os.getgid())
    with subprocess.Popen([sys.executable, "-I", str(path), "--root", host.places.root, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"bridge lo: guests are answered")
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(EVENTS + b"\r\n")
            assert read_until(client, b"Not found")
            process.terminate()
            said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, (b"", b""))


def test_the_program_at_loopback_as_at_a_bridge(tmp_path, host):
    """The listening socket is bound to a device: what comes in at another is not seen."""
    if os.geteuid():
        pytest.skip("binding to a device in use needs root on old kernels")
    from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.listeners import index, listener

    assert index("lo") and not index("nothing-of-the-kind")
    with pytest.raises(OSError):
        listener("nothing-of-the-kin", "127.0.0.1", 0)
    with listener("lo", "127.0.0.77", 0) as found, socket.create_connection(found.getsockname(), 5):
        with found.accept()[0] as taken:
            # A guest that is destroyed ends no connection, and one that sends without end costs no memory.
            assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert 0 < taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60 and taken.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 65536
