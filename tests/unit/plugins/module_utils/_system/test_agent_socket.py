# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/agent_socket: conversations with an agent on a real socket. What comes from a guest is not to be trusted, and may never come."""
from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.check import check_clock
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import agent_socket
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.agent_socket import AgentSocket

STALE = b'{"return": 1234}\n{"error": {"class": "GenericError", "desc": "Invalid JSON syntax"}}\n{"ret'
#: Seconds for an answer where none comes; a test waits for that long.
SHORT = 0.3


def guest(agent, timeout=30.0):
    found = AgentSocket("g1", "u1", agent.path if hasattr(agent, "path") else str(agent))
    found._timeout = timeout
    return found


def refused(one, words):
    with pytest.raises(MaintenanceError, match=words) as caught:
        one.clock()
    assert caught.value.code == "agent" and "'g1'" in str(caught.value)


# ---- an agent as it should be ----

@pytest.mark.parametrize("options", [{}, {"before": STALE}, {"before": b"\n\n[]\n5\nnull\n" + b"\xff" * 3}, {"pause": 0.0005}], ids=["plain", "stale", "odd", "slow"])
def test_a_clock_is_read_whatever_is_still_in_the_channel(agent, options):
    one = agent(ahead=-30.0, **options)
    before = time.time()
    said = guest(one).clock()
    assert before - 30.0 - 1e-3 <= said <= time.time() - 30.0 + 1e-3
    assert one.asked == ["guest-get-time"]


def test_each_question_is_a_conversation_of_its_own(agent):
    """A libvirtd that comes back must not wait behind us."""
    one = agent()
    asked = guest(one)
    asked.clock()
    assert asked.system() == {"id": "debian", "kernel-release": "6.12"}
    asked.set_clock(time.time() + 3600)
    assert one.ahead == pytest.approx(3600, abs=5)
    with socket.socket(socket.AF_UNIX) as somebody:
        somebody.settimeout(30.0)
        somebody.connect(one.path)
        somebody.sendall(b'\xff{"execute": "guest-sync-delimited", "arguments": {"id": 7}}\n')
        assert somebody.recv(1) == b"\xff"
    assert one.connections == 4


def test_the_whole_check_goes_through_it(agent):
    one = agent(ahead=-30.0)
    found = check_clock(guest(one), target=0.0, tolerance=1.0, samples=3, correct=True, agent_timeout=30, check_mode=False)
    assert (found["verdict"], found["changed"], "error" in found) == ("in_sync", True, False)
    assert one.ahead == pytest.approx(0.0, abs=1.0)
    assert one.asked.count("guest-set-time") == 1


def test_it_counts_as_running(agent):
    asked = guest(agent())
    assert asked.state() == State("running", "unpaused")
    asked.set_agent_timeout(7)
    asked.reset_agent_timeout()
    assert asked._timeout == 7.0


# ---- answers that are none ----

@pytest.mark.parametrize("said", [
    {"return": "soon"}, {"return": None}, {"return": True}, {"return": 1.5}, {"return": []}, {"return": {}}, {}, {"return": -1}, {"return": 1 << 64},
    b"[]\n", b"\n", b"5\n", b"null\n", b'"text"\n', b'{"return": ' + b"9" * 400 + b"}\n",
], ids=lambda said: str(said)[:30])
def test_something_that_is_no_time(agent, said):
    refused(guest(agent(answers={"guest-get-time": said})), "answered something that is no time|does not answer on its own socket")


@pytest.mark.parametrize(("said", "words"), [
    ({"error": {"class": "CommandNotFound", "desc": "The command guest-get-time has been disabled"}}, r"refused guest-get-time \(The command .* disabled\)"),
    ({"error": {}}, r"refused guest-get-time \(None\)"), ({"error": "no"}, r"refused guest-get-time \(None\)"), ({"error": None}, r"refused guest-get-time"),
    ({"error": {"desc": "no"}, "return": 5}, "refused"),
    (b"junk\n", "does not answer on its own socket"), (b"{\n", "does not answer"), (b"[" * 60_000 + b"\n", "does not answer"),
    (b"\xfe\xfe\n", "does not answer"), (b"a" * (agent_socket._LONGEST + 100), "an answer without an end"),
], ids=lambda value: str(value)[:30])
def test_errors_and_rubbish(agent, said, words):
    refused(guest(agent(answers={"guest-get-time": said})), words)


def test_an_agent_that_may_not_set_the_clock(agent):
    with pytest.raises(MaintenanceError, match=r"refused guest-set-time \(not allowed\)"):
        guest(agent(answers={"guest-set-time": {"error": {"desc": "not allowed"}}})).set_clock(1.0)


@pytest.mark.parametrize("said", [{"return": []}, {"return": None}, {}, b"[]\n"], ids=str)
def test_a_system_that_is_none(agent, said):
    assert guest(agent(answers={"guest-get-osinfo": said})).system() == {}


# ---- no answer ----

def closes(connection):
    connection.recv(10)


def chatters(connection):
    while True:
        connection.sendall(b'{"return": 1}\n' * 100)


def one_line_without_end(connection):
    while True:
        connection.sendall(b"a" * 4096)


def another_conversation(connection):
    connection.recv(65536)
    connection.sendall(b'\xff{"return": 7}\n')
    connection.recv(65536)


def silent(connection):
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(("talk", "words"), [
    (closes, "the channel was closed|reset|Broken pipe"), (one_line_without_end, "without an end|no answer in time|timed out"), (chatters, "no answer in time|timed out"),
    (another_conversation, "no answer in time|timed out"), (silent, "no answer in time|timed out"),
])
def test_an_agent_that_gives_no_answer(agent, talk, words):
    began = time.monotonic()
    refused(guest(agent(talk=talk), SHORT), words)
    assert time.monotonic() - began < 30.0


def test_byte_by_byte_does_not_stretch_the_time(agent):
    """Each byte comes in time, the answer does not."""
    one = agent(pause=SHORT / 3)
    began = time.monotonic()
    refused(guest(one, SHORT), "no answer in time|timed out")
    assert time.monotonic() - began < 50 * SHORT / 3  # the answer alone has more bytes than that
    assert one.asked == []


def test_somebody_else_who_holds_the_channel(agent):
    """libvirtd is back: QEMU serves it, and us only afterwards. Nothing but the question who we are may be left in the channel."""
    one = agent()
    with socket.socket(socket.AF_UNIX) as libvirtd:
        libvirtd.connect(one.path)
        refused(guest(one, SHORT), "no answer in time|timed out")
        with pytest.raises(MaintenanceError):
            guest(one, SHORT).set_clock(5.0)
    assert "guest-set-time" not in one.asked and abs(one.ahead) < 1.0


@pytest.mark.parametrize("path", ["/nowhere/agent.sock", "", "a" * 200, "a\0b"])
def test_no_socket(path):
    refused(guest(path), "does not answer on its own socket")


def test_a_file_that_is_no_socket(tmp_path):
    (tmp_path / "file").touch()
    refused(guest(tmp_path / "file"), "does not answer on its own socket")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(before=st.binary(max_size=60), said=st.binary(max_size=60) | st.integers().map(lambda number: json.dumps({"return": number}).encode()))
def test_whatever_comes_it_is_a_time_or_an_error(agent, before, said):
    one = agent(path=None, before=before.replace(b"\xff", b"") + b"\n", answers={"guest-get-time": said + b"\n"})
    try:
        assert 0 <= guest(one, 5.0).clock() < 2e10
    except MaintenanceError as error:
        assert error.code == "agent"
    finally:
        one.close()


def test_a_line_that_is_cut_in_the_middle_of_a_word(agent):
    """What an earlier conversation left half read is dropped with the delimiter, also when it ends without a line's end."""
    assert guest(agent(before=b'{"return": {"x": "')).clock() > 1.5e9
