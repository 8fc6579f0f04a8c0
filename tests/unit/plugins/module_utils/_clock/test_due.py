# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/due: the clocks of a record's guests, as the windows and the saved guests hand them over."""
from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import due
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.due import DueClocks
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether

PATIENT = 60.0


@pytest.fixture
def resumed(make_entry):
    def make(number, outcome="resumed", by="module", **over):
        now = time.monotonic()
        entry = make_entry(name=f"g{number}", uuid=f"u{number}", paused_at=now - 5.0, **{"agent": "/a", **over})
        entry.settle(outcome, "it runs", by, now)
        return entry
    return make


def guest(number, **over):
    return {"name": f"g{number}", "uuid": f"u{number}", "state": 1, "ahead": -5.0, **over}


def test_whoever_runs_again_is_looked_at_at_once_and_written_down_later(libvirt, resumed, make_window):
    library = libvirt(guest(0), guest(1, ahead=0.0))
    window = make_window(resumed(0), resumed(1))
    clocks, written = DueClocks(window), []
    clocks.runs_again(window.guests[0], window.guests[0].resumed_at)
    assert window.guests[0].clock is None  # the entry is the settler's until it is asked for
    assert clocks.settle(window, PATIENT, written.append) is True
    assert [entry.clock["verdict"] for entry in window.guests] == ["in_sync", "in_sync"] and written == [window]
    assert [entry.clock["changed"] for entry in window.guests] == [True, False] and window.clocks_due == []
    assert library.guests["u0"]["set"] == 1 and "set" not in library.guests["u1"]
    assert clocks.settle(window, PATIENT, lambda _window: pytest.fail("it was written again")) is False


def test_the_wishes_of_the_record_count(libvirt, resumed, make_window):
    library = libvirt(guest(0), guest(1))
    entries = [resumed(0, clock_target=3600.0), resumed(1)]
    window = make_window(*entries, clock_tolerance=10.0)
    assert DueClocks(window).settle(window, PATIENT, lambda _window: None) is True
    assert round(library.guests["u0"]["ahead"]) == 3600 and "set" not in library.guests["u1"]
    measured = make_window(resumed(1), correct_clocks=False)
    assert DueClocks(measured).settle(measured, PATIENT, lambda _window: None) is False
    assert measured.guests[0].clock["verdict"] == "out_of_sync" and "set" not in library.guests["u1"]


@pytest.mark.parametrize(("entry", "due_now"), [
    ({"outcome": "resumed", "by": "guard"}, True), ({"outcome": "running", "by": "owner"}, True),
    # It ran whenever it was looked at, and nobody saw its suspend return: it was never stopped by us.
    ({"outcome": "running", "by": None}, False),
    ({"outcome": "gone", "by": None}, False), ({"outcome": "not_ours", "by": None}, False),
])
def test_only_clocks_that_stood_still_by_us_are_touched(libvirt, resumed, make_window, entry, due_now):
    """Found in review: a guest that libvirt refused to pause, and whose owner keeps its clock off on purpose, was set right by the guard."""
    library = libvirt(guest(0, ahead=-7200.0))
    window = make_window(resumed(0, **entry))
    assert [one.uuid for one in window.clocks_due] == (["u0"] if due_now else [])
    assert DueClocks(window).settle(window, PATIENT, lambda _window: None) is due_now
    assert ("set" in library.guests["u0"]) is due_now


def test_nothing_due_writes_nothing(make_window, make_entry):
    window = make_window(make_entry())
    assert DueClocks(window).settle(window, 0.0, lambda _window: pytest.fail("it was written")) is False


def test_a_clock_that_nobody_can_tell_anything_of_is_done_with(libvirt, resumed, make_window):
    libvirt(guest(0, agent=False))
    window = make_window(resumed(0, agent=""))
    assert DueClocks(window).settle(window, PATIENT, lambda _window: None) is False
    assert window.guests[0].clock["error"]["code"] == "no_agent" and window.clocks_due == []


def test_a_ledger_that_cannot_be_written_is_the_callers_to_tell(libvirt, resumed, make_window):
    libvirt(guest(0))
    window = make_window(resumed(0))

    def refuse(_window):
        raise RuntimeError("full")
    with pytest.raises(RuntimeError):
        DueClocks(window).settle(window, PATIENT, refuse)


def test_many_threads_hand_over_at_once(libvirt, resumed, make_window):
    """The settler's calls come back in threads of their own."""
    libvirt(*[guest(number) for number in range(32)])
    window = make_window(*[resumed(number) for number in range(32)])
    clocks = DueClocks(window)
    threads = [threading.Thread(target=clocks.runs_again, args=(entry, entry.resumed_at)) for entry in window.guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT)
    assert clocks.settle(window, PATIENT, lambda _window: None) is True
    assert all(entry.clock["verdict"] == "in_sync" for entry in window.guests)


def saved(**over):
    one = SavedGuest("g0", "u0", 7, 4242, 99, False, "managed", "", [], "", False, "settled", time.time() - 100, time.time() - 1, "restored", "it is back")
    for key, value in over.items():
        setattr(one, key, value)
    return SavedTogether("s", "qemu:///system", "reboot", "b", "root", 4000, 98, "2026-11-23T08:00:00Z", 900.0, [one])


def test_saved_guests_too(libvirt):
    library = libvirt(guest(0))
    record = saved()
    assert DueClocks(record).settle(record, PATIENT, lambda _record: None) is True
    found = record.guests[0].clock
    assert found["verdict"] == "in_sync" and 1.0 <= found["set_after"] < PATIENT and library.guests["u0"]["set"] == 1


def test_a_saved_guest_that_nobody_saw_come_back_counts_from_now(libvirt):
    libvirt(guest(0))
    record = saved(outcome="untouched", ended_at=None)
    DueClocks(record).settle(record, PATIENT, lambda _record: None)
    assert record.guests[0].clock["set_after"] < PATIENT


@pytest.mark.parametrize("over", [{"paused": True}, {"began_at": None}, {"outcome": "gone"}, {"outcome": "not_ours"}, {"clock": {}}])
def test_saved_guests_whose_clock_is_not_ours(over):
    assert saved(**over).clocks_due == []


def test_how_long_clocks_are_waited_for(libvirt, resumed, make_window):
    libvirt(guest(0, hang=("clock",)))
    window = make_window(resumed(0))
    DueClocks(window).settle(window, 0.05, lambda _window: None)
    assert window.guests[0].clock["error"]["code"] == "no_answer" and due.PATIENCE > 0
