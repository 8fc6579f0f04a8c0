# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saving_guard: when it steps in, and when it ends."""
from __future__ import annotations

import signal
import time
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _identity, _saving_guard
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._ledger import SavingLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saving_document import SavedGuest, Saving


@pytest.fixture
def make_refresh(start):
    """A refresh by a program that sleeps."""
    def make(began_at=None, **over):
        program = start(["sleep", "1000"])
        identity = _identity.process_identity(program.pid)
        move = SavedGuest("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "copy", "/nowhere/1.save", [], "", False, "moving", began_at)
        refresh = Saving("r", "qemu:///system", "refresh", _identity.boot_id(), "root", identity.pid, identity.start_time, "2026-11-23T08:00:00Z", 30.0, [move])
        for key, value in over.items():
            setattr(refresh, key, value)
        return program, refresh
    return make


@pytest.fixture
def guard(where, monkeypatch):
    monkeypatch.setattr(_saving_guard, "FOLLOW", 0.01)
    monkeypatch.setattr(_saving_guard, "places", lambda _uri: where)
    said = []
    found = _saving_guard.SavingGuard("qemu:///system", "r", said.append)
    found.said, found.finished = said, []
    monkeypatch.setattr(found, "_finish", lambda: found.finished.append(time.monotonic()) or True)
    return found


@pytest.mark.parametrize(("phase", "ago", "stuck"), [
    ("moving", 0.0, False), ("moving", 119.0, False), ("moving", 121.0, True), ("settled", 1e6, False), ("planned", 1e6, False),
])
def test_stuck(make_refresh, phase, ago, stuck):
    _program, refresh = make_refresh(began_at=1e6 - ago)
    refresh.guests[0].phase = phase
    assert _saving_guard.is_stuck(refresh, 1e6) is stuck


def test_it_does_nothing_when_the_refresh_is_over(where, guard, make_refresh):
    _program, refresh = make_refresh(closed_at="2026-11-23T08:00:30Z")
    SavingLedger(where).write(refresh)
    assert guard.follow(lambda: pytest.fail("it watches")) == 0
    assert guard.finished == []


def test_it_steps_in_when_the_program_has_died(where, guard, make_refresh):
    program, refresh = make_refresh()
    SavingLedger(where).write(refresh)

    def die():
        program.kill()
        program.wait()
    assert guard.follow(die) == 0
    assert len(guard.finished) == 1 and "has died" in guard.said[-1]


def test_it_ends_a_program_that_hangs(where, guard, make_refresh):
    program, refresh = make_refresh(began_at=time.monotonic() - 1000)
    SavingLedger(where).write(refresh)
    reaped = []
    # A killed program is only gone once it is reaped, which is its parent's part: here that is this test.
    assert guard.follow(lambda: reaped.append(1)) == 0
    assert program.wait(30) == -signal.SIGKILL
    assert len(guard.finished) == 1


@pytest.fixture
def saved(where, make_refresh):
    """A guest that is saved for a reboot, by a program that has ended, as it has to."""
    program, saving = make_refresh(technique="reboot", pause_limit=0.2)
    program.kill()
    program.wait()
    saving.guests[0].phase, saving.guests[0].memory, saving.guests[0].image = "saved", "managed", ""
    SavingLedger(where).write(saving)
    return saving


def test_it_waits_for_the_reboot_and_then_brings_the_guests_back(saved, guard, monkeypatch):
    monkeypatch.setattr(_saving_guard._host_power, "goes_down", lambda: False)
    began = time.monotonic()
    assert guard.follow(lambda: None) == 0
    assert guard.finished[0] - began >= saved.pause_limit
    assert "the reboot for which guests were saved has not come" in guard.said[-1]


def test_it_brings_nobody_back_on_a_host_that_goes_down(saved, guard, monkeypatch):
    looks = []
    # The third look is of a host that stays up after all.
    monkeypatch.setattr(_saving_guard._host_power, "goes_down", lambda: looks.append(guard.finished[:]) or len(looks) < 3)
    assert guard.follow(lambda: None) == 0
    assert looks == [[], [], []] and len(guard.finished) == 1


def test_it_does_not_wait_for_a_reboot_when_the_saving_was_cut_short(where, saved, guard):
    saved.guests[0].phase, saved.pause_limit = "moving", 900.0
    SavingLedger(where).write(saved)
    assert guard.follow(lambda: None) == 0
    assert "has died" in guard.said[-1]


class Libvirt:
    """What the guard asks of libvirt before a reboot."""

    def __init__(self, *names):
        self.names = names

    def running(self):
        return [types.SimpleNamespace(name=name) for name in self.names]


@pytest.fixture
def host(monkeypatch):
    """A host that takes note of being told to reboot."""
    found = types.SimpleNamespace(told=[], answer="", runs=())

    def told():
        found.told.append(1)
        return found.answer
    monkeypatch.setattr(_saving_guard._host_power, "reboot", told)
    monkeypatch.setattr(_saving_guard, "Connection", lambda _uri: Libvirt(*found.runs))
    return found


def test_it_reboots_the_host_of_saved_guests(where, saved, guard, host):
    assert guard.reboot() == 0
    assert host.told == [1]
    assert SavingLedger(where).read().rebooting_at == pytest.approx(time.time(), abs=60)


def test_it_does_not_reboot_under_a_guest(where, saved, guard, host):
    host.runs = ("web", "db")
    assert guard.reboot() == 1
    assert host.told == [] and guard.said[-1].endswith("lose their memory: web, db")


@pytest.mark.parametrize("change", [{"closed_at": "2026-11-23T08:10:00Z"}, {"boot_id": "another"}, {"id": "another"}])
def test_it_does_not_reboot_when_the_guests_are_not_saved_any_more(where, saved, guard, host, change):
    for key, value in change.items():
        setattr(saved, key, value)
    SavingLedger(where).write(saved)
    assert guard.reboot() == 1
    assert host.told == [] and "not saved for a reboot" in guard.said[-1]


def test_a_host_that_cannot_be_rebooted_is_not_taken_for_one_that_goes_down(where, saved, guard, host):
    host.answer = "systemctl ended with 1: Access denied"
    assert guard.reboot() == 1
    assert SavingLedger(where).read().rebooting_at is None and "Access denied" in guard.said[-1]


def test_a_recovery_by_hand_gives_up_in_time(guard, monkeypatch):
    monkeypatch.setattr(_saving_guard, "AGAIN", 0.01)
    monkeypatch.setattr(guard, "_finish", lambda: False)
    assert guard.recover(0.05) == 1
    assert "not every guest is back" in guard.said[-1]
