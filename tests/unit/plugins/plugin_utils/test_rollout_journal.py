# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugin_utils/rollout_journal: what a journal says, who carries a rollout on, and when the next update domain begins."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import rollout_journal as journals
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_journal import JournalError, Process
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.update_domains import UpdateDomain

HERE, THERE = Process("ctl1", "b", 10, 100), Process("ctl2", "c", 11, 101)
DOMAINS = [UpdateDomain("0", ("h1", "h2")), UpdateDomain("1", ("h3",)), UpdateDomain("2", ("h4",))]
OPENED = {"event": "opened", "at": "T0", "rollout": "r-1", "domains": [{"name": one.name, "hosts": list(one.hosts)} for one in DOMAINS]}
HOSTS = ["h1", "h2", "h3", "h4"]


def run(process=HERE, hosts=tuple(HOSTS)):
    return {"event": "run", "at": "T1", "by": "anna@ctl1", "process": vars(process), "hosts": list(hosts)}


def of(host, *kinds):
    return [{"event": kind, "at": "T2", "host": host} for kind in kinds]


def well(*hosts):
    return [event for host in hosts for event in of(host, "begun", "done", "proved")]


@pytest.mark.parametrize(("events", "host", "why"), [
    ([], "h1", None),
    ([], "h3", "not done, or not seen to be in order in this run: h1, h2"),
    (well("h1", "h2"), "h3", None),
    (well("h1", "h2"), "h4", "in this run: h3"),
    (well("h1") + of("h2", "begun", "done"), "h3", "in this run: h2"),
    (well("h1") + of("h2", "begun", "failed"), "h3", "failed: h2"),
    (well("h1") + of("h2", "begun"), "h3", "in this run: h2"),
    (of("h1", "skipped", "proved") + well("h2"), "h3", None),
    # Another run has to see for itself.
    (well("h1", "h2") + [run()], "h3", "in this run: h1, h2"),
    (well("h1", "h2") + [run(hosts=["h3"])], "h3", None),
])
def test_when_an_update_domain_begins(events, host, why):
    found = journals.why_not_begun(journals.read([OPENED, run(), *events]), host)
    assert found is None if why is None else why in found


@pytest.mark.parametrize(("events", "host", "may_fail", "why"), [
    # A part of its own domain was before it.
    (of("h1", "begun", "failed"), "h2", 0, "failed: h1"),
    (of("h1", "begun", "failed") + [run()], "h2", 0, None),
    (of("h1", "begun"), "h2", 0, None),
    (of("h1", "begun", "failed"), "h2", 1, None),
    (well("h1") + of("h2", "begun", "failed"), "h3", 1, None),
    # One that was lost in its update is as good as failed.
    (well("h1") + of("h2", "begun"), "h3", 1, None),
    (of("h1", "begun", "failed") + of("h2", "begun"), "h3", 1, "failed: h1; not done, or not seen to be in order in this run: h2, and only 1 may"),
])
def test_how_many_may_fail(events, host, may_fail, why):
    found = journals.why_not_begun(journals.read([OPENED, run(), *events]), host, may_fail)
    assert found is None if why is None else why in found


def test_a_host_that_the_rollout_does_not_know_does_not_begin():
    with pytest.raises(JournalError, match="h9 is in no update domain of rollout r-1"):
        journals.why_not_begun(journals.read([OPENED, run()]), "h9")


@pytest.mark.parametrize(("events", "me", "lives", "domains", "accept", "why"), [
    ([], HERE, False, DOMAINS, False, None),
    (of("h1", "begun"), HERE, False, DOMAINS, False, None),
    ([], THERE, True, DOMAINS, False, "is at work: process 10 on ctl1"),
    ([], HERE, True, DOMAINS, False, None),  # two plays of the same ansible-playbook
    # It is not to be seen from here whether it lives: it does not matter unless a host is in work.
    (well("h1") + of("h2", "begun", "failed"), THERE, None, DOMAINS, False, None),
    (of("h2", "begun"), THERE, None, DOMAINS, False, "may still be at work on h2.*rollout_take_over=r-1"),
    ([], HERE, False, [UpdateDomain("0", ("h1",)), *DOMAINS[1:]], False, "h2 was in 0 and is in none.*rollout_domains_changed=accept"),
    ([], HERE, False, [*DOMAINS, UpdateDomain("3", ("h5",))], False, "h5 is new in 3"),
    ([], HERE, False, [UpdateDomain("0", ("h1",)), UpdateDomain("1", ("h3", "h2")), DOMAINS[2]], False, "h2 was in 0 and is in 1"),
    ([], HERE, False, DOMAINS[::-1], False, "their order was 0, 1, 2 and is 2, 1, 0"),
    ([], HERE, False, DOMAINS[::-1], True, None),
])
def test_who_carries_a_rollout_on(events, me, lives, domains, accept, why):
    found = journals.why_not_carried_on(journals.read([OPENED, run(), *events]), domains, me, lives, accept)
    if why is None:
        assert found is None
    else:
        assert found is not None and re.search(why, found)


EVENTS = st.lists(st.tuples(st.sampled_from(["begun", "done", "failed", "skipped", "proved", "run"]), st.sampled_from(HOSTS)), max_size=30)


@given(EVENTS, st.sampled_from(HOSTS))
def test_a_domain_begins_only_if_every_earlier_host_was_proved_since_the_run_began(events, host):
    journal = journals.read([OPENED, run(), *(run() if kind == "run" else of(name, kind)[0] for kind, name in events)])
    since = [number for number, (kind, _name) in enumerate(events) if kind == "run"]
    latest = events[since[-1] + 1:] if since else events
    earlier = [name for domain in DOMAINS[:journal.domain_of(host)] for name in domain.hosts]
    if journals.why_not_begun(journal, host) is None:
        assert all(("proved", name) in latest for name in earlier)


@pytest.mark.parametrize("events", [[], [{}], [[]], [None], [{"event": "opened"}], [OPENED, {"event": "run"}], [run()]])
def test_what_is_no_journal(events):
    with pytest.raises(JournalError):
        journals.read(events)


def test_what_is_left():
    journal = journals.read([OPENED, run(), *well("h1"), *of("h2", "begun", "failed"), *of("h3", "skipped")])
    assert journals.left(journal, HOSTS) == ["h2", "h4"] and journals.left(journal, ["h1", "h4"]) == ["h4"]
    assert journals.read([OPENED, run(hosts=["h1"]), run(hosts=["h3"])]).ever == {"h1", "h3"}
    assert not journal.closed and journals.read([OPENED, {"event": "closed"}]).closed


def test_nobody_takes_the_place_of_a_run_that_is_seen_to_be_at_work():
    journal = journals.read([OPENED, run()])
    assert "is at work: process 10 on ctl1" in journals.at_work(journal, THERE, True)
    assert journals.at_work(journal, THERE, None) is None and journals.at_work(journal, THERE, False) is None and journals.at_work(journal, HERE, True) is None


def test_what_was_not_cleaned_up_stays_known_in_later_runs():
    begun = [{"event": "begun", "at": "T2", "host": host, "cleans_up": True} for host in ("h1", "h2")]
    journal = journals.read([OPENED, run(), *begun, *of("h1", "cleaned"), *of("h3", "begun"), run()])
    assert journal.unclean == {"h2"}
