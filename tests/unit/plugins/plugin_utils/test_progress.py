# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator sees while a run goes on, and the table at its end."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.progress_lines import Progress
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.progress_table import EACH, table
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story
from ansible_collections.vm_preserving.maintenance.tests.unit.plugins.plugin_utils.report_made import Run, fleet, interrupted, window_result
from ansible_collections.vm_preserving.maintenance.tests.unit.plugins.plugin_utils.test_report import HOSTILE, hostile_events


def shown(events):
    """The lines of a run that is told event by event."""
    progress = Progress()
    return [line for event in events for line in progress.lines([event])]


def texts(events):
    return [line.text for line in shown(events)]


def test_a_rollout():
    lines = texts(fleet(2, 1, 1))
    assert lines == [
        "domain 1/2 \u00b7 kvm0-0 \u00b7 plan \u00b7 pause, 1 packages, in the pause openvswitch-switch.service, 1 guests for at most 30.0 s",
        "domain 1/2 \u00b7 kvm0-0 \u00b7 packages applied \u00b7 guests run, 9.00 s",
        "domain 1/2 \u00b7 kvm0-0 \u00b7 resume \u00b7 paused 0.50 s of 30.0 s \u00b7 0 of 2 hosts",
        "domain 1/2 \u00b7 kvm0-0 \u00b7 done \u00b7 updated, 1 guests interrupted for at most 0.50 s, 1 clocks in_sync \u00b7 1 of 2 hosts",
        "domain 2/2 \u00b7 kvm1-0 \u00b7 plan \u00b7 pause, 1 packages, in the pause openvswitch-switch.service, 1 guests for at most 30.0 s",
        "domain 2/2 \u00b7 kvm1-0 \u00b7 packages applied \u00b7 guests run, 9.00 s",
        "domain 2/2 \u00b7 kvm1-0 \u00b7 resume \u00b7 paused 1.20 s of 30.0 s \u00b7 1 of 2 hosts \u00b7 about 10 s left",
        "domain 2/2 \u00b7 kvm1-0 \u00b7 done \u00b7 updated, 1 guests interrupted for at most 1.20 s, 1 clocks in_sync \u00b7 2 of 2 hosts",
    ]
    assert {line.kind for line in shown(fleet())} == {"", "good"}


def run_of(*steps, domains=None):
    run = Run()
    run.play(domains or {"a": ["h1"]})
    for module, result, more in steps:
        run.step("h1", module, result, **more)
    return run


@pytest.mark.parametrize(("seconds", "over", "kind", "words"), [
    (14.9, {}, "good", ["paused 14.9 s of 30.0 s"]),
    (26.1, {}, "long", ["paused 26.1 s of 30.0 s", "what took longest: systemctl restart openvswitch-switch.service 26.1 s"]),
    (31.0, {"resumed_by": "guard"}, "failed", ["paused 31.0 s of 30.0 s", "the guard on the host resumed it"]),
    (0.4, {"paused_for": None}, "failed", ["paused unknown of 30.0 s", "for how long is not known"]),
])
def test_an_interruption_that_was_long_stands_out_and_says_why(seconds, over, kind, words):
    result = window_result([interrupted("g1", "u1", seconds, **over)], seconds)
    line, = shown(run_of(("preserved_command", result, {})).events)
    assert line.kind == kind and all(word in line.text for word in words), line


def test_a_failure_says_what_next():
    failed = {"failed": True, "msg": "the switch does not start. Repair it"}
    judged = ("guest_pause", failed, {"status": "failed", "check": True})
    assert texts(run_of(judged).events) == []  # before its turn
    before = texts(run_of(("guest_info", {}, {}), judged).events)
    assert before == [
        "domain 1/1 \u00b7 h1 \u00b7 FAILED \u00b7 the switch does not start. Repair it",
        "domain 1/1 \u00b7 h1 \u00b7 guests \u00b7 none was interrupted in this run",
    ]
    done = window_result([interrupted("g1", "u1"), interrupted("g2", "u2", outcome="gone")])
    after = texts(run_of(("preserved_command", {**done, **failed}, {"status": "failed"})).events)
    assert after[0].endswith("Repair it \u00b7 0 of 1 hosts")
    assert after[1:] == [
        "domain 1/1 \u00b7 h1 \u00b7 guests \u00b7 1 were interrupted and run again; not given back: g2",
        "domain 1/1 \u00b7 h1 \u00b7 next \u00b7 ansible-playbook vm_preserving.maintenance.recover --limit h1",
        "domain 1/1 \u00b7 h1 \u00b7 log \u00b7 ansible h1 -b -a \"journalctl --no-pager -u 'vm-preserving-guard-*'\"",
    ]
    lost = texts(run_of(("preserved_command", {"msg": "no route"}, {"status": "unreachable"})).events)
    assert "UNREACHABLE \u00b7 no route" in lost[0] and "what became of those that were interrupted is not known here" in lost[1]
    assert texts(run_of(("guest_info", failed, {"status": "failed", "ignored": True})).events) == []


def test_a_wait_is_not_told_twice():
    waiting = ("scheduled_event", {"events": [{"id": "E", "host": "h1", "approved": False}]}, {"state": "scheduled"})
    come = ("scheduled_event", {"events": [{"id": "E", "host": "h1", "approved": True}]}, {"state": "scheduled"})
    ahead = ("scheduled_event", {"events": [{"id": "F", "host": "h2", "approved": False}]}, {"state": "scheduled"})
    lines = [line.rpartition(" \u00b7 ")[2] for line in texts(run_of(waiting, waiting, ahead, come).events)]
    assert lines == ["0 of 1 guests have approved", "1 of 1 guests have approved"]


def test_what_is_judged_in_check_mode_before_its_turn_is_not_told():
    run = Run()
    run.play({"a": ["h1"]})
    run.step("h1", "ansible.builtin.set_fact", {"ansible_facts": {"host_update_plan": {"technique": "live"}}}, check=True)
    assert texts(run.events) == []
    run.events[0]["check"] = True
    assert len(texts(run.events)) == 1


def test_nothing_that_a_terminal_obeys_is_shown():
    for text in [*texts(hostile_events()), *table(story(hostile_events()))]:
        assert "\x1b" not in text and "\u202e" not in text and "\n" not in text
    run = Run()
    run.play({"a": ["h1; reboot"]})
    run.step("h1; reboot", "preserved_command", {"msg": HOSTILE}, status="unreachable")
    assert any("--limit 'h1; reboot'" in line for line in texts(run.events))


def test_the_table_has_each_guest_or_with_many_each_host():
    few = table(story(fleet(1, 1, 2)))
    assert few[0].split() == "host domain guest away for limit clock before clock after verdict memory".split()
    assert few[2].split()[:5] == ["kvm0-0", "rack0", "kvm0-0-guest0", "0.50", "s"] and few[2].endswith("in_sync  kept")
    assert few[-1] == "hosts: 1 updated; 2 of 2 guests interrupted for at most 0.50 s; 0 over their limit; clocks: 2 in_sync; 44.7 s"
    many = table(story(fleet(1, 2, EACH // 2 + 1)))
    assert len(many) == 2 + 2 + 2 and many[2].split() == ["kvm0-0", "rack0", "31", "31", "0.50", "s", "30.0", "s", "31", "of", "31", "updated"]


def test_a_host_without_a_guest_and_one_that_failed_are_in_the_table():
    run = Run()
    run.play({"a": ["h1", "h2", "h3"]})
    run.fact("h1", host_update_report={"updated": False})
    run.step("h2", "guest_pause", {"failed": True, "msg": "x", "guests": [{"name": "g", "uuid": "u"}]}, status="failed")
    rows = table(story(run.end(h2={"failed": 1})))
    assert [row.split("  ")[0] for row in rows[2:5]] == ["h1", "h2", "h3"]
    assert "nothing pending" in rows[2] and "failed" in rows[3] and "not started" in rows[4]
