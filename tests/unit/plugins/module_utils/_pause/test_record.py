# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/record: what the ledger holds, and what it refuses."""
from __future__ import annotations

import copy
import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import record as pause_record
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.record import Entry, Window, from_document, to_document

SECONDS = st.floats(0, 1e9)
ENTRIES = st.builds(
    Entry, name=st.text(), uuid=st.uuids().map(str), id=st.integers(0, 2**31), pid=st.integers(2, 2**22), start_time=st.integers(0, 2**61),
    monitor=st.text(), state_before=st.text(max_size=9), reason_before=st.text(max_size=9), phase=st.sampled_from(["pausing", "paused", "settled"]),
    paused_at=st.none() | SECONDS, resumed_at=st.none() | SECONDS, resumed_by=st.none() | st.sampled_from(["module", "guard", "owner"]),
    outcome=st.none() | st.sampled_from(["resumed", "running", "gone", "not_ours"]), message=st.text(),
)
WINDOWS = st.builds(
    Window, id=st.uuids().map(str), uri=st.sampled_from(["qemu:///system", "qemu:///session"]), boot_id=st.uuids().map(str), opener=st.text(),
    opener_pid=st.integers(2, 2**22),
    opener_start_time=st.integers(0, 2**61), opened_at=st.text(), pause_limit=st.floats(1, 600), deadline=st.floats(0, 1e8),
    guests=st.lists(ENTRIES, max_size=3), closed_at=st.none() | st.text(), closed_by=st.none() | st.text(),
    paused_within=st.none() | SECONDS, resumed_within=st.none() | SECONDS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)


def document():
    entry = Entry("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, "/m.sock", "running", "booted", "paused", 10.0)
    window = Window("w", "qemu:///system", "b", "root", 4000, 98, "2026-11-23T08:00:00Z", 30.0, 40.0, [entry])
    return json.loads(json.dumps(to_document(window)))


def places_in(node, path=()):
    """The path of every value in a JSON document."""
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from places_in(child, (*path, key))


def replaced(node, path, value):
    if not path:
        return value
    node = copy.deepcopy(node)
    inner = node
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return node


# ---- round trip ----

@given(WINDOWS)
def test_a_window_comes_back_as_it_was(window):
    assert from_document(json.loads(json.dumps(to_document(window)))) == window


def test_the_document_has_a_version_and_names_every_field():
    found = document()
    assert found["version"] == 2
    assert set(found["window"]) == {field.name for field in dataclasses.fields(Window)}
    assert set(found["window"]["guests"][0]) == {field.name for field in dataclasses.fields(Entry)}


# ---- refusals ----

@given(JSON)
def test_arbitrary_json_is_refused_as_a_ledger_error(raw):
    with pytest.raises(LedgerError):
        from_document(raw)


@given(st.sampled_from(list(places_in(document()))), JSON)
def test_one_arbitrary_value_anywhere_is_taken_or_refused_as_a_ledger_error(path, value):
    damaged = replaced(document(), path, value)
    try:
        window = from_document(damaged)
    except LedgerError as error:
        assert error.code == "ledger" and str(error)
    else:
        assert to_document(window) == damaged  # NaN, which is not equal to itself, is refused


@given(st.sampled_from([path for path in places_in(document()) if path]))
def test_a_value_left_out_is_refused(path):
    damaged = copy.deepcopy(document())
    inner = damaged
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    if isinstance(inner, list):  # a window may have any number of guests
        assert from_document(damaged).guests == []
    else:
        with pytest.raises(LedgerError):
            from_document(damaged)


@pytest.mark.parametrize(("path", "value", "word"), [
    ((), [], "not a ledger"),
    ((), {"version": 2}, "not a ledger"),
    (("version",), 1, "version"),
    (("version",), 0, "version"),
    (("version",), True, "version"),
    (("version",), "1", "version"),
    (("window",), None, "not an object"),
    (("window", "more"), 1, "'more'"),
    (("window", "guests", 0, "more"), 1, "'more'"),
    (("window", "guests"), {}, "guests"),
    (("window", "guests", 0), None, "guest 1"),
    (("window", "id"), 5, "id"),
    (("window", "id"), None, "id"),
    (("window", "deadline"), "30", "deadline"),
    (("window", "deadline"), True, "deadline"),
    (("window", "deadline"), None, "deadline"),
    (("window", "opener_pid"), 5.0, "opener_pid"),
    (("window", "guests", 0, "pid"), True, "pid"),
    (("window", "guests", 0, "pid"), 5.5, "pid"),
    (("window", "guests", 0, "pid"), 0, "makes no sense"),
    (("window", "guests", 0, "pid"), 1, "makes no sense"),
    (("window", "guests", 0, "pid"), -7, "makes no sense"),
    (("window", "guests", 0, "phase"), "resumed", "makes no sense"),
    (("window", "guests", 0, "phase"), "", "makes no sense"),
])
def test_the_refusal_says_what_is_wrong(path, value, word):
    with pytest.raises(LedgerError) as caught:
        from_document(replaced(document(), path, value))
    assert word in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [
    ("deadline", math.nan), ("deadline", math.inf), ("deadline", 10**400), ("pause_limit", math.nan), ("pause_limit", math.inf),
    ("pause_limit", -1.0),
], ids=["deadline-nan", "deadline-inf", "deadline-huge", "limit-nan", "limit-inf", "limit-negative"])
def test_a_number_that_would_keep_the_guard_waiting_for_ever_is_refused(key, value):
    with pytest.raises(LedgerError):
        from_document(replaced(document(), ("window", key), value))


# ---- entries and windows ----

def test_a_window_is_open_until_it_is_closed_and_knows_who_is_left(make_entry, make_window):
    first, second, third = make_entry(name="a"), make_entry(name="b", phase="paused"), make_entry(name="c")
    window = make_window(first, second, third)
    assert window.is_open
    first.settle("gone", "it ended")
    assert [entry.name for entry in window.unsettled()] == ["b", "c"]
    window.closed_at = "2026-11-23T08:00:30Z"
    assert not window.is_open


def test_settling_an_entry(make_entry):
    entry = make_entry(phase="paused", paused_at=100.0)
    assert not entry.settled and entry.paused_for is None
    entry.settle("resumed", "resumed through libvirt", "guard", 112.5)
    assert entry.settled
    assert (entry.outcome, entry.message, entry.resumed_by, entry.paused_for) == ("resumed", "resumed through libvirt", "guard", 12.5)


def test_an_entry_that_was_never_paused_has_no_duration(make_entry):
    entry = make_entry()
    entry.settle("running", "it runs", at=5.0)
    assert entry.paused_for is None


def test_phases_of_the_documentation_are_those_that_are_read():
    for phase in pause_record.Phase.__args__:
        assert from_document(replaced(document(), ("window", "guests", 0, "phase"), phase)).guests[0].phase == phase


def test_what_an_earlier_release_has_closed_is_history():
    """The first run after an upgrade of the collection must not stop at the last pause before it."""
    old = {"version": 1, "window": {"id": "w", "closed_at": "2026-11-23T08:00:00Z", "whatever": ["it", "had"]}}
    assert from_document(old) is None
    for damaged in ({**old, "version": 3}, {**old, "window": {**old["window"], "closed_at": None}}, {**old, "window": []}):
        with pytest.raises(LedgerError, match="version"):
            from_document(damaged)
