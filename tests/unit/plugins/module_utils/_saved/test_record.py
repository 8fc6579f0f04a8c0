# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/record: what is written is read back, and nothing else is believed."""
from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.kept_qemu import KEPT
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether, from_document, to_document


def refresh():
    moves = [
        SavedGuest("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "copy", "/dev/shm/vm_preserving/1.save", [], "", False, "moving", 10.0),
        SavedGuest(
            "g2", "22222222-2222-4222-8222-222222222222", 8, 4243, 98, True, "in_place", "/dev/shm/vm_preserving/2.save", ["pc.ram"],
            "/dev/shm/vm_preserving/2",
        ),
    ]
    return SavedTogether("r", "qemu:///system", "refresh", "b", "root", 4000, 98, "2026-11-23T08:00:00Z", 30.0, moves)


def document():
    return json.loads(json.dumps(to_document(refresh())))


def test_it_comes_back_as_it_was(where):
    SavedLedger(where).write(refresh())
    assert SavedLedger(where).read() == refresh()
    assert Ledger(where).read() is None  # a file of its own


def test_the_way_back_comes_back_as_it_was(where):
    this = refresh()
    this.guests[0].way_back, this.guests[0].refused = f"{KEPT}/0abc/start/usr/bin/qemu-system-x86_64", "error while loading state"
    SavedLedger(where).write(this)
    assert SavedLedger(where).read() == this


def test_a_settled_move_has_its_pause():
    move = refresh().guests[0]
    assert move.paused_for is None
    move.settle("restored", "it is back", 11.5)
    assert (move.settled, move.paused_for) == (True, 1.5)


def reboot(*phases):
    """Guests saved for a reboot, in these phases."""
    entries = [
        SavedGuest(f"g{number}", f"{number}1111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "managed", "", [], "", True, phase, 10.0)
        for number, phase in enumerate(phases, 1)
    ]
    return SavedTogether("r", "qemu:///system", "reboot", "b", "root", 4000, 98, "2026-11-23T08:00:00Z", 900.0, entries, reboot_took=12.5)


def test_a_reboot_comes_back_as_it_was(where):
    SavedLedger(where).write(reboot("saved", "moving"))
    assert SavedLedger(where).read() == reboot("saved", "moving")


@pytest.mark.parametrize(("phases", "awaits"), [
    ([], True), (["saved"], True), (["saved", "saved"], True), (["planned", "saved"], False), (["moving", "saved"], False), (["settled", "saved"], False),
])
def test_it_awaits_the_reboot_once_all_are_saved(phases, awaits):
    assert reboot(*phases).awaits_reboot is awaits
    closed = reboot(*phases)
    closed.closed_at = "2026-11-23T08:10:00Z"
    assert not closed.awaits_reboot
    assert not refresh().awaits_reboot


@pytest.mark.parametrize("change", [
    {"technique": "refresh"},  # its images would not outlive the host's memory
    {"technique": "kexec"}, {"pause_limit": 7201.0}, {"reboot_took": "12"}, {"rebooting_at": True},
])
def test_a_reboot_is_not_believed_when_it_makes_no_sense(change):
    found = json.loads(json.dumps(to_document(reboot("saved"))))
    found["saved"].update(change)
    with pytest.raises(LedgerError):
        from_document(found)


@pytest.mark.parametrize(("path", "value"), [
    (("version",), 1), (("version",), True), (("saved", "guests", 0, "image"), "relative"), (("saved", "guests", 1, "kept"), ""),
    (("saved", "guests", 1, "ram"), ["../x"]), (("saved", "guests", 1, "ram"), [".."]), (("saved", "guests", 1, "ram"), [1]),
    (("saved", "guests", 0, "phase"), "saved"), (("saved", "guests", 0, "autostart"), 1),
    (("saved", "guests", 0, "memory"), "managed"), (("saved", "guests", 0, "memory"), "none"),
    (("saved", "guests", 0, "pid"), 1), (("saved", "guests", 0, "paused"), 1), (("saved", "guests", 0, "pid"), True),
    (("saved", "pause_limit"), 0), (("saved", "pause_limit"), 1e9), (("saved", "guests"), {}), (("saved", "uri"), "qemu+ssh://x/system"),
    (("saved", "id"), "a\0b"), (("saved", "guests", 0, "uuid"), "../../x"),
    (("saved", "guests", 0, "way_back"), "/bin/sh"), (("saved", "guests", 0, "way_back"), f"{KEPT}/abc/start/../../../../../../bin/sh"),
    (("saved", "guests", 0, "way_back"), None),
])
def test_nothing_else_is_believed(path, value):
    found = document()
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(LedgerError):
        from_document(found)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12))
def test_any_json_is_refused_in_words(value):
    for found in (value, {"version": 4, "saved": value}, {**document(), "saved": {**document()["saved"], "guests": [value]}}):
        with pytest.raises(LedgerError):
            from_document(copy.deepcopy(found))
