# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_decision: what is to be done on one host, and to which guest."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_decision import host_decision

DECIDED = ("technique", "applies", "needed", "pauses", "refreshes", "reboots")


def guest(name, blockers=()):
    return {"name": name, "uuid": f"u-{name}", "blockers": {"pause": [{"code": code, "message": code} for code in blockers]}}


def update(*techniques, stale=(), outside=("*",), guests=(), whole=False, due=()):
    """What host_update_info returns, of packages that need these techniques; `due`: whether restarts that are due need the pause."""
    return {
        "pending": [
            {"name": f"p{number}", "technique": technique, "guests": list(guests), "in_pause": "package" if whole else "restarts"}
            for number, technique in enumerate(techniques)
        ],
        "stale": {"guests": [{"name": name, "uuid": f"u-{name}"} for name in stale], "kernel": {"pinned": False}},
        "outside": list(outside) if techniques else [],
        "restarts": [{"unit": f"u{number}.service", "in_pause": in_pause} for number, in_pause in enumerate(due)], "restarts_due": bool(due),
    }


WEB, DB, RT = guest("web"), guest("db"), guest("rt", ["opted_out"])
ALL = (WEB, DB, RT)


# ---- the technique ----

@pytest.mark.parametrize(("asked", "arguments", "expected"), [
    # packages, chosen for each: technique, applies, needed, pauses, refreshes, reboots
    ("auto", {"update": update()}, ("live", False, False, False, True, False)),
    ("auto", {"update": update(stale=["web"])}, ("live", False, True, False, True, False)),
    ("auto", {"update": update(stale=["rt"])}, ("live", False, False, False, True, False)),  # left alone by its owner
    ("auto", {"update": update("live")}, ("live", True, True, False, True, False)),
    ("auto", {"update": update("live", "pause")}, ("pause", True, True, True, True, False)),
    ("auto", {"update": update("refresh")}, ("refresh", True, True, False, True, False)),
    ("auto", {"update": update("refresh", "pause")}, ("refresh", True, True, True, True, False)),
    ("auto", {"update": update("reboot", "refresh", "pause")}, ("reboot", True, True, True, False, True)),
    ("auto", {"update": update("reboot", "refresh")}, ("reboot", True, True, False, False, True)),
    ("auto", {"update": update("refuse", "reboot")}, ("refuse", True, True, False, True, False)),
    ("auto", {"update": update(), "due": True}, ("reboot", False, True, False, False, True)),
    ("auto", {"update": update("live"), "due": True}, ("reboot", True, True, False, False, True)),
    ("auto", {"update": update("refuse"), "due": True}, ("refuse", True, True, False, True, False)),  # a reboot that is due excuses nothing
    # packages, by an operator who knows better
    ("live", {"update": update("refresh", stale=["web"])}, ("live", True, True, False, False, False)),
    ("live", {"update": update("refuse")}, ("live", True, True, False, False, False)),
    ("live", {"update": update(stale=["web"])}, ("live", False, False, False, False, False)),
    ("live", {"update": update(), "due": True}, ("live", False, False, False, False, False)),
    ("pause", {"update": update("live")}, ("pause", True, True, True, False, False)),
    ("pause", {"update": update()}, ("pause", False, False, False, False, False)),
    ("refresh", {"update": update("pause")}, ("refresh", True, True, False, True, False)),
    ("refresh", {"update": update(stale=["web"])}, ("refresh", False, True, False, True, False)),
    ("reboot", {"update": update("pause")}, ("reboot", True, True, False, False, True)),
    ("reboot", {"update": update()}, ("reboot", False, False, False, False, True)),
    ("reboot", {"update": update(), "due": True}, ("reboot", False, True, False, False, True)),
    # commands and tasks
    ("auto", {}, ("pause", True, True, True, False, False)),
    ("auto", {"something_to_do": False}, ("pause", False, False, False, False, False)),
    ("auto", {"due": True}, ("reboot", True, True, True, False, True)),
    ("auto", {"due": True, "something_to_do": False}, ("reboot", False, True, False, False, True)),
    ("live", {}, ("live", True, True, False, False, False)),
    ("refresh", {}, ("refresh", True, True, False, True, False)),
    ("reboot", {}, ("reboot", True, True, False, False, True)),
])
def test_what_is_done(asked, arguments, expected):
    found = host_decision(asked, guests=ALL, **arguments)
    assert tuple(found[key] for key in DECIDED) == expected


@pytest.mark.parametrize(("asked", "given", "expected"), [
    # holds, restarts_in_pause, whole, pauses, needed
    ("auto", update("pause", "live"), (True, "needed", False, True, True)),
    ("pause", update("pause", "live"), (True, "all", False, True, True)),  # the operator wants all restarts in the pause
    ("auto", update("pause", "refresh"), (True, "needed", False, True, True)),
    ("auto", update("live"), (True, "none", False, False, True)),
    ("live", update("pause"), (True, "none", False, False, True)),
    ("reboot", update("pause", outside=[]), (False, "none", False, False, True)),
    ("auto", update("pause", "live", outside=["b"], whole=True), (True, "needed", True, True, True)),
    ("auto", update("pause", whole=True, outside=[]), (False, "needed", True, True, True)),
    ("auto", update("pause", outside=[]), (False, "needed", True, True, True)),  # nothing can be held back on this host
    # what an earlier run left to be restarted
    ("auto", update(due=[True]), (True, "needed", False, True, True)),
    ("auto", update(due=[False]), (True, "none", False, False, True)),
    ("pause", update(due=[False]), (True, "all", False, True, True)),
    ("live", update(due=[True]), (True, "none", False, False, True)),
    ("auto", update("live", due=[True]), (True, "needed", False, True, True)),
    ("auto", update("pause", whole=True, outside=[], due=[True]), (True, "needed", True, True, True)),
    ("auto", update(), (False, "none", False, False, False)),
    ("auto", None, (False, "needed", False, True, True)),
])
def test_what_the_pause_holds(asked, given, expected):
    found = host_decision(asked, given, guests=ALL)
    assert tuple(found[key] for key in ("holds", "restarts_in_pause", "whole", "pauses", "needed")) == expected


# ---- the guests ----

@pytest.mark.parametrize(("arguments", "exclude", "left_out"), [
    ({}, [], []),
    ({"exclude": ["web"]}, ["web"], ["web"]),
    ({"exclude": ["u-web"]}, ["u-web"], ["web"]),
    ({"exclude": ["elsewhere"]}, ["elsewhere"], []),
    ({"chosen": ["u-web", "u-rt"]}, ["u-db"], ["db"]),
    ({"chosen": []}, ["u-web", "u-db", "u-rt"], ["web", "db", "rt"]),
    ({"exclude": ["db", "u-db"], "chosen": ["u-web", "u-db"]}, ["db", "u-db", "u-rt"], ["db", "rt"]),
])
def test_who_is_left_out(arguments, exclude, left_out):
    found = host_decision("auto", update("reboot"), guests=ALL, **arguments)
    assert (found["exclude"], found["left_out"]) == (exclude, left_out)


@pytest.mark.parametrize(("given", "arguments", "stale", "moved"), [
    (update("live"), {}, [], []),
    (update("live", stale=["web"]), {}, ["web"], ["u-web"]),
    (update("refresh", guests=["web"]), {}, [], ["u-web"]),
    (update("refresh", guests=["web"], stale=["db"]), {}, ["db"], ["u-web", "u-db"]),
    (update("live", guests=["db"]), {}, [], ["u-db"]),  # the operator's rule says live, and its QEMU is replaced all the same
    (update("refresh"), {}, [], []),  # firmware that no running QEMU has: no guest is moved, and none can stand in the way
    (update("refresh", guests=["web", "db"], stale=["web", "db"]), {"exclude": ["web"]}, ["db"], ["u-db"]),
    (update("refresh", guests=["web", "db"], stale=["web", "db"]), {"chosen": ["u-web"]}, ["web"], ["u-web"]),
    (update("refresh", guests=["web", "db"], stale=["web", "db"]), {"names": ["u-db"]}, ["db"], ["u-db"]),
    (update("refresh", guests=["rt"], stale=["rt"]), {}, [], []),
    (update("refresh", guests=["rt"], stale=["rt"]), {"names": ["rt"]}, ["rt"], ["u-rt"]),  # named, so asked for
    (update("reboot", guests=["web"], stale=["web"]), {}, ["web"], []),
    (update("pause", guests=["web"], stale=["web"]), {"technique": "pause"}, ["web"], []),
    (None, {"technique": "refresh"}, [], ["u-web", "u-db"]),  # what commands replace is not known
    (None, {"technique": "refresh", "exclude": ["web"]}, [], ["u-db"]),
])
def test_who_is_moved(given, arguments, stale, moved):
    found = host_decision(arguments.pop("technique", "auto"), given, guests=ALL, **arguments)
    assert (found["stale"], found["moved"]) == (stale, moved)


@pytest.mark.parametrize(("arguments", "expected"), [
    ({}, ["u-rt"]), ({"names": ["web"]}, ["u-db", "u-rt"]), ({"names": ["rt"]}, ["u-db", "u-web"]), ({"exclude": ["web"]}, ["u-rt", "u-web"]),
])
def test_who_is_left_on_what_it_runs(arguments, expected):
    assert host_decision("auto", update("refresh"), guests=ALL, **arguments)["left_alone"] == expected


# ---- who may be shut down ----

@pytest.mark.parametrize(("arguments", "expected"), [
    ({}, ["u-own"]),
    ({"stop": ["web", "elsewhere"]}, ["u-web", "u-own"]),
    ({"stop": ["u-db"]}, ["u-db", "u-own"]),
    ({"stop_chosen": ["u-db"]}, ["u-db", "u-own"]),
    ({"stop": ["rt"]}, ["u-rt", "u-own"]),  # the operator names it, whatever its owner says of pauses
    ({"stop": ["web"], "exclude": ["u-web", "own"]}, []),
    ({"stop": ["web"], "chosen": ["u-db"]}, []),
])
def test_a_guest_is_shut_down_only_where_its_operator_or_its_owner_allows_it(arguments, expected):
    own = {**guest("own"), "stop_allowed": True}
    assert host_decision("reboot", guests=[*ALL, own], **arguments)["may_stop"] == expected
