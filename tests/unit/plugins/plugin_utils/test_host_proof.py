# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an update has done what was planned; what the mirror publishes meanwhile is no failure."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_proof import not_done, proof, published


def change(installed, candidate, name="p"):
    return {"name": name, "installed": installed, "candidate": candidate}


@pytest.mark.parametrize(("planned", "now", "waits"), [
    (change("1", "2"), None, False),
    (change("1", "2"), change("1", "2"), True),
    (change("1", "2"), change("1", "3"), True),  # it was not applied, and the mirror has gone on
    (change("1", "2"), change("2", "3"), False),  # it was applied, and the mirror has gone on
    (change("1", "2"), change("2.5", "3"), False),  # newer than planned
    (change(None, "2"), change(None, "2"), True),
    (change(None, "2"), change("2", "3"), False),
    (change(None, "6.1-30"), change(None, "6.1-31"), False),  # a kernel stays beside the others, and no installed version is given
    (change("1", None), change("1", None), True),  # another package was to take its place
    (change("1", "1"), change("1", "1"), True),  # unpacked by an interrupted update, and still not configured
    (change("1", "1"), change("1", "2"), False),
])
def test_a_planned_package(planned, now, waits):
    assert not_done([planned], [] if now is None else [now]) == (["p"] if waits else [])


def test_what_is_pending_for_another_package_says_nothing_of_a_planned_one():
    planned, now = [change("1", "2"), change("1", "2", "q")], [change("1", "2", "q"), change("5", "6", "r"), change("7", None, "s")]
    assert not_done(planned, now) == ["q"]
    assert published(planned, now) == ["r 6", "s"]


KERNEL = {"running": "6.1.0-28", "newest": "6.1.0-30", "differs": True}


def decision(**over):
    return {"technique": "live", "refreshes": False, "reboots": False, "kernel_pinned": False, "left_alone": [], **over}


def update(*pending, stale=(), differs=False, not_installed=(), processes=(), due=()):
    return {
        "restarts": [{"unit": unit} for unit in due], "restarts_due": bool(due), "pending": list(pending), "not_installed": list(not_installed),
        "stale": {"guests": [{"name": name, "uuid": f"u-{name}"} for name in stale], "processes": list(processes), "kernel": {**KERNEL, "differs": differs}},
    }


PASST = {"name": "passt", "pid": 7, "unit": "machine-qemu\\x2d1\\x2dweb.scope", "guest": "web", "files": ["/usr/bin/passt"]}
SSHD = {**PASST, "name": "sshd", "guest": None, "unit": "ssh.service"}
PLANNED = [change("1", "2")]


@pytest.mark.parametrize(("decided", "now", "problems", "notes"), [
    (decision(), update(), [], []),
    (decision(), update(change("1", "2")), ["p still waits to be updated"], []),
    (decision(), update(change("2", "3")), [], ["published meanwhile, and for the next run: p 3"]),
    (decision(), update(not_installed=["linux-image-cloud-amd64"]), [], ["not installed on this host, and left out: linux-image-cloud-amd64"]),
    (decision(refreshes=True), update(processes=[PASST, {**PASST, "guest": "db"}, SSHD]), [],
     ["until their guest is started anew: passt of guest db, passt of guest web", "until they are restarted: ssh.service"]),
    (decision(), update(processes=[{**SSHD, "unit": None if number else "a.service", "name": f"p{number}"} for number in range(10)]), [],
     ["until they are restarted: a.service, p1, p2, p3, p4, p5, p6, p7 and 2 more"]),
    (decision(reboots=True), update(processes=[SSHD]), [], []),
    (decision(), update(due=["ovs.service", "b.socket"]), ["what was held back is still to be restarted: ovs.service, b.socket. Run again"], []),
    (decision(refreshes=True), update(stale=["web", "db"]), ["these guests still run what was replaced: web, db"], []),
    (decision(reboots=True), update(stale=["web"]), ["these guests still run what was replaced: web"], []),
    (decision(technique="pause"), update(stale=["web"]), [], ["still on what was replaced, as the technique pause leaves them: guest web"]),
    (decision(refreshes=True, left_alone=["u-web"]), update(stale=["web"]), [], ["because they are left alone: guest web"]),
    (decision(refreshes=True, left_alone=["u-web"]), update(stale=["web", "db"]), ["these guests still run what was replaced: db"], ["guest web"]),
    (decision(reboots=True), update(differs=True), ["it runs the kernel 6.1.0-28 although 6.1.0-30 is installed"], []),
    (decision(reboots=True, kernel_pinned=True), update(differs=True), [], ["runs the kernel 6.1.0-28 although 6.1.0-30 is installed, as it did before"]),
    (decision(), update(differs=True), [], []),
])
def test_what_is_not_done(decided, now, problems, notes):
    found = proof(decided, PLANNED, now)
    for got, expected in zip(found, (problems, notes)):
        assert len(got) == len(expected)
        assert all(words in sentence for sentence, words in zip(got, expected))


def test_a_guest_that_was_skipped_by_choice_is_told():
    problems, told = proof(decision(refreshes=True), PLANNED, update(stale=["web", "db"]), skipped=["u-web"])
    assert len(problems) == len(told) == 1
    assert problems[0].startswith("the update was applied, and these guests still run what was replaced: db.")
    assert told[0].endswith("could not be moved (guest_refresh on the host says why): guest web")


def test_commands_are_done_when_the_operators_own_command_says_so():
    assert proof(decision(), []) == ([], [])
    problems, notes = proof(decision(), [], still_something_to_do=True)
    assert len(problems) == 1 and "host_update_pending_command says that there still is something to do" in problems[0] and notes == []
