# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/qmp: QEMU's protocol on a real socket, with everything that the other side may do wrong."""
from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import qmp
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qmp import MonitorError, MonitorSilent

#: Long enough for any conversation that works. Seconds.
ENOUGH = 20.0
#: For a monitor that is known to say nothing. Seconds.
SHORT = 0.1
GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
OTHER_STATES = [
    "running", "inmigrate", "finish-migrate", "io-error", "internal-error", "shutdown", "prelaunch", "postmigrate", "suspended", "save-vm",
    "restore-vm", "debug", "guest-panicked", "watchdog", "colo", "preconfig", "Paused", "", "something-new",
]


def scripted(*answers, rest=None):
    """A monitor that sends `answers` one by one, the first at once, each other after something was read."""
    def talk(connection):
        for number, answer in enumerate(answers):
            if number:
                connection.recv(65536)
            connection.sendall(answer)
        if rest is not None:
            rest(connection)
    return talk


def silence(connection):
    while connection.recv(65536):
        pass


# ---- what should happen ----

def test_a_paused_guest_is_resumed_and_the_monitor_is_left_at_once(qemu, until):
    monitor = qemu(status="paused")
    assert qmp.resume_if_paused(monitor.path, ENOUGH) == "paused"
    assert monitor.commands == ["qmp_capabilities", "query-status", "cont"]
    # The monitor serves one connection at a time: the second is only greeted because the first was closed.
    assert qmp.resume_if_paused(monitor.path, ENOUGH) == "running"
    assert monitor.commands[3:] == ["qmp_capabilities", "query-status"]


@pytest.mark.parametrize("status", OTHER_STATES)
def test_a_guest_in_any_other_state_is_left_in_it(qemu, status):
    monitor = qemu(status=status)
    assert qmp.resume_if_paused(monitor.path, ENOUGH) == status
    assert monitor.commands == ["qmp_capabilities", "query-status"]
    assert monitor.status == status


def test_an_answer_in_pieces_and_events_in_the_same_packet(qemu):
    def talk(connection):
        for byte in GREETING:
            connection.sendall(bytes([byte]))
        connection.recv(65536)
        connection.sendall(b'{"event": "A"}\n{"event": "B", "data": {"return": 1}}\n{"return": {}}\n{"event": "C"}\n')
        connection.recv(65536)
        connection.sendall(b'{"event": "STOP"}\n{"return": {"status": "io-error", "running": false}}\n')
    assert qmp.resume_if_paused(qemu(talk=talk).path, ENOUGH) == "io-error"


def test_a_line_of_half_a_megabyte_is_an_answer(qemu):
    event = json.dumps({"event": "X", "data": "y" * 500_000}).encode() + b"\n"
    talk = scripted(GREETING, event + b'{"return": {}}\n', b'{"return": {"status": "running"}}\n')
    assert qmp.resume_if_paused(qemu(talk=talk).path, ENOUGH) == "running"


# ---- what may go wrong ----

@pytest.mark.parametrize("answers", [
    [b""],
    [b"\n"],
    [b'{"QMP": {}}'],
    [b'{"QMP"'],
    [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    [b"[]\n"],
    [b"null\n"],
    [b'"QMP"\n'],
    [b"\xff\xfe\x00\n"],
    [b'{"return": {}}\n'],
    [b'{"event": "STOP"}\n'],
    [GREETING],
    [GREETING, b""],
    [GREETING, b'{"error": {"class": "GenericError", "desc": "no"}}\n'],
    [GREETING, b'{"return": {}}\n', b'{"error": {"class": "GenericError", "desc": "no"}}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": {}}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": null}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": "paused"}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": {"status": null}}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": {"status": ["paused"]}}\n'],
    [GREETING, b'{"return": {}}\n', b"garbage\n"],
    [GREETING, b'{"return": {}}\n', b'{"return": {"status": "paused"}}\n', b'{"error": {"desc": "Resetting is required"}}\n'],
    [GREETING, b'{"return": {}}\n', b'{"return": {"status": "paused"}}\n', b""],
])
def test_a_monitor_that_breaks_off_or_makes_no_sense(qemu, answers):
    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(qemu(talk=scripted(*answers)).path, ENOUGH)
    assert not isinstance(caught.value, MonitorSilent)
    assert str(caught.value)


def test_the_monitor_is_left_at_once_also_after_an_error(qemu, until):
    """A restarting libvirtd needs the only connection; the error that is still being looked at must not hold it."""
    left = []

    def talk(connection):
        connection.sendall(b"junk\n")
        left.append(connection.recv(65536))

    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(qemu(talk=talk).path, ENOUGH)
    until(lambda: left == [b""], "the end of the connection")
    assert caught.value.__traceback__ is not None  # with its frames, and with them the monitor


def test_a_line_without_end(qemu):
    def talk(connection):
        while True:
            connection.sendall(b"x" * 65536)
    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(qemu(talk=talk).path, ENOUGH)
    assert "without end" in str(caught.value)


def test_json_nested_without_end(qemu):
    with pytest.raises(MonitorError):
        qmp.resume_if_paused(qemu(talk=scripted(b"[" * 200_000 + b"\n")).path, ENOUGH)


def test_events_without_end_do_not_hold_it_up_for_ever(qemu):
    def talk(connection):
        connection.sendall(GREETING)
        while True:
            connection.sendall(b'{"event": "X"}\n' * 100)
    began = time.monotonic()
    with pytest.raises(MonitorError):
        qmp.resume_if_paused(qemu(talk=talk).path, SHORT)
    assert time.monotonic() - began < ENOUGH


def test_a_monitor_that_says_nothing_is_silent(qemu):
    with pytest.raises(MonitorSilent):
        qmp.resume_if_paused(qemu(talk=silence).path, SHORT)


def test_a_monitor_that_is_held_stays_silent_however_often_it_is_tried(tmp_path):
    """A hung libvirtd: no connection is accepted. The connections that we gave up fill the queue (QEMU's has room for very few)."""
    path = str(tmp_path / "m.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        for _number in range(4):
            with pytest.raises(MonitorSilent):
                qmp.resume_if_paused(path, SHORT)


def test_a_monitor_that_greeted_is_not_held_by_libvirt_however_slow_it_is(qemu):
    """MonitorSilent gets libvirtd killed: it must mean that libvirtd holds the monitor, not that QEMU is slow."""
    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(qemu(talk=scripted(GREETING, rest=silence)).path, SHORT)
    assert not isinstance(caught.value, MonitorSilent)


def test_the_time_is_for_the_whole_conversation(qemu):
    """A monitor that says a little now and then is given up all the same."""
    def talk(connection):
        connection.sendall(GREETING)
        connection.settimeout(0.02)
        while True:
            try:
                if not connection.recv(65536):
                    return
            except TimeoutError:
                connection.sendall(b" ")
    began = time.monotonic()
    with pytest.raises(MonitorError):
        qmp.resume_if_paused(qemu(talk=talk).path, SHORT)
    assert time.monotonic() - began < ENOUGH


@pytest.mark.parametrize("name", ["nothing", "x" * 300, "file", ""])
def test_a_path_that_is_no_monitor(tmp_path, name):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / name) if name else ""
    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(path, ENOUGH)
    assert not isinstance(caught.value, MonitorSilent)
    assert "cannot be reached" in str(caught.value)


def test_a_socket_that_nobody_listens_on(tmp_path):
    path = str(tmp_path / "m.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    with pytest.raises(MonitorError) as caught:
        qmp.resume_if_paused(path, ENOUGH)
    assert not isinstance(caught.value, MonitorSilent)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(junk=st.lists(st.binary(max_size=40) | st.sampled_from([b'{"return": {}}', b'{"event": 1}', b'{"error": 1}']), max_size=5))
def test_whatever_it_says_it_is_a_status_or_a_monitor_error(tmp_path_factory, junk):
    """The other side has sent all it has to say and closed its end before the first question comes."""
    path = str(tmp_path_factory.mktemp("qmp") / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        monitor = qmp._Monitor(path, ENOUGH)
        try:
            connection, _peer = listener.accept()
            with connection:
                connection.sendall(GREETING + b"\n".join(junk) + b"\n")
                connection.shutdown(socket.SHUT_WR)
                assert "QMP" in monitor.message()
                try:
                    for command in ("qmp_capabilities", "query-status", "cont"):
                        monitor.execute(command)
                except MonitorError:
                    pass
        finally:
            monitor.close()
