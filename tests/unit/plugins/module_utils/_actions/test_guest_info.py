# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_info: what a guest's XML and its agent say; neither is to be trusted."""
from __future__ import annotations

import base64
import json
import threading
import types
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_info
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_info import (
    agent_state, availability_set, parse_boot_id, parse_system,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.policy import NAMESPACE
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

from ..stuck_libvirt import libvirtError

BOOT_ID = "0f8b3c4e-52d1-4c6b-9a53-0d1e2f3a4b5c"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["return", "buf-b64", "id"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["return", "buf-b64", "id", "x"]), inner, max_size=3), max_leaves=8,
)


def channel(name, state=None):
    attribute = "" if state is None else f" state='{state}'"
    return f"<channel type='unix'><target type='virtio' name='{name}'{attribute}/></channel>"


@pytest.mark.parametrize(("devices", "expected"), [
    ("", "absent"),
    (channel("org.qemu.guest_agent.0", "connected"), "connected"),
    (channel("org.qemu.guest_agent.0", "disconnected"), "disconnected"),
    (channel("org.qemu.guest_agent.0"), "disconnected"),
    (channel("org.qemu.guest_agent.0", ""), "disconnected"),
    (channel("org.qemu.guest_agent.0", "Connected"), "disconnected"),
    (channel("com.redhat.spice.0", "connected"), "absent"),
    (channel("com.redhat.spice.0", "disconnected") + channel("org.qemu.guest_agent.0", "connected"), "connected"),
    ("<channel type='unix'/>", "absent"),
    ("<channel type='unix'><target type='virtio'/></channel>", "absent"),
    ("<console><target name='org.qemu.guest_agent.0' state='connected'/></console>", "absent"),
])
def test_agent_state(devices, expected):
    assert agent_state(ET.fromstring(f"<domain><devices>{devices}</devices></domain>")) == expected


def test_a_guest_without_devices_or_with_forged_metadata_has_no_agent():
    assert agent_state(ET.fromstring("<domain/>")) == "absent"
    forged = channel("org.qemu.guest_agent.0", "connected")
    assert agent_state(ET.fromstring(f"<domain><metadata><devices>{forged}</devices></metadata></domain>")) == "absent"


@pytest.mark.parametrize(("metadata", "expected"), [
    ("", None),
    (f"<policy xmlns='{NAMESPACE}' availability_set='web'/>", "web"),
    (f"<p:policy xmlns:p='{NAMESPACE}' pause='never'/>", None),
    (f"<policy xmlns='{NAMESPACE}' availability_set=''/>", None),
    ("<policy availability_set='web'/>", None),
])
def test_the_availability_set_is_what_its_own_metadata_names(metadata, expected):
    assert availability_set(ET.fromstring(f"<domain><metadata>{metadata}</metadata></domain>")) == expected


def answer(content):
    return json.dumps({"return": {"count": len(content), "buf-b64": base64.b64encode(content).decode("ascii"), "eof": True}})


@given(st.uuids().map(str))
def test_a_boot_id_is_read(boot_id):
    assert parse_boot_id(answer(boot_id.encode() + b"\n")) == boot_id
    assert parse_boot_id(answer(boot_id.encode())) == boot_id


@pytest.mark.parametrize("text", [
    "", "null", "[]", "5", "{}", '{"return": {}}', '{"return": null}', '{"return": []}', '{"return": {"buf-b64": null}}', '{"return": {"buf-b64": 5}}',
    '{"return": {"buf-b64": {}}}', '{"return": {"buf-b64": "*"}}', '{"return": {"buf-b64": "\u00e4"}}', '{"return": {"buf-b64": "YQ"}}',
    '{"error": {"class": "GenericError"}}', answer(b""), answer(b"\xff" * 36), answer(b"0" * 36), answer(BOOT_ID.upper().encode()),
    answer(BOOT_ID.encode() * 2), answer(BOOT_ID.encode()[:-1]), answer(BOOT_ID.encode() + b"\n" + BOOT_ID.encode()),
    answer(BOOT_ID.encode() + b"\0"), answer(BOOT_ID.encode())[:-1], "9" * 10_000,
    answer(BOOT_ID.encode()).replace('"buf-b64": "', '"buf-b64": "*'),
])
def test_what_is_no_boot_id(text):
    assert parse_boot_id(text) is None


def test_json_nested_without_end_is_no_boot_id():
    assert parse_boot_id("[" * 200_000) is None


@given(st.text() | JSON.map(json.dumps) | st.binary(max_size=60).map(answer))
def test_whatever_the_agent_says_it_is_a_boot_id_or_nothing(text):
    found = parse_boot_id(text)
    assert found is None or len(found) == 36


# ---- the operating system ----

@pytest.mark.parametrize(("text", "expected"), [
    ('{"return": {"id": "mswindows", "name": "Microsoft Windows"}}', "mswindows"),
    ('{"return": {"id": "opensuse-leap"}}', "opensuse-leap"),
    ('{"return": {"kernel-release": "6.12"}}', None), ('{"return": {"id": ""}}', None), ('{"return": {"id": "MSWindows"}}', None),
    ('{"return": {"id": "a b"}}', None), ('{"return": {"id": "debian\\n"}}', None), ('{"return": {"id": "' + "a" * 65 + '"}}', None),
    ('{"return": {"id": 5}}', None), ('{"return": {"id": null}}', None), ('{"return": "id"}', None), ('{"return": null}', None), ('{"error": {}}', None),
    ("[]", None), ("", None), ("[" * 200_000, None),
])
def test_the_operating_system_is_what_the_agent_calls_it(text, expected):
    assert parse_system(text) == expected


@given(st.text() | JSON.map(json.dumps))
def test_whatever_the_agent_says_it_is_a_short_word_or_nothing(text):
    found = parse_system(text)
    assert found is None or 0 < len(found) <= 64


# ---- many agents, some of which hang ----

class Agents:
    """Guests whose agents answer, say nothing until their time-out, or never let the call come back.

    :ivar asked: Name and time-out of each question, in order.
    :ivar lanes: Connections on which these guests are found.
    """

    def __init__(self, count, silent=(), stuck=(), second=1.0):
        self.asked, self._lock, self.over = [], threading.Lock(), threading.Event()
        self.candidates = [types.SimpleNamespace(guest=self.Guest(self, number, number in silent, number in stuck, second), facts=GuestFacts(
            State("running", "booted"),
        )) for number in range(count)]
        self.records = [
            {"name": one.guest.name, "uuid": one.guest.name, "state": "running", "agent": "connected", "os": None, "boot_id": None} for one in self.candidates
        ]
        self.lanes = object.__new__(hypervisor.Lanes)
        self.lanes.guests = {one.guest.name: one.guest for one in self.candidates}
        self.lanes._count = 3
        self.lanes._lane = {name: number % 3 for number, name in enumerate(self.lanes.guests)}

    class Guest:
        """One of them. Its seconds are shorter."""

        def __init__(self, agents, number, silent, stuck, second):
            self.name, self._agents, self._silent, self._stuck, self._second = f"g{number}", agents, silent, stuck, second
            self._patience = self.resets = 0

        def set_agent_timeout(self, seconds):
            self._patience = seconds

        def reset_agent_timeout(self):
            self._patience, self.resets = 0, self.resets + 1

        def agent_command(self, command, timeout):
            with self._agents._lock:
                self._agents.asked.append((self.name, timeout))
            # libvirt calls an agent that owes an answer for this long first, 5 seconds if nobody has said.
            assert self._patience == timeout
            if self._stuck:
                self._agents.over.wait()
            if self._silent:
                self._agents.over.wait(timeout * self._second)
                raise libvirtError(86, "Guest agent is not responding")
            execute = json.loads(command)["execute"]
            return {"guest-get-osinfo": '{"return": {"id": "debian"}}', "guest-file-open": '{"return": 1000}', "guest-file-close": '{"return": {}}'}.get(
                execute, answer(BOOT_ID.encode()),
            )

    def of(self, name):
        return [timeout for other, timeout in self.asked if other == name]


@pytest.fixture
def agents(libvirt):
    libvirt()
    made = []

    def make(*arguments, **options):
        made.append(Agents(*arguments, **options))
        return made[-1]
    yield make
    for one in made:
        one.over.set()


def known(agents):
    return [(record["os"], record["boot_id"]) == ("debian", BOOT_ID) for record in agents.records]


def test_500_guests_of_which_50_say_nothing_take_seconds(agents):
    """Not the module's own time-out for all: who says nothing is asked one question with little patience, and once more, last."""
    silent = set(range(0, 500, 10))
    found = agents(500, silent, second=0.01)
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 5)
    assert known(found) == [number not in silent for number in range(500)]
    assert len(found.asked) == 450 * 4 + 50 * 2
    assert all(found.of(f"g{number}") == [1, 5] for number in silent) and found.of("g1") == [1] * 4
    # The agent's time-out in libvirt is left as it is without us.
    assert all(one.guest.resets == (2 if number in silent else 1) for number, one in enumerate(found.candidates))
    # Nobody with an answer waits for the patient round.
    first_patient = next(position for position, (_name, timeout) in enumerate(found.asked) if timeout == 5)
    assert {timeout for _name, timeout in found.asked[first_patient:]} == {5}


def test_an_agent_that_is_only_slow_gets_its_time(agents):
    found = agents(3, {1})
    guest = found.candidates[1].guest
    original = guest.agent_command

    def slow(command, timeout):
        guest._silent, guest._second = timeout < 5, 0.0
        return original(command, timeout)
    guest.agent_command = slow
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 5)
    assert known(found) == [True] * 3


def test_little_patience_is_asked_for_once(agents):
    found = agents(2, {0}, second=0.01)
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 1)
    assert known(found) == [False, True] and found.of("g0") == [1]


def test_calls_that_never_come_back_keep_nobody(agents, monkeypatch):
    """Fewer than are asked at once: libvirt's own time-out of the agent ends them as a rule."""
    monkeypatch.setattr(guest_info, "TIMEOUT", 2.0)
    monkeypatch.setattr(guest_info, "PATIENT_ROUNDS", 0.01)
    found = agents(40, stuck=set(range(5)))
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 5)
    assert known(found) == [number >= 5 for number in range(40)]


@pytest.mark.parametrize(("change", "state"), [
    ({"agent": "disconnected"}, "running"), ({"agent": "absent"}, "running"), ({}, "paused"),
])
def test_who_cannot_answer_is_not_asked(agents, change, state):
    found = agents(2)
    found.records[0].update(change)
    found.candidates[0].facts = GuestFacts(State(state, "user") if state == "paused" else State("running", "booted"))
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 5)
    assert known(found) == [False, True] and found.of("g0") == []


def test_a_guest_that_could_not_be_looked_at_is_not_asked(agents):
    found = agents(1)
    del found.records[0]["agent"]
    guest_info._ask_agents(found.lanes, found.candidates, found.records, 5)
    assert found.asked == []


def test_who_answered_before_is_asked_until_it_answers_again(agents, monkeypatch):
    monkeypatch.setattr(guest_info.time, "sleep", lambda seconds: None)
    found = agents(2, {0}, second=0.0)
    guest = found.candidates[0].guest
    original = guest.agent_command

    def back(command, timeout):
        guest._silent = len(found.of("g0")) < 3
        return original(command, timeout)
    guest.agent_command = back
    guest_info._await_agents(found.lanes, found.records, ["g0"], 5)
    assert known(found) == [True, False] and found.of("g1") == []
