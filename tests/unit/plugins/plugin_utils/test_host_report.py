# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_report: what happened on one host, and what of it is a problem."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.guest_verdict import memory_verdict
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_decision import host_decision
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report

LIMIT = 30.0


def info(number=1, **over):
    """A guest as guest_info returns it."""
    known = {
        "name": f"g{number}", "uuid": f"u{number}", "id": number, "state": "running", "reason": "booted",
        "process": {"pid": 100 + number, "start_time": 5}, "boot_id": f"b{number}",
    }
    return {**known, **over}


def resumed(number=1, **over):
    """A guest as guest_resume and preserved_command return it."""
    return {
        "name": f"g{number}", "uuid": f"u{number}", "outcome": "resumed", "paused_for": 2.5, "resumed_by": "module", "changed": True, **over,
    }


def clock(number=1, before=-2.5, after=0.0, verdict="in_sync"):
    return {
        "uuid": f"u{number}", "before": {"offset": before, "bound": 0.001}, "after": {"offset": after, "bound": 0.001}, "verdict": verdict,
    }


def result(*guests, **more):
    return {"guests": list(guests), **more}


def window(*guests):
    return result(*guests, window={"id": "w", "pause_limit": LIMIT})


def report(before, paused, after, **more):
    return host_report("h1", "rack1", before=result(*before), window=window(*paused), after=result(*after), **more)


# ---- memory ----

@pytest.mark.parametrize(("before", "after", "expected"), [
    (info(), info(), "kept"),
    (info(), info(state="paused", reason="ioerror"), "kept"),
    (info(boot_id=None), info(), "same_process"),
    (info(), info(boot_id=None), "same_process"),
    (info(boot_id=None), info(boot_id=None), "same_process"),
    (info(), info(boot_id="other"), "lost"),
    (info(), info(id=9), "lost"),
    (info(), info(process={"pid": 101, "start_time": 6}), "lost"),
    (info(), info(process={"pid": 999, "start_time": 5}), "lost"),
    (info(boot_id=None), info(process=None, boot_id=None), "unknown"),
    (info(process=None), info(process=None), "unknown"),
    (info(), None, "lost"),
    (None, info(), "lost"),
    (None, None, "lost"),
])
def test_memory_verdict(before, after, expected):
    assert memory_verdict(before, after) == expected


MOVED = {"id": 9, "process": {"pid": 999, "start_time": 77}}


@pytest.mark.parametrize(("before", "after", "expected"), [
    (info(), info(**MOVED), "kept"),
    (info(), info(boot_id="other", **MOVED), "lost"),
    (info(boot_id=None), info(**MOVED), "restored"),
    (info(), info(boot_id=None, **MOVED), "restored"),
    (info(), None, "lost"),
    (info(), info(process=None, id=9), "unknown"),
])
def test_memory_verdict_of_a_guest_that_was_moved(before, after, expected):
    assert memory_verdict(before, after, restored=True) == expected


@pytest.mark.parametrize(("before", "after", "problems", "notes"), [
    (info(), info(**MOVED), 0, 0),
    (info(state="paused", reason="user"), info(state="paused", reason="migration", **MOVED), 0, 0),
    (info(), info(state="paused", reason="user", **MOVED), 0, 1),
    (info(), info(state="paused", reason="ioerror", **MOVED), 1, 0),
    (info(), info(boot_id="other", **MOVED), 1, 0),
    (info(), info(process=None, id=9), 1, 0),
])
def test_the_report_of_a_guest_that_was_moved(before, after, problems, notes):
    moved = {"name": "g1", "uuid": "u1", "outcome": "restored", "paused_for": 1.5}
    found = host_report("h1", "rack1", before=result(before), after=result(after), refresh=result(moved, pause_limit=LIMIT))
    assert (len(found["problems"]), len(found["notes"])) == (problems, notes)
    assert (found["pause_limit"], found["guests"][0]["paused_for"], found["guests"][0]["restored"]) == (LIMIT, 1.5, True)


# ---- whose affair it is ----

OTHER_PROCESS = {"id": 7, "process": {"pid": 999, "start_time": 77}}


@pytest.mark.parametrize(("before", "paused", "after", "problems", "notes"), [
    ([info()], [resumed()], [info()], [], []),
    ([info()], [resumed(paused_for=LIMIT)], [info()], [], []),
    ([info()], [resumed(paused_for=None, outcome="running")], [info()], [], []),
    ([info()], [], [info()], [], []),
    ([info(state="paused", reason="user")], [], [info(state="paused", reason="user")], [], []),
    ([info()], [resumed(paused_for=30.1)], [info()], ["paused for 30.1 s (pause), the limit is 30 s"], []),
    # In our hands: a problem, whoever did it, and the sentence says who.
    ([info()], [resumed(outcome="gone", paused_for=None)], [], ["'g1' has ended while it was paused by us, and its memory is lost: why is not known"], []),
    ([info()], [resumed(outcome="not_ours", message="its QEMU is not the process that we paused")], [info(**OTHER_PROCESS)],
     ["'g1' was not ours any more when it should have been resumed: its QEMU is not the process that we paused"], []),
    ([info()], [resumed(outcome="not_ours", message="it is paused by ioerror, not by us")], [info(state="paused", reason="ioerror")],
     ["by ioerror, not by us"], []),
    # Given back: its owner's affair.
    ([info()], [resumed()], [info(boot_id="other")], [], ["'g1', which was given back, was rebooted or reset"]),
    ([info()], [resumed()], [info(**OTHER_PROCESS)], [], ["'g1', which was given back, was ended and started anew"]),
    ([info()], [resumed()], [], [], ["'g1', which was given back, runs no more: it was ended"]),
    ([info()], [resumed()], [info(state="paused", reason="user")], [], ["'g1', which was given back, is now paused (user)"]),
    ([info()], [resumed(outcome="running", resumed_by="owner")], [info(boot_id="other")], [], ["was rebooted or reset"]),
    # Never ours: the same.
    ([info()], [], [], [], ["'g1', which was not ours, runs no more: it was ended"]),
    ([info()], [], [info(boot_id="other")], [], ["'g1', which was not ours, was rebooted or reset"]),
    ([info()], [], [info(**OTHER_PROCESS)], [], ["'g1', which was not ours, was ended and started anew"]),
    ([info()], [], [info(state="paused", reason="user")], [], ["'g1', which was not ours, is now paused (user)"]),
    ([info(state="paused", reason="user")], [], [info()], [], ["'g1', which was not ours, is now running (booted)"]),
    ([info()], [resumed(outcome="not_ours", was_paused=False)], [info(state="paused", reason="user")], [], ["which was not ours, is now paused (user)"]),
    ([info()], [resumed(outcome="gone", was_paused=False)], [], [], ["which was not ours, runs no more"]),
    # What no owner does is a problem, whosever it is.
    ([info()], [], [info(state="paused", reason="ioerror")], ["'g1', which was not ours, is now paused (ioerror); look at it"], []),
    ([info()], [resumed()], [info(state="paused", reason="watchdog")], ["'g1', which was given back, is now paused (watchdog)"], []),
    ([info()], [resumed()], [info(state="crashed", reason="panicked")], ["'g1', which was given back, has crashed"], []),
    ([info()], [], [info(process=None)], ["libvirt gave no answer about guest 'g1'"], []),
    ([info(process=None)], [], [info(process=None)], [], ["libvirt gave no answer about guest 'g1'"]),  # so it was before
    ([info(), info(2)], [resumed(outcome="gone"), resumed(2, paused_for=99.0)], [info(2, id=7)], ["'g1' has ended", "'g2' was paused for 99.0 s"], ["'g2'"]),
])
def test_what_became_of_a_guest(before, paused, after, problems, notes):
    found = report(before, paused, after)
    for got, expected in ((found["problems"], problems), (found["notes"], notes)):
        assert len(got) == len(expected), got
        assert all(words in sentence for sentence, words in zip(got, expected)), got
    assert all(sentence in found["summary"] for sentence in found["notes"])


@pytest.mark.parametrize(("paused", "reason", "problem", "words"), [
    ([], "shutdown", False, "which was not ours, runs no more: it was shut down"),
    ([], "destroyed", False, "which was not ours, runs no more: it was destroyed"),
    ([], "migrated", False, "which was not ours, runs no more: it was migrated to another host"),
    ([], "unknown", False, "which was not ours, runs no more: it was ended"),
    ([], "crashed", True, "which was not ours, has ended, and not by its owner: its QEMU crashed"),
    ([], "daemon", True, "has ended, and not by its owner: libvirt ended it when it was started anew itself"),
    ([resumed()], "shutdown", False, "which was given back, runs no more: it was shut down"),
    ([resumed()], "crashed", True, "which was given back, has ended, and not by its owner: its QEMU crashed"),
    ([resumed(outcome="gone")], "destroyed", True, "left while it was paused by us, by its owner's act: it was destroyed"),
    ([resumed(outcome="gone")], "migrated", True, "left while it was paused by us, by its owner's act: it was migrated to another host"),
    ([resumed(outcome="gone")], "crashed", True, "has ended while it was paused by us, and its memory is lost: its QEMU crashed"),
])
def test_libvirt_may_know_how_a_guest_ended(paused, reason, problem, words):
    after = {"guests": [], "inactive": [{"name": "g1", "uuid": "u1", "state": "shutoff", "reason": reason}]}
    found = host_report("h1", "rack1", before=result(info()), window=window(*paused), after=after)
    assert (len(found["problems"]), len(found["notes"])) == ((1, 0) if problem else (0, 1))
    assert words in (found["problems"] + found["notes"])[0]


def test_a_guest_that_could_not_be_looked_at_is_not_said_to_have_been_restarted():
    """guest_info's record of a guest that libvirt did not answer for has no process: that proves nothing either way."""
    unknown = {key: value for key, value in info().items() if key not in ("process", "boot_id")}
    found = report([info()], [resumed()], [{**unknown, "error": {"code": "no_answer", "message": "no answer in time"}}])
    assert found["problems"]  # it is not proved either
    assert not any("started anew" in problem for problem in found["problems"])


# ---- the report ----

def test_a_guest_of_the_report():
    found = report(
        [info()], [resumed()], [info()], clocks_before=result(clock(before=0.25, after=0.5)), clocks_after=result(clock()),
        pending=[{"name": "qemu-system-x86", "installed": "1", "candidate": "2"}],
    )
    assert found["guests"] == [{
        "name": "g1", "uuid": "u1", "state_before": "running", "state": "running", "reason": "booted", "paused": True, "paused_for": 2.5,
        "resumed_by": "module", "clock_before_pause": {"offset": 0.5, "bound": 0.001}, "clock_after_pause": {"offset": -2.5, "bound": 0.001},
        "clock_now": {"offset": 0.0, "bound": 0.001}, "clock_verdict": "in_sync", "restored": False,
        "clock_set_after": None, "pauses": [{"kind": "pause", "paused_for": 2.5, "limit": LIMIT, "resumed_by": "module"}], "memory": "kept",
        "stopped_for": None,
    }]
    assert (found["host"], found["update_domain"], found["updated"], found["pause_limit"]) == ("h1", "rack1", True, LIMIT)
    assert [change["name"] for change in found["pending"]] == ["qemu-system-x86"]
    assert found["summary"] == "updated; 1 guests paused for at most 2.5 s (limit 30 s); clocks: 1 in_sync"


# ---- clocks ----

def test_without_a_measurement_a_clock_is_unverified():
    found = report([info()], [resumed()], [info()])["guests"][0]
    assert (found["clock_verdict"], found["clock_before_pause"], found["clock_after_pause"], found["clock_now"]) == ("unverified", None, None, None)
    missed = {"uuid": "u1", "before": None, "after": None, "verdict": "unverified"}
    assert report([info()], [resumed()], [info()], clocks_before=result(missed), clocks_after=result(missed))["guests"][0]["clock_verdict"] == "unverified"


def test_of_a_clock_that_was_not_ours_nothing_is_claimed():
    found = report([info()], [], [info()], clocks_before=result(clock(verdict="out_of_sync", after=3600.0)))
    assert (found["guests"][0]["clock_verdict"], found["guests"][0]["clock_before_pause"]["offset"]) == (None, 3600.0)
    assert found["summary"] == "updated; no guest paused; clocks: none"


def test_whoever_resumed_a_guest_has_put_its_clock_right():
    record = {**clock(), "changed": True, "set_after": 0.4}
    found = report([info(), info(2)], [resumed(clock=record), resumed(2, clock={**record, "set_after": 0.7})], [info(), info(2)])
    assert [guest["clock_set_after"] for guest in found["guests"]] == [0.4, 0.7]
    first = found["guests"][0]
    assert (first["clock_verdict"], first["clock_after_pause"]["offset"], first["clock_now"]["offset"]) == ("in_sync", -2.5, 0.0)
    assert found["summary"].endswith("clocks: 2 in_sync, right at most 0.7 s after the resume")


def test_a_clock_that_was_measured_once_more_is_what_it_is_then():
    record = {**clock(after=-2.5, verdict="out_of_sync"), "changed": False, "set_after": None}
    found = report([info()], [resumed(clock=record)], [info()], clocks_after=result(clock(before=-2.4)))["guests"][0]
    assert (found["clock_verdict"], found["clock_after_pause"]["offset"], found["clock_now"]["offset"]) == ("in_sync", -2.5, 0.0)


# ---- all together ----

def test_the_summary_counts_verdicts_and_names_the_longest_pause():
    numbers = (1, 2, 3)
    found = report(
        [info(n) for n in numbers], [resumed(n, paused_for=float(n)) for n in numbers], [info(n) for n in numbers],
        clocks_after=result(clock(1), clock(2, verdict="out_of_sync")),
    )
    assert found["summary"] == "updated; 3 guests paused for at most 3.0 s (limit 30 s); clocks: 1 in_sync, 1 out_of_sync, 1 unverified"


def test_nothing_pending():
    found = host_report("h1", None)
    assert (found["updated"], found["guests"], found["problems"], found["update_domain"]) == (False, [], [], None)
    assert found["summary"] == "nothing was pending, nothing was paused"


def test_a_host_without_guests():
    found = host_report("h1", 2, before=result(), window={"window": None, "guests": []}, after=result())
    assert (found["updated"], found["update_domain"], found["guests"], found["problems"]) == (True, "2", [], [])
    assert found["summary"] == "updated; no guest paused; clocks: none"


def test_guests_that_were_skipped_are_not_called_paused():
    skipped = {"name": "g1", "uuid": "u1", "changed": False, "message": "left as it is"}
    found = report([info(state="paused", reason="user")], [skipped], [info(state="paused", reason="user")])
    assert found["guests"][0]["paused"] is False and found["problems"] == []


def test_a_guest_that_came_later_is_not_looked_for():
    assert [guest["name"] for guest in report([info()], [resumed()], [info(), info(2)])["guests"]] == ["g1"]


def test_nothing_of_what_is_given_is_changed():
    import copy
    arguments = {"before": result(info()), "window": window(resumed()), "after": result(info()), "clocks_after": result(clock())}
    kept = copy.deepcopy(arguments)
    host_report("h1", "rack1", **arguments)
    assert arguments == kept


def moved(number=1, **over):
    return {"name": f"g{number}", "uuid": f"u{number}", "outcome": "restored", **over}


def test_a_guest_that_was_paused_and_then_saved_has_two_limits():
    """The pause window was too long, the reboot was not: the one does not hide the other."""
    found = host_report(
        "h1", None, before=result(info()), window=window(resumed(paused_for=30.1)), after=result(info(**MOVED)),
        reboot=result(moved(paused_for=120.0), pause_limit=900.0),
    )
    assert found["problems"] == ["guest 'g1' was paused for 30.1 s (pause), the limit is 30 s"]
    assert found["summary"].startswith("updated; 1 guests paused for at most 120.0 s (limit 900 s): pause 30.1 s (limit 30 s), reboot 120.0 s (limit 900 s); ")


def test_a_guest_that_was_paused_for_long_and_then_moved_in_no_time():
    found = host_report(
        "h1", None, before=result(info(), info(2)), window=window(resumed(paused_for=26.0), resumed(2, paused_for=25.0, resumed_by="guard")),
        after=result(info(**MOVED), info(2)), refresh=result(moved(paused_for=0.65), moved(2, outcome=None, paused_for=None), pause_limit=LIMIT),
    )
    first, second = found["guests"]
    assert [(one["kind"], one["paused_for"]) for one in first["pauses"]] == [("pause", 26.0), ("refresh", 0.65)]
    assert (first["paused_for"], first["resumed_by"], first["restored"]) == (26.0, "module", True)
    assert (second["paused_for"], second["resumed_by"], second["restored"]) == (25.0, "guard", False)
    words = "updated; 2 guests paused for at most 26.0 s (limit 30 s): pause 26.0 s (limit 30 s), refresh 0.7 s (limit 30 s); clocks"
    assert found["summary"].startswith(words)


# ---- whether the update is done ----

def test_a_pause_that_was_forced_on_a_pending_qemu():
    """The operator's choice is kept, nothing is a problem, and what still runs old code is in the report."""
    qemu = {"name": "qemu-system-x86", "installed": "1", "candidate": "2", "technique": "refresh", "reason": "x", "guests": ["g1", "g2"], "in_pause": None}
    stale = {"guests": [], "processes": [], "kernel": {"running": "6", "newest": "6", "differs": False, "pinned": False}}
    guests = [{**info(number), "blockers": {"pause": []}} for number in (1, 2)]
    decided = host_decision("pause", {"pending": [qemu], "outside": ["*"], "restarts": [], "restarts_due": False, "stale": stale}, guests=guests)
    assert (decided["technique"], decided["pauses"], decided["refreshes"], decided["moved"]) == ("pause", True, False, [])
    after = {"pending": [], "restarts_due": False, "restarts": [], "not_installed": []}
    after |= {"stale": {**stale, "guests": [{"name": f"g{number}", "uuid": f"u{number}"} for number in (1, 2)]}}
    found = report(guests, [resumed(), resumed(2)], guests, pending=[qemu], decision=decided, update=after)
    words = "still on what was replaced, as the technique pause leaves them: guest g1, g2"
    assert (found["problems"], found["notes"]) == ([], [words]) and words in found["summary"]


def test_what_is_not_done_comes_before_what_became_of_guests():
    planned = [{"name": "p", "installed": "1", "candidate": "2"}]
    kernel = {"running": "6", "newest": "6", "differs": False}
    stale = {"guests": [], "processes": [], "kernel": kernel}
    pending = [*planned, {"name": "q", "installed": "1", "candidate": "2"}]
    update = {"pending": pending, "not_installed": [], "stale": stale, "restarts_due": False, "restarts": []}
    decision = {"technique": "pause", "refreshes": False, "reboots": False, "left_alone": []}
    found = report([info()], [resumed(outcome="gone")], [], pending=planned, decision=decision, update=update)
    assert len(found["problems"]) == 2 and "p still waits to be updated" in found["problems"][0]
    assert found["notes"] == ["published meanwhile, and for the next run: q 2"]
    assert found["pending"] == planned


def test_a_service_that_could_not_be_restarted_is_a_problem():
    restarts = [{"unit": "ovs.service", "action": "restart", "packages": ["ovs"], "in_pause": True}]
    decided = {"technique": "pause", "refreshes": False, "reboots": False, "left_alone": []}
    found = report([info()], [resumed()], [info()], decision=decided, applied={"restarts": restarts, "problems": ["'systemctl restart x' failed"]})
    assert found["problems"] == ["'systemctl restart x' failed"] and found["restarts"] == restarts


# ---- guests that were shut down ----

def stopped(outcome="started", **over):
    return {"name": "g1", "uuid": "u1", "outcome": outcome, "message": "", "forced": False, "away_for": 42.04, **over}


@pytest.mark.parametrize(("record", "note"), [
    (stopped(), "guest 'g1' was shut down for the update, and runs again after 42.0 s"),
    (stopped(forced=True), "guest 'g1' was ended by force for the update, and runs again after 42.0 s"),
    (stopped("running", away_for=None), "guest 'g1' was shut down for the update, and somebody else has started it again"),
])
def test_a_guest_that_was_shut_down_is_told_of_and_is_no_problem(record, note):
    before, after = [info(), info(2)], [info(boot_id="other", **OTHER_PROCESS), info(2)]
    found = report(before, [resumed(), resumed(2)], after, stopped=result(record))
    assert (found["problems"], found["notes"]) == ([], [note])
    assert note in found["summary"]
    assert [(one["memory"], one["stopped_for"]) for one in found["guests"]] == [("stopped", record["away_for"]), ("kept", None)]


def test_a_guest_that_was_asked_and_did_not_shut_down_has_to_be_what_it_was():
    found = report([info()], [resumed()], [info()], stopped=result(stopped(None, away_for=None)))
    assert (found["notes"], found["guests"][0]["memory"]) == ([], "kept")


def test_a_pause_that_was_too_long_stays_a_problem():
    assert report([info()], [resumed(paused_for=31.0)], [info(**OTHER_PROCESS)], stopped=result(stopped()))["problems"]
