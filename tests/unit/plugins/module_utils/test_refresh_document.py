# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_refresh_document: what is written is read back, and nothing else is believed."""
from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._errors import LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._ledger import Ledger, RefreshLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._refresh_document import Move, Refresh, from_document, to_document


def refresh():
    moves = [
        Move("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "copy", "/dev/shm/vm_preserving/1.save", [], "", "moving", 10.0),
        Move(
            "g2", "22222222-2222-4222-8222-222222222222", 8, 4243, 98, True, "in_place", "/dev/shm/vm_preserving/2.save", ["pc.ram"],
            "/dev/shm/vm_preserving/2",
        ),
    ]
    return Refresh("r", "qemu:///system", "b", "root", 4000, 98, "2026-11-23T08:00:00Z", 30.0, moves)


def document():
    return json.loads(json.dumps(to_document(refresh())))


def test_it_comes_back_as_it_was(where):
    RefreshLedger(where).write(refresh())
    assert RefreshLedger(where).read() == refresh()
    assert Ledger(where).read() is None  # a file of its own


def test_a_settled_move_has_its_pause():
    move = refresh().guests[0]
    assert move.paused_for is None
    move.settle("refreshed", "it is back", 11.5)
    assert (move.settled, move.paused_for) == (True, 1.5)


@pytest.mark.parametrize(("path", "value"), [
    (("version",), 2), (("version",), True), (("refresh", "guests", 0, "image"), "relative"), (("refresh", "guests", 1, "kept"), ""),
    (("refresh", "guests", 1, "ram"), ["../x"]), (("refresh", "guests", 1, "ram"), [".."]), (("refresh", "guests", 1, "ram"), [1]),
    (("refresh", "guests", 0, "phase"), "saved"), (("refresh", "guests", 0, "memory"), "none"),
    (("refresh", "guests", 0, "pid"), 1), (("refresh", "guests", 0, "paused"), 1), (("refresh", "guests", 0, "pid"), True),
    (("refresh", "pause_limit"), 0), (("refresh", "pause_limit"), 1e9), (("refresh", "guests"), {}), (("refresh", "uri"), "qemu+ssh://x/system"),
    (("refresh", "id"), "a\0b"), (("refresh", "guests", 0, "uuid"), "../../x"),
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
    for found in (value, {"version": 1, "refresh": value}, {**document(), "refresh": {**document()["refresh"], "guests": [value]}}):
        with pytest.raises(LedgerError):
            from_document(copy.deepcopy(found))
