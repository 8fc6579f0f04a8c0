# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/states: which guests may be paused, and which may be resumed."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import states
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, Sighting, State

OURS = "5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"
RUNNING = State("running", "booted")

ALL_STATES = st.builds(State.of, st.integers(-2, 12), st.integers(-2, 30)) | st.builds(State, st.text(max_size=9), st.text(max_size=9))
TOKENS = st.sampled_from([None, "", OURS, OURS.upper(), OURS + " ", "another"]) | st.text(max_size=40)
SIGHTINGS = st.builds(Sighting, same_process=st.booleans(), state=st.none() | ALL_STATES, token=TOKENS)
FACTS = st.builds(
    GuestFacts, state=ALL_STATES, job=st.none() | st.sampled_from(["migration", "save", "unknown"]),
    block_jobs=st.lists(st.sampled_from(["vda", "sdb"]), max_size=2).map(tuple), fake_reboot=st.booleans(), opted_out=st.booleans(),
    status_known=st.booleans(),
)


# ---- numbers to words ----

@pytest.mark.parametrize(("numbers", "expected", "executes"), [
    ((1, 1), State("running", "booted"), True),
    ((1, 5), State("running", "unpaused"), True),
    ((1, 10), State("running", "postcopy"), True),
    ((2, 0), State("blocked", "unknown"), True),
    ((3, 0), State("paused", "unknown"), False),
    ((3, 1), State("paused", "user"), False),
    ((3, 2), State("paused", "migration"), False),
    ((3, 5), State("paused", "ioerror"), False),
    ((3, 10), State("paused", "crashed"), False),
    ((3, 11), State("paused", "starting-up"), False),
    ((4, 1), State("shutdown", "user"), False),
    ((5, 1), State("shutoff", "shutdown"), False),
    ((5, 5), State("shutoff", "saved"), False),
    ((5, 99), State("shutoff", "reason-99"), False),
    ((6, 1), State("crashed", "panicked"), False),
    ((7, 0), State("pmsuspended", "unknown"), False),
    ((0, 0), State("nostate", "unknown"), False),
    ((99, 1), State("unknown", "unknown"), False),
])
def test_state_of(numbers, expected, executes):
    state = State.of(*numbers)
    assert state == expected
    assert state.executes is executes
    assert state.as_dict() == {"state": expected.state, "reason": expected.reason}


def test_libvirts_numbers_have_no_gap_and_no_double():
    for words in (states.STATES, *states.REASONS.values()):
        assert sorted(words) == list(range(len(words)))
        assert len(set(words.values())) == len(words)


@given(st.integers(), st.integers())
def test_any_numbers_make_words(state, reason):
    found = State.of(state, reason)
    assert found.state in {*states.STATES.values(), "unknown"}
    assert isinstance(found.reason, str) and found.reason


# ---- pausing ----

@pytest.mark.parametrize(("facts", "codes"), [
    (GuestFacts(RUNNING), []),
    (GuestFacts(State("blocked", "unknown")), []),
    (GuestFacts(State("paused", "user")), ["not_running"]),
    (GuestFacts(State("paused", "ioerror")), ["not_running"]),
    (GuestFacts(State("pmsuspended", "unknown")), ["not_running"]),
    (GuestFacts(State("shutdown", "unknown")), ["not_running"]),
    (GuestFacts(State("unknown", "unknown")), ["not_running"]),
    (GuestFacts(State("paused", "migration"), job="migration", fake_reboot=True, status_known=False), ["not_running"]),
    (GuestFacts(State("running", "postcopy")), ["migration"]),
    (GuestFacts(State("running", "postcopy-failed")), ["migration"]),
    (GuestFacts(RUNNING, job="migration"), ["job"]),
    (GuestFacts(RUNNING, job="unknown"), ["job"]),
    (GuestFacts(RUNNING, block_jobs=("vda",)), ["block_job"]),
    (GuestFacts(RUNNING, fake_reboot=True), ["fake_reboot"]),
    (GuestFacts(RUNNING, status_known=False), ["status_unknown"]),
    (GuestFacts(RUNNING, opted_out=True), ["opted_out"]),
    (GuestFacts(RUNNING, job="migration", fake_reboot=True, opted_out=True), ["opted_out"]),
    (GuestFacts(State("paused", "user"), opted_out=True), ["not_running"]),
    (
        GuestFacts(State("running", "postcopy"), job="migration", block_jobs=("vda", "vdb"), fake_reboot=True, status_known=False),
        ["migration", "job", "block_job", "fake_reboot", "status_unknown"],
    ),
])
def test_pause_blockers(facts, codes):
    assert [blocker.code for blocker in states.pause_blockers(facts)] == codes


def test_the_blockers_name_what_blocks():
    found = states.pause_blockers(GuestFacts(RUNNING, "save", ("vda", "sdb")))
    assert [blocker.as_dict()["code"] for blocker in found] == ["job", "block_job"]
    assert "a save job" in found[0].message
    assert "vda, sdb" in found[1].message


@given(FACTS)
def test_only_a_running_guest_that_nothing_works_on_may_be_paused(facts):
    free = (
        facts.state.executes and not facts.state.reason.startswith("postcopy") and facts.job is None and not facts.block_jobs
        and not facts.fake_reboot and not facts.opted_out and facts.status_known
    )
    found = states.pause_blockers(facts)
    assert free is not bool(found)
    assert all(blocker.code and blocker.message for blocker in found)
    # What is left alone is left alone for one reason, and nothing else about it matters.
    assert len(found) == 1 or not {blocker.code for blocker in found} & set(states.LEAVE_ALONE)


# ---- resuming ----

@pytest.mark.parametrize(("sighting", "expected"), [
    (Sighting(True, State("paused", "user"), OURS), "resume"),
    (Sighting(True, State("paused", "unknown"), OURS), "resume"),
    (Sighting(True, State("paused", "user"), None), "not_ours"),
    (Sighting(True, State("paused", "user"), "another"), "not_ours"),
    (Sighting(True, State("paused", "user"), ""), "not_ours"),
    (Sighting(False, State("paused", "user"), OURS), "not_ours"),
    (Sighting(False, State("running", "booted"), None), "not_ours"),
    (Sighting(True, State("running", "unpaused"), OURS), "running"),
    (Sighting(True, State("running", "unpaused"), None), "running"),
    (Sighting(True, State("blocked", "unknown"), None), "running"),
    (Sighting(True, None, None), "gone"),
    (Sighting(False, None, OURS), "gone"),
    (Sighting(False, State("shutoff", "unknown"), None), "gone"),
    (Sighting(True, State("crashed", "unknown"), OURS), "gone"),
    (Sighting(True, State("nostate", "unknown"), OURS), "gone"),
    (Sighting(True, State("pmsuspended", "unknown"), OURS), "not_ours"),
    (Sighting(True, State("shutdown", "unknown"), OURS), "not_ours"),
    (Sighting(True, State("unknown", "unknown"), OURS), "not_ours"),
] + [
    (Sighting(True, State("paused", reason), OURS), "not_ours")
    for reason in states.REASONS["paused"].values() if reason not in ("user", "unknown")
])
def test_resume_verdict(sighting, expected):
    verdict, why = states.resume_verdict(OURS, sighting)
    assert verdict == expected
    assert why


@given(SIGHTINGS)
def test_what_is_resumed_is_ours(sighting):
    verdict, _why = states.resume_verdict(OURS, sighting)
    assert verdict in ("resume", "running", "gone", "not_ours")
    if verdict == "resume":
        assert sighting.same_process
        assert sighting.state is not None and sighting.state.state == "paused" and sighting.state.reason in ("user", "unknown")
        assert sighting.token == OURS


@given(SIGHTINGS)
def test_a_guest_that_executes_is_never_resumed_and_one_of_another_process_never_said_to_run(sighting):
    verdict, _why = states.resume_verdict(OURS, sighting)
    assert (verdict == "running") == (sighting.same_process and sighting.state is not None and sighting.state.executes)


def test_a_reason_that_only_a_newer_libvirt_knows_is_not_ours():
    newer = max(states.REASONS["paused"]) + 1
    verdict, _why = states.resume_verdict(OURS, Sighting(True, State.of(3, newer), OURS))
    assert verdict == "not_ours"
