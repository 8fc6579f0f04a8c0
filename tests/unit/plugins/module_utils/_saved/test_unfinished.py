# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/unfinished: what is reported of guests that an earlier run left saved, and when a run is refused."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LibvirtUnreachable, MaintenanceError, WindowBusy
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import unfinished
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether

URI = "qemu:///system"


def entry(number, **over):
    found = SavedGuest(
        f"g{number}", f"{number}1111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "managed", "", [], "", False, "saved", 100.0,
    )
    for key, value in over.items():
        setattr(found, key, value)
    return found


@pytest.fixture
def left(where):
    """Two guests that a reboot left saved, one of which its owner had paused."""
    guests = [entry(1), entry(2, paused=True, memory="copy", image="/var/lib/vm_preserving/system/saved/2.save")]
    saving = SavedTogether("s", URI, "reboot", "an-earlier-boot", "root from 10.0.0.1", 4000, 98, "2026-11-23T08:00:00Z", 900.0, guests)
    SavedLedger(where).write(saving)
    return saving


def passes(monkeypatch, *answers):
    """Passes over the guests that end so: an outcome for all, `None` for a libvirt that does not answer, a text for a guest that is not back."""
    rest = list(answers)

    def bring_back_all(_uri, ledger, saving, _by, say, _runs_again):
        answer = rest.pop(0) if len(rest) > 1 else rest[0]
        if answer is None:
            raise LibvirtUnreachable("libvirt is down")
        for one in saving.unsettled():
            if answer == "restored":
                one.settle("restored", "it is back", 130.0)
            else:
                one.message = answer
        if not saving.unsettled():
            saving.closed_at = "2026-11-23T08:05:00Z"
            ledger.write(saving)
        say("a line")
        return not saving.is_open
    monkeypatch.setattr(unfinished, "bring_back_all", bring_back_all)
    monkeypatch.setattr(unfinished, "BETWEEN", 0.001)


def test_a_host_where_nothing_was_ever_saved(where):
    assert unfinished.saved_summary(where) is None
    assert not unfinished.has_unfinished(where)
    unfinished.refuse_unfinished(where)
    assert unfinished.finish_saved(URI, where, False, 0.0) == ([], [])


def test_nobody_goes_on_while_guests_may_be_saved(where, left):
    assert unfinished.has_unfinished(where)
    with pytest.raises(WindowBusy, match=r"a reboot was started on this host at .*by root from 10\.0\.0\.1.*may be saved: g1, g2\. No guest was touched"):
        unfinished.refuse_unfinished(where)
    left.closed_at = "2026-11-23T08:05:00Z"
    SavedLedger(where).write(left)
    assert not unfinished.has_unfinished(where)
    unfinished.refuse_unfinished(where)


def test_the_summary_tells_of_each_guest(where, left):
    found = unfinished.saved_summary(where)
    assert (found["id"], found["technique"], found["open"]) == ("s", "reboot", True)
    assert [(one["name"], one["memory"], one["outcome"]) for one in found["guests"]] == [("g1", "managed", None), ("g2", "copy", None)]


def test_people_are_told_where_the_memory_is(left):
    assert unfinished.kept_in(left) == "/var/lib/vm_preserving/system/saved and libvirt's managed save"


def test_what_was_brought_back_is_as_it_was(where, left, monkeypatch):
    passes(monkeypatch, None, "restored")  # libvirt is just being started
    guests, log = unfinished.finish_saved(URI, where, False, 30.0)
    assert [(one["name"], one["after"]["state"], one["outcome"], one["paused_for"]) for one in guests] == [
        ("g1", "running", "resumed", 30.0), ("g2", "paused", "resumed", 30.0),
    ]
    assert log == ["libvirt is down", "a line"]


def test_check_mode_brings_nobody_back(where, left, monkeypatch):
    monkeypatch.setattr(unfinished, "bring_back_all", lambda *_args: pytest.fail("a guest was touched"))
    guests, _log = unfinished.finish_saved(URI, where, True, 30.0)
    assert [(one["changed"], one["after"]["state"]) for one in guests] == [(True, "running"), (True, "paused")]
    assert SavedLedger(where).read().is_open


@pytest.mark.parametrize(("answer", "words"), [
    ("no room on the disk", "guest 'g1': no room on the disk; guest 'g2': no room on the disk (a line). What they were is kept in /var/lib/vm_preserving"),
    (None, "guest 'g1': not looked at yet; guest 'g2': not looked at yet (libvirt is down). What they were"),
])
def test_it_gives_up_in_words(where, left, monkeypatch, answer, words):
    passes(monkeypatch, answer)
    with pytest.raises(MaintenanceError) as caught:
        unfinished.finish_saved(URI, where, False, 0.01)
    assert caught.value.code == "restore" and words in str(caught.value) and "the host goes on trying by itself" in str(caught.value)


@pytest.mark.parametrize(("outcome", "paused", "state"), [
    ("restored", False, "running"), ("restored", True, "paused"), ("untouched", False, "running"), ("untouched", True, "paused"),
    (None, False, "running"), ("gone", False, "unknown"), ("not_ours", True, "unknown"),
])
def test_the_state_after(outcome, paused, state):
    assert unfinished._after(entry(1, outcome=outcome, paused=paused))["state"] == state
