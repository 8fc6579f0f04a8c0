# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_report: what happened on one host, and what of it is a problem."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report, memory_verdict

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


@pytest.mark.parametrize(("before", "after", "fine"), [
    (info(), info(**MOVED), True),
    (info(state="paused", reason="user"), info(state="paused", reason="migration", **MOVED), True),
    (info(), info(state="paused", reason="user", **MOVED), False),
    (info(), info(boot_id="other", **MOVED), False),
])
def test_the_report_of_a_guest_that_was_moved(before, after, fine):
    moved = {"name": "g1", "uuid": "u1", "outcome": "restored", "paused_for": 1.5}
    found = host_report("h1", "rack1", before=result(before), after=result(after), restored=result(moved, pause_limit=LIMIT))
    assert (found["problems"] == []) is fine
    assert (found["pause_limit"], found["guests"][0]["paused_for"], found["guests"][0]["restored"]) == (LIMIT, 1.5, True)


# ---- problems ----

@pytest.mark.parametrize(("before", "paused", "after", "words"), [
    ([info()], [resumed()], [info()], []),
    ([info()], [resumed(paused_for=LIMIT)], [info()], []),
    ([info()], [resumed(paused_for=None, outcome="running")], [info()], []),
    ([info()], [], [info()], []),
    ([info(state="paused", reason="user")], [], [info(state="paused", reason="user")], []),
    ([info(state="paused", reason="ioerror")], [], [info()], []),
    ([info()], [resumed(paused_for=30.1)], [info()], ["paused for 30.1 s, the limit is 30 s"]),
    ([info()], [resumed()], [info(boot_id="other")], ["not the one that ran before"]),
    ([info()], [resumed()], [], ["not the one that ran before", "is now gone"]),
    ([info()], [resumed()], [info(state="paused", reason="user")], ["was paused by us and is now paused (user)"]),
    ([info()], [], [info(state="paused", reason="ioerror")], ["was not paused by us, and is now paused (ioerror)"]),
    ([info(), info(2)], [resumed(), resumed(2, paused_for=99.0)], [info(), info(2, id=7)], ["guest 'g2' is not", "guest 'g2' was paused for 99.0 s"]),
])
def test_problems(before, paused, after, words):
    found = report(before, paused, after)["problems"]
    assert len(found) == len(words)
    for problem, word in zip(found, words):
        assert word in problem


def test_a_guest_that_somebody_else_paused_was_not_paused_by_us():
    """Its owner stopped it between our look and our suspend: the window says not_ours (promise 2)."""
    paused = resumed(outcome="not_ours", paused_for=None, resumed_by=None)
    found = report([info()], [paused], [info(state="paused", reason="user")])
    assert found["guests"][0]["paused"] is False
    assert not any("was paused by us" in problem for problem in found["problems"])


def test_a_guest_that_could_not_be_looked_at_is_not_said_to_have_been_restarted():
    """guest_info's record of a guest that libvirt did not answer for has no process: that proves nothing either way."""
    unknown = {key: value for key, value in info().items() if key not in ("process", "boot_id")}
    found = report([info()], [resumed()], [{**unknown, "error": {"code": "no_answer", "message": "no answer in time"}}])
    assert found["problems"]  # it is not proved either
    assert not any("it was restarted" in problem for problem in found["problems"])


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
        "pauses": [{"paused_for": 2.5, "limit": LIMIT}], "memory": "kept",
    }]
    assert (found["host"], found["update_domain"], found["updated"], found["pause_limit"]) == ("h1", "rack1", True, LIMIT)
    assert [change["name"] for change in found["pending"]] == ["qemu-system-x86"]
    assert found["summary"] == "updated; 1 guests paused for at most 2.5 s (limit 30 s); clocks: 1 in_sync"


def test_without_a_measurement_a_clock_is_unverified():
    found = report([info()], [resumed()], [info()])["guests"][0]
    assert (found["clock_verdict"], found["clock_before_pause"], found["clock_after_pause"], found["clock_now"]) == ("unverified", None, None, None)
    missed = {"uuid": "u1", "before": None, "after": None, "verdict": "unverified"}
    assert report([info()], [resumed()], [info()], clocks_before=result(missed), clocks_after=result(missed))["guests"][0]["clock_verdict"] == "unverified"


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


def test_a_guest_that_was_paused_and_then_saved_has_two_limits():
    """The pause window was too long, the reboot was not: the one does not hide the other."""
    before, after, moved = info(), info(process={"pid": 2, "start_time": 2}), {"name": "g1", "uuid": "u1", "outcome": "restored", "paused_for": 120.0}
    found = host_report(
        "h1", None, before=result(before), window=window(resumed(paused_for=30.1)), after=result(after), restored=result(moved, pause_limit=900.0),
    )
    assert found["problems"] == ["guest 'g1' was paused for 30.1 s, the limit is 30 s"]
    assert found["summary"].startswith("updated; 1 guests paused for at most 120.0 s (limit 900 s)")
