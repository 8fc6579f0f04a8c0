# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_clock and guest_info with the agents of Windows and Linux, as agent_conversations has them: no Windows can be run here."""
from __future__ import annotations

import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_info
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import check as clock_check
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import measurement
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

from ..agent_player import CONVERSATIONS, Conversation, Domain, Libvirt

BOOT_ID = "0f8b3c4e-52d1-4c6b-9a53-0d1e2f3a4b5c"
#: What as_dict and the float of a time cost. Seconds.
ROUNDED = 2e-6


@pytest.fixture
def play(monkeypatch):
    """Start a conversation. When the test is over, it has been gone through as it was recorded."""
    played = []

    def start(name):
        conversation = Conversation(name)
        played.append(conversation)
        monkeypatch.setattr(clock_check, "time", conversation)
        return hypervisor.Guest(Domain(conversation)), conversation

    monkeypatch.setattr(hypervisor, "libvirt", Libvirt)
    monkeypatch.setitem(sys.modules, "libvirt_qemu", Libvirt)
    yield start
    for conversation in played:
        assert not conversation.strange
        assert not conversation.left


def check(guest, **over):
    asked = {"target": 0.0, "tolerance": 0.1, "samples": 3, "correct": True, "agent_timeout": 5, "check_mode": False}
    return clock_check.check_clock(guest, **{**asked, **over})


def orders(name):
    return sum(request["execute"] == "guest-set-time" for request in Conversation(name).left)


def test_every_conversation_says_what_it_is_and_is_played():
    names = {path.stem for path in CONVERSATIONS.glob("*.jsonl")}
    assert names == {*CLOCKS, *FACTS, "windows-slow", "windows-refuses", "windows-refuses-2.12", "huge", "odd-answers"}
    for name in names:
        assert Conversation(name).truth["about"] and Conversation(name).truth["source"]


# ---- guest_clock ----

CLOCKS = {
    "windows-behind": measurement.WINDOWS_RESOLUTION,
    "windows-right": measurement.WINDOWS_RESOLUTION,
    "windows-no-osinfo": measurement.WINDOWS_RESOLUTION,
    "linux": measurement.POSIX_RESOLUTION,
    "linux-no-os-release": measurement.POSIX_RESOLUTION,
}


@pytest.mark.parametrize(("name", "resolution"), CLOCKS.items())
def test_a_clock_is_put_right_and_proved(play, name, resolution):
    guest, conversation = play(name)
    found = check(guest)
    assert found["verdict"] == "in_sync" and "error" not in found
    assert found["changed"] == (orders(name) > 0)
    for when in ("before", "after"):
        measured = found[when]
        assert abs(measured["offset"] - conversation.truth[f"ahead_{when}"]) <= measured["bound"] + ROUNDED
        assert resolution <= measured["bound"] + ROUNDED < resolution + 0.001


def test_a_windows_clock_that_is_right_is_not_called_wrong_for_being_coarse(play):
    """The best reading is more than a tick old; with the bound of a Linux guest that would prove the contrary."""
    guest, _conversation = play("windows-right")
    found = check(guest, tolerance=0.01, correct=False)
    assert (found["verdict"], found["error"]["code"]) == ("unverified", "bound")
    assert abs(found["before"]["offset"]) > 0.015625


def test_what_sets_the_clock_back_is_not_fought(play):
    """A correction that does not get nearer is not made again: it is reported, and the next run may find the guest's time service at rest."""
    guest, _conversation = play("windows-slow")
    found = check(guest)
    assert (found["verdict"], found["changed"], orders("windows-slow")) == ("out_of_sync", True, 1)


@pytest.mark.parametrize(("name", "words"), [
    ("windows-refuses", "A required privilege is not held by the client."),
    ("windows-refuses-2.12", "Failed to set time to guest: 1314"),
])
def test_an_agent_that_may_not_set_the_clock_is_quoted(play, name, words):
    guest, _conversation = play(name)
    found = check(guest)
    assert (found["verdict"], orders(name)) == ("out_of_sync", 1)
    assert found["error"]["code"] == "refused" and words in found["error"]["message"]


def test_a_clock_that_is_centuries_ahead_is_put_right(play):
    guest, conversation = play("huge")
    found = check(guest, samples=2)
    assert found["verdict"] == "in_sync"
    assert found["before"]["offset"] == pytest.approx(conversation.truth["ahead_before"], abs=0.1)


def test_what_is_no_time_is_no_measurement_and_nothing_is_set(play):
    guest, conversation = play("odd-answers")
    while conversation.left:
        found = check(guest)
        assert (found["verdict"], found["changed"], found["before"], found["error"]["code"]) == ("unverified", False, None, "agent")


def test_libvirt_waits_for_ever_again_afterwards(play):
    guest, _conversation = play("windows-behind")
    check(guest)
    assert guest._domain.timeouts == [5, Libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK]


# ---- guest_info ----

FACTS = {
    "info-windows": ("mswindows", None),
    "info-windows-no-osinfo": (None, None),
    "info-linux": ("debian", BOOT_ID),
    "info-linux-disabled": (None, BOOT_ID),
    "info-silent": (None, None),
}


@pytest.mark.parametrize(("name", "expected"), FACTS.items())
def test_what_a_guest_says_of_itself(play, name, expected):
    guest, _conversation = play(name)
    found = guest_info.agent_facts(guest, 5)
    assert (found["os"], found["boot_id"], found["silent"]) == (*expected, name == "info-silent")
