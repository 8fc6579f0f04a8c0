# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a result gets into a report, what is made of it, and whether the check finds what does not hold."""
from __future__ import annotations

import html
import html.parser
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import report_events, report_text
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_check import check
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_events import FLAG, NUMBER, TEXT, Task, steps, taken
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_file import EventsFile, ReportError, digest, read_events, write_page
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story, totals
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_page import page
from ansible_collections.vm_preserving.maintenance.tests.unit.plugins.plugin_utils.report_made import LIMIT, ROLE, Run, fleet, interrupted, window_result

PAUSE = Task("Pause", "vm_preserving.maintenance.preserved_command", ROLE)


def faults(events):
    """What is found wrong with a report whose page is the one that belongs to it."""
    text = page(story(events), "x.jsonl", "d")
    return check(events, text, "d", text).faults


def one_host(seconds=0.4, **over):
    run = Run()
    run.play({"a": ["h1"]})
    run.host("h1", "a", {"u1": "g1", "u2": "g2"}, seconds, **over)
    return run.end()


# ---- what is taken ----

@pytest.mark.parametrize(("value", "shape", "expected"), [
    ("x", TEXT, "x"), (7, TEXT, "7"), (True, TEXT, None), ([], TEXT, None), ({"a": 1}, TEXT, None), ("x" * 9000, TEXT, "x" * 4000 + " (cut off)"),
    (1.5, NUMBER, 1.5), (3, NUMBER, 3), ("3", NUMBER, None), (True, NUMBER, None), (float("nan"), NUMBER, None), (float("inf"), NUMBER, None),
    (10**400, NUMBER, None),
    (True, FLAG, True), (1, FLAG, None), ("yes", FLAG, None),
    ({"a": "x", "b": "y"}, {"a": TEXT}, {"a": "x"}), ("x", {"a": TEXT}, None), ({}, {"a": TEXT}, {}),
    (["x", 1.5, None], [TEXT], ["x", None, None]), ("xy", [TEXT], None),
])
def test_taken(value, shape, expected):
    assert taken(value, shape) == expected


def test_only_what_is_named_is_taken():
    step, = steps("h1", PAUSE, "ok", {**window_result([interrupted("g1", "u1")]), "password": "s3cret"}, 2.0)
    assert "s3cret" not in json.dumps(step)
    assert step["result"]["commands"] == [{"argv": ["systemctl", "restart", "openvswitch-switch.service"], "state": "finished", "rc": 0, "seconds": 0.35}]
    assert step["options"] == {"clock_tolerance": 0.1, "pause_limit": LIMIT} and step["took"] == 2.0


def test_what_no_log_hides_is_not_taken():
    hidden = {"censored": "the output has been hidden due to the fact that 'no_log: true' was specified for this result", "changed": True, "msg": "s3cret"}
    step, = steps("h1", PAUSE, "failed", hidden, 2.0)
    assert step["withheld"] is True and "s3cret" not in json.dumps(step)
    run = Run()
    run.play({"a": ["h1"]})
    run.step("h1", "preserved_command", hidden)
    assert "1 results were withheld by no_log" in page(story(run.end()), "x", "d")


@pytest.mark.parametrize(("task", "result", "took", "kept"), [
    (Task("t", "vm_preserving.maintenance.guest_info"), {}, 0.1, True),
    (Task("t", "ansible.builtin.command"), {"changed": True}, 9.0, False),  # of somebody else's role
    (Task("t", "ansible.builtin.command", ROLE), {"changed": True}, 0.1, True),
    (Task("t", "ansible.builtin.command", ROLE), {"changed": False}, 0.1, False),
    (Task("t", "ansible.builtin.command", ROLE), {"changed": False}, 1.0, True),
    (Task("t", "ansible.builtin.command", ROLE, True), {"changed": True}, 0.1, False),
    (Task("t", "ansible.builtin.set_fact"), {"ansible_facts": {"host_update_plan": {}}}, 0.1, True),
    (Task("t", "ansible.builtin.set_fact"), {"ansible_facts": {"other": {}}}, 0.1, False),
])
def test_which_tasks_are_kept(task, result, took, kept):
    assert bool(steps("h1", task, "ok", result, took)) is kept


def test_a_failure_anywhere_is_kept_and_a_loop_is_told_item_by_item():
    step, = steps("h1", Task("t", "ansible.builtin.copy"), "failed", {"failed": True, "msg": "no room", "content": "s3cret"}, None)
    assert (step["status"], step["message"], step["took"]) == ("failed", "no room", None) and "s3cret" not in json.dumps(step)
    event = {"id": "E", "host": "h2"}
    items = [{"events": [event], "changed": True}, {"failed": True, "msg": "no room", "changed": False}, "junk"]
    looped = {"msg": "One or more items failed", "results": items}
    first, second = steps("h1", Task("t", "vm_preserving.maintenance.scheduled_event", ROLE), "failed", looped, 1.0)
    assert first["status"] == "ok" and first["result"]["events"] == [event]
    assert second["status"] == "failed" and second["message"] == "no room"


@pytest.mark.parametrize(("task", "ours"), [
    (Task("t", "vm_preserving.maintenance.guest_resume"), True), (Task("t", "vm_preserving.maintenance.guest_info"), False),
    (Task("t", "ansible.builtin.debug", ROLE), True), (Task("t", "ansible.builtin.debug", "vm_preserving.maintenance.scheduled_events"), False),
    (Task("t", "ansible.builtin.debug", "host_update"), False),
])
def test_of_what_a_report_is_made(task, ours):
    assert report_events.is_ours(task) is ours


_KEYS = st.sampled_from(["guests", "window", "commands", "events", "msg", "ansible_facts", "host_update_report", "invocation", "error", "name", "uuid",
                         "open", "clock", "paused_for", "outcome", "id", "host", "argv", "seconds", "state"])
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_KEYS, _JSON, max_size=6),
       st.sampled_from(["preserved_command", "guest_refresh", "guest_clock", "scheduled_event", "guest_pause", "guest_restore"]),
       st.sampled_from(["ok", "failed"]))
def test_whatever_a_host_answers_makes_a_page(result, module, status):
    run = Run()
    run.play({"a": ["h1"]})
    run.step("h1", module, result, status=status)
    events = run.end()
    json.dumps(events, allow_nan=False)
    faults(events)


# ---- the story ----

def test_a_rollout_that_went_well():
    events = fleet()
    found = story(events)
    assert [(name, [host.name for host in hosts]) for name, hosts in found.domains] == [("rack0", ["kvm0-0", "kvm0-1"]), ("rack1", ["kvm1-0", "kvm1-1"])]
    assert {host.outcome for host in found.hosts.values()} == {"updated"}
    assert totals(found) == {
        "hosts": {"updated": 4}, "domains": 2, "guests": 8, "interrupted": 8, "interruptions": 8, "longest": pytest.approx(1.9), "not_within_limit": 0,
        "clocks": {"in_sync": 8}, "notices": 4, "approved": 4, "failures": 0,
    }
    verdict = check(events, page(found, "x", "d"), "d", page(found, "x", "d"))
    assert verdict.faults == [] and verdict.unproved == []


@pytest.mark.parametrize(("counts", "steps_", "check_mode", "ended", "outcome"), [
    ({"unreachable": 1}, [("guest_info", {"msg": "x"}, "unreachable")], False, True, "unreachable"),
    ({"failed": 1}, [("guest_pause", {"failed": True, "msg": "x"}, "failed")], False, True, "failed"),
    ({}, [("guest_pause", {"failed": True, "msg": "x"}, "failed")], False, False, "failed"),
    ({"rescued": 1}, [("guest_pause", {"failed": True, "msg": "x"}, "failed"), ("report", False, "")], False, True, "nothing pending"),
    ({}, [("report", True, "")], False, True, "updated"),
    ({}, [("plan", None, "")], True, True, "planned"),
    ({}, [("plan", None, "")], False, True, "not started"),
    ({}, [("guest_info", {}, "ok")], False, False, "not finished"),
    ({}, [("host_update_apply", {"changed": True}, "ok")], False, True, "not finished"),
    ({}, [("skipped", None, "")], False, True, "had it already"),
])
def test_what_became_of_a_host(counts, steps_, check_mode, ended, outcome):
    run = Run(check=check_mode)
    run.play({"a": ["h1", "h2"]})
    for what, result, status in steps_:
        if what == "report":
            run.fact("h1", host_update_report={"updated": result})
        elif what == "plan":
            run.fact("h1", host_update_plan={"technique": "pause"})
        elif what == "skipped":
            run.step("h1", "rollout_journal", {}, state="skipped")
        else:
            run.step("h1", what, result, status=status)
    if ended:
        run.end(h1=counts)
    found = story(run.events)
    assert found.hosts["h1"].outcome == outcome and found.hosts["h2"].outcome == "not started"
    assert outcome in page(found, "x", "d")


def test_hosts_of_a_play_with_nothing_of_ours_are_not_of_the_report():
    run = Run()
    run.add({"event": "play", "name": "", "hosts": ["localhost"], "domains": []})
    run.play({"a": ["h1"]})
    run.host("h1", "a", {"u1": "g1"})
    assert list(story(run.end()).hosts) == ["h1"]


@pytest.mark.parametrize(("seconds", "over", "words"), [
    (14.9, {}, []),
    (26.1, {}, ["what took longest: systemctl restart openvswitch-switch.service 26.1 s"]),
    (26.1, {"resumed_by": "guard"}, ["the guard on the host resumed it", "what took longest"]),
    (0.4, {"paused_for": 20.0}, ["what took longest: systemctl restart openvswitch-switch.service 0.", "of 19.6 s the host does not tell"]),
    (0.4, {"paused_for": None}, ["for how long is not known"]),
])
def test_why_a_pause_was_long(seconds, over, words):
    why = story(one_host(seconds, **over)).hosts["h1"].guests["u1"].pauses[0].why
    assert len(why) == len(words) and all(said.startswith(word) for said, word in zip(why, words)), why


def test_a_notice_is_known_from_whoever_tells_it():
    run = Run()
    run.play({"a": ["h1"], "b": ["h2"]})
    event = {"id": "E", "name": "g2", "host": "h2", "approved": True, "approved_by": "g9", "notice": 900}
    run.step("h1", "scheduled_event", {"events": [event]})
    run.step("h2", "scheduled_event", {"events": [{**event, "approved": False, "approved_by": None, "given": 12.0}]})
    notice, = story(run.events).hosts["h2"].notices.values()
    assert notice["approved"] is True and notice["approved_by"] == "g9" and notice["given"] == 12.0


def test_a_window_that_could_not_be_closed_and_then_was():
    run = Run()
    run.play({"a": ["h1"]})
    left = [interrupted("g1", "u1"), interrupted("g2", "u2", outcome=None, paused_for=None, resumed_by=None, clock=None)]
    opened = window_result(left)
    opened["window"]["open"] = True
    run.step("h1", "guest_resume", {**opened, "failed": True, "msg": "g2 cannot be resumed"}, status="failed")
    host = story(run.events).hosts["h1"]
    assert [(one.seconds, one.outcome) for guest in host.guests.values() for one in guest.pauses] == [(0.4, "resumed"), (None, "not back yet")]
    assert any("guest g2 was not given back (not back yet)" in one for one in check(run.events).faults)
    run.step("h1", "guest_resume", window_result([interrupted("g1", "u1"), interrupted("g2", "u2", 9.0)]))
    host = story(run.events).hosts["h1"]
    assert [one.seconds for guest in host.guests.values() for one in guest.pauses] == [0.4, 9.0] and len(host.windows) == 1
    never = interrupted("g3", "u3", outcome="running", paused_for=None, resumed_by=None)
    run.step("h1", "guest_resume", window_result([never]))
    assert "u3" not in story(run.events).hosts["h1"].guests or not story(run.events).hosts["h1"].guests["u3"].pauses


# ---- the check ----

def changed(events, change):
    """The events after a change to a copy of them, with the totals that they then make."""
    copy = json.loads(json.dumps(events))
    change(copy)
    copy[-1]["totals"] = json.loads(json.dumps(totals(story(copy))))
    return copy


def window_of(events, number=0):
    return [one for one in events if one.get("action", "").endswith("preserved_command")][number]


@pytest.mark.parametrize(("change", "word"), [
    (lambda e: window_of(e)["result"]["guests"][0].update(paused_for=31.0), "its pause lasted 31.0 s, the limit is 30.0 s"),
    (lambda e: window_of(e)["result"]["guests"][0].update(paused_for=None), "it is not known that its pause was within its limit"),
    (lambda e: window_of(e)["result"]["window"].update(pause_limit=None), "it is not known that its pause was within its limit"),
    (lambda e: window_of(e)["result"]["guests"][0].update(outcome="gone"), "was not given back (gone)"),
    (lambda e: window_of(e)["result"]["guests"][0].update(problem="its device has gone"), "lacks something that it had"),
    (lambda e: window_of(e)["result"]["guests"][0]["clock"].update(verdict="out_of_sync"), "is out_of_sync"),
    (lambda e: window_of(e)["result"]["guests"][0]["clock"].update(after={"offset": 0.0999, "bound": 0.0004}), "is said to be in sync, and was measured at"),
    (lambda e: window_of(e)["result"]["guests"][0]["clock"].update(after=None), "there is no measurement of it"),
    (lambda e: window_of(e)["result"]["guests"][0].update(outcome=None), "was not given back (not back yet)"),
    (lambda e: window_of(e)["result"]["guests"][0].update(paused_for=0.7), "and the modules said 0.70 s"),
    (lambda e: window_of(e)["result"]["guests"].pop(0), "the host's report has interruptions of"),
    (lambda e: next(one for one in e if one.get("plan"))["plan"]["guests"][0].update(pause=None), "was interrupted, and the plan did not say so"),
    (lambda e: next(one for one in e if one.get("report"))["report"]["guests"][0].update(memory="lost"), "its memory is lost"),
    (lambda e: window_of(e, 2).update(took=60.0), "update domains rack0 and rack1 were worked on at the same time"),
    (lambda e: e.pop(5), "has the number 6: something was taken out or put in"),
    (lambda e: e[3].update(t=0.0), "event 3 is older than the one before"),
])
def test_what_does_not_hold_is_found(change, word):
    events = fleet()
    assert faults(events) == []
    found = faults(changed(events, change))
    assert any(word in one for one in found), found


def test_a_total_that_is_wrong_is_found():
    events = fleet()
    events[-1]["totals"]["interrupted"] = 7
    assert faults(events) == ["the report claims interrupted 7, and its events make 8"]


def test_a_page_that_is_not_the_one_of_the_events_is_found():
    events = fleet()
    text = page(story(events), "x", "d")
    assert check(events, text, "d", text).faults == []
    assert check(events, None, "d", text).faults == ["its page is not there"]
    assert "made from other events" in check(events, text, "e", text).faults[0]
    assert "it was changed" in check(events, text.replace("8 of 8", "8 of 9"), "d", text).faults[0]


def test_what_nobody_can_know_is_told_and_no_fault():
    events = one_host(clock={"verdict": "unverified", "before": None, "after": None, "changed": False, "error": {"code": "x", "message": "no agent"}})
    verdict = check(events, page(story(events), "x", "d"), "d", page(story(events), "x", "d"))
    assert verdict.faults == [] and verdict.unproved == ["h1: the clock of guest g1 is unverified (not measured): no agent"]
    assert check(events[:-1]).unproved[-1].startswith("the run did not end")


def test_a_guest_whose_clock_is_ahead_on_purpose():
    def ahead(events):
        result = window_of(events)["result"]
        result["window"]["guests"] = [{"uuid": result["guests"][0]["uuid"], "clock_target": 3600.0}]
        result["guests"][0]["clock"]["after"] = {"offset": 3600.01, "bound": 0.0004}
    assert faults(changed(fleet(), ahead)) == []


# ---- the page ----

HOSTILE = '"><script>x()</script><img src=x onerror=x()>\'</title></style>&lt;\u202e\x1b[31m\x00\ud800'


class Reader(html.parser.HTMLParser):
    """What a browser would make elements and attributes of."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), {}, []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    return reader


def hostile_events():
    events = fleet(name=lambda text: text + HOSTILE, problem=HOSTILE, message=HOSTILE, resumed_by=HOSTILE)
    run = Run()
    run.events = events[:-1]
    run.now = events[-1]["t"]
    host = f"kvm0-0{HOSTILE}"
    run.step(host, "ansible.builtin.command", {"failed": True, "msg": HOSTILE}, status="failed", name=HOSTILE)
    refused = {"failed": True, "msg": HOSTILE, "guests": [{"name": HOSTILE, "uuid": HOSTILE, "blockers": [{"code": HOSTILE, "message": HOSTILE}]}]}
    run.step(host, "guest_pause", refused, status="failed", check=True)
    run.fact(host, host_update_report={"updated": True, "problems": [HOSTILE], "notes": [HOSTILE], "untold": [{"name": HOSTILE, "why": HOSTILE}], "guests": [
        {"name": HOSTILE, "uuid": HOSTILE, "memory": HOSTILE}], "pending": [{"name": HOSTILE, "reason": HOSTILE}]})
    run.fact(host, host_update_plan={"lines": [HOSTILE], "guests": [{"name": HOSTILE, "uuid": HOSTILE, "left_alone": HOSTILE}]})
    run.step(host, "scheduled_event", {"events": [{"id": HOSTILE, "name": HOSTILE, "host": HOSTILE, "type": HOSTILE, "status": HOSTILE, "approved_by": HOSTILE,
                                                   "approved": True}]})
    return run.end(**{host: {"failed": 1}})


def test_names_and_messages_make_no_markup():
    plain, hostile = read(page(story(fleet()), "x", "d")), read(page(story(hostile_events()), HOSTILE, HOSTILE))
    allowed = plain.tags | {"ul", "li", "br", "a", "details", "summary"}
    assert hostile.tags <= allowed and "script" not in hostile.tags and "img" not in hostile.tags
    assert not [name for name in hostile.attributes if name.startswith("on") or name in ("src", "style", "action")]
    assert {one[:2] for one in hostile.attributes["href"]} == {"#h"}
    text = "".join(hostile.text)
    assert "<script>x()</script>" in text and "\u202e" not in text and "\x1b" not in text and "\x00" not in text and "\ud800" not in text


def test_the_page_asks_for_nothing_and_forbids_everything():
    text = page(story(fleet()), "x", "d")
    policy, = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'", html.unescape(policy))
    assert not re.search(r"https?:|//|url\(|@import", text.replace(policy, "")), "an address"
    assert "prefers-color-scheme: dark" in text and "@media print" in text


@given(st.text())
def test_visible_text_is_one_line_without_anything_that_is_obeyed(text):
    shown = report_text.visible(text)
    assert not set(shown) & {"\n", "\r", "\x1b", "\u202e", "\u2028", "\x00"}
    shown.encode("utf-8")
    assert "<" not in report_text.escaped(text) and '"' not in report_text.escaped(text) and "'" not in report_text.escaped(text)


@pytest.mark.parametrize(("value", "text"), [
    (0.312, "0.31 s"), (12.44, "12.4 s"), (125, "2 min 5 s"), (7300, "2 h 1 min"), (None, "unknown"), (True, "unknown"),
])
def test_seconds(value, text):
    assert report_text.seconds(value) == text


# ---- the file ----

def test_events_are_on_disk_at_once_and_only_their_owner_reads_them(tmp_path):
    events = fleet(1, 1, 1)
    file = EventsFile(str(tmp_path / "reports"), "r1")
    file.write(events[:3])
    file.write(events[3:])
    assert read_events(file.path.read_bytes(), "r1") == events
    assert file.path.stat().st_mode & 0o777 == 0o600 and file.path.parent.stat().st_mode & 0o777 == 0o700
    assert file.digest() == digest(file.path.read_bytes())
    write_page(tmp_path / "p.html", "\ud800")
    assert (tmp_path / "p.html").read_bytes() == b"\\ud800" and (tmp_path / "p.html").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        EventsFile(str(tmp_path / "reports"), "r1")


def test_half_a_line_of_a_killed_run_is_left_out():
    data = b"".join(json.dumps(one).encode() + b"\n" for one in fleet(1, 1, 1))
    cut = read_events(data[:-20], "x")
    assert len(cut) == len(read_events(data, "x")) - 1
    assert "was killed" in page(story(cut), "x", "d")


@pytest.mark.parametrize(("data", "word"), [
    (b"", "does not begin with the event 'run'"), (b"{}\n", "line 1 is no event"), (b"x\n", "line 1 is no JSON"), (b"[" * 100000 + b"\n", "line 1 is no JSON"),
    (b'{"event": "step", "t": 0}\n', "does not begin"), (b'{"event": "run", "t": 0, "format": 9}\n', "is of format 9"),
])
def test_what_is_no_report(data, word):
    with pytest.raises(ReportError, match=re.escape(word)):
        read_events(data, "x")
