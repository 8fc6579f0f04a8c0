# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Availability sets: who is in them, and which update domains take too many of them down."""
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import AvailabilityError, availability_problems, known_sets


def guest(name, said=None, state="running"):
    return {"name": name, "availability_set": said, "state": state}


def guests(*names, said=None):
    return [guest(name, said) for name in names]


def members(placement, inventory=None):
    return {one.name: [(member.host, member.guest) for member in one.members] for one in known_sets(placement, inventory)}


# ---- who is in a set ----

@pytest.mark.parametrize(("placement", "inventory", "expected"), [
    ({}, None, {}),
    ({"h1": guests("a")}, {}, {}),
    ({"h1": guests("a", said="web"), "h2": guests("a", "b", said="web")}, None, {"web": [("h1", "a"), ("h2", "a"), ("h2", "b")]}),
    ({"h1": [{"name": "a"}]}, {"web": {"guests": ["a"]}}, {"web": [("h1", "a")]}),
    ({"h1": guests("a10", "a2")}, {"web": {"guests": ["a10", "a2"]}}, {"web": [("h1", "a2"), ("h1", "a10")]}),
    # the inventory knows the members, the metadata too
    ({"h1": guests("a", said="web"), "h2": guests("b")}, {"web": {"guests": ["a", "b"]}}, {"web": [("h1", "a"), ("h2", "b")]}),
    # the inventory says how many, the metadata who
    ({"h1": guests("a", said="web")}, {"web": {"min_available": 2}}, {"web": [("h1", "a")]}),
    # the inventory's word comes first
    ({"h1": guests("a", said="web")}, {"db": {"guests": ["a"]}}, {"db": [("h1", "a")]}),
    ({"h1": guests("a")}, {"web": {"guests": ["a"]}, "all": {"guests": ["a"]}}, {"all": [("h1", "a")], "web": [("h1", "a")]}),
    # what does not run is no member, and a set may have none
    ({"h1": [guest("a", "web", "paused"), guest("b", "web", "shutdown")]}, {"db": {"guests": ["c"]}}, {"db": []}),
])
def test_members(placement, inventory, expected):
    assert members(placement, inventory) == expected


def test_members_that_do_not_run_are_named_and_a_guest_may_run_where_its_old_definition_is_not():
    placement = {"h1": [guest("a", state="paused"), guest("b")], "h2": guests("a")}
    one, = known_sets(placement, {"web": {"guests": ["c", "a", "b"]}})
    assert (one.min_available, one.spare, one.not_running) == (1, 1, ("c",))


@pytest.mark.parametrize(("placement", "inventory", "words"), [
    ([], None, ["dictionary of hosts"]),
    ({"h1": None}, None, ["guests of host h1 must be a list", "guest_info failed"]),
    ({"h1": {"name": "a"}}, None, ["guests of host h1 must be a list"]),
    ({"h1": ["a"]}, None, ["guest 1 of host h1 must be a dictionary"]),
    ({"h1": [*guests("a"), {"name": ""}]}, None, ["guest 2 of host h1"]),
    ({"h1": [{"name": 5}]}, None, ["guest 1 of host h1"]),
    ({"h1": [{**guest("a"), "error": {"code": "no_answer", "message": "x"}}]}, None, ["guest a on host h1 did not answer"]),
    ({"h1": [guest("a", state=1)]}, None, ["state of guest a on host h1"]),
    ({"h1": [guest("a", ["web"])]}, None, ["availability_set of guest a on host h1"]),
    ({}, [], ["availability_sets must be a dictionary"]),
    ({}, {1: {}}, ["name 1", "quotes"]),
    ({}, {"web": None}, ["availability set web must be a dictionary"]),
    ({}, {"web": {"min": 1, "guest": []}}, ["availability set web has min, guest", "min_available and guests"]),
    ({}, {"web": {"min_available": 0}}, ["min_available of availability set web", "accept the set by name"]),
    ({}, {"web": {"min_available": True}}, ["whole number"]),
    ({}, {"web": {"min_available": "2"}}, ["whole number"]),
    ({}, {"web": {"min_available": 3, "guests": ["a", "b"]}}, ["is 3", "only 2 guests"]),
    ({}, {"web": {"guests": "ab"}}, ["list of names"]),
    ({}, {"web": {"guests": [101]}}, ["list of names", "quotes"]),
    ({}, {"web": {"guests": ["a", "b", "a"]}}, ["availability set web lists more than once: a"]),
    ({"h1": guests("a", "c", said="web")}, {"web": {"guests": ["a"]}}, ["guest c on host h1", "availability set web", "add it to that list"]),
    ({"h2": guests("a"), "h1": guests("a")}, {"web": {"guests": ["a"]}}, ["guest a of availability set web runs on host h1 and on host h2"]),
])
def test_what_cannot_be_used_is_refused_in_one_sentence(placement, inventory, words):
    with pytest.raises(AvailabilityError) as caught:
        known_sets(placement, inventory)
    text = str(caught.value)
    assert all(word in text for word in words) and "\n" not in text and ". " not in text


# ---- problems ----

WEB = {"h1": guests("web1"), "h2": guests("web2"), "h3": guests("web3")}
SETS = {"web": {"guests": ["web1", "web2", "web3"]}}


def test_no_problem():
    assert availability_problems(WEB, {"h1": 0, "h2": "1", "h3": 0}, SETS) == []
    assert availability_problems({}, {}) == []


def test_all_in_one_domain():
    assert availability_problems(WEB, {"h1": 0, "h2": 0, "h3": "0"}, SETS) == [{
        "set": "web", "domain": "0", "guests": ["web1", "web2", "web3"], "message":
        "update domain 0 has all running guests of availability set web (web1 on h1, web2 on h2, web3 on h3): none is left while it is updated",
    }]


def test_too_few_left():
    found = availability_problems(WEB, {"h1": 0, "h2": 1, "h3": 0}, {"web": {**SETS["web"], "min_available": 2}})
    assert found == [{
        "set": "web", "domain": "0", "guests": ["web1", "web3"], "message":
        "update domain 0 has 2 of the 3 running guests of availability set web (web1 on h1, web3 on h3): 1 would be left while it is updated, and "
        "min_available is 2",
    }]


def test_what_does_not_run_does_not_count_as_available():
    placement = {"h1": guests("web1"), "h2": [guest("web2", state="paused")]}
    found, = availability_problems(placement, {"h1": 0, "h2": 1}, SETS)
    assert (found["domain"], found["guests"]) == ("0", ["web1"])
    assert found["message"].endswith("none is left while it is updated (not running on these hosts: web2, web3)")


def test_too_few_run_before_anything_is_updated():
    placement = {"h1": guests("web1"), "h2": []}
    found, = availability_problems(placement, {"h1": 0, "h2": 1}, {"web": {**SETS["web"], "min_available": 2}})
    assert (found["set"], found["domain"], found["guests"]) == ("web", None, ["web1"])
    assert found["message"] == (
        "fewer guests of availability set web run (1: web1 on h1) than its min_available of 2, before anything is updated "
        "(not running on these hosts: web2, web3)"
    )


def test_sets_of_which_nothing_runs_here_have_no_problem():
    assert availability_problems({"h1": guests("x")}, {"h1": 0}, SETS) == []


def test_problems_are_accepted_by_name():
    domains = {"h1": 0, "h2": 0, "h3": 0}
    assert availability_problems(WEB, domains, SETS, ["web"]) == []
    assert availability_problems(WEB, {"h1": 0, "h2": 1, "h3": 2}, SETS, ["web"]) == []
    other = {**SETS, "other": {"guests": ["web1"]}}
    assert [one["set"] for one in availability_problems(WEB, domains, other, ["web"])] == ["other"]


@pytest.mark.parametrize(("domains", "accepted", "words"), [
    ({"h1": 0, "h2": 0, "h3": 0}, ["wbe"], ["accepted names availability set wbe, which does not exist", "there is web"]),
    ({"h1": 0, "h2": 0, "h3": 0}, "web", ["accepted must be a list"]),
    ({"h1": 0, "h2": 0, "h3": 0}, [1], ["accepted must be a list"]),
    ({"h1": 0, "h3": ""}, [], ["update_domain is not set or empty for host h2, h3"]),
    ({"h1": 0, "h2": 0, "h3": [0]}, [], ["update_domain of host h3 is of type list"]),
    ({"h1": 0, "h2": 0, "h3": 0, "h4": 0}, [], ["guests of host h4 are not known"]),
    ([0], [], ["dictionary of hosts"]),
])
def test_what_cannot_be_used_beside_the_guests(domains, accepted, words):
    with pytest.raises(AvailabilityError) as caught:
        availability_problems(WEB, domains, SETS, accepted)
    assert all(word in str(caught.value) for word in words)


@st.composite
def fleets(draw):
    """Guests on hosts, their sets, and an update domain for each host."""
    hosts = [f"h{number}" for number in range(draw(st.integers(1, 5)))]
    names = [f"g{number}" for number in range(draw(st.integers(0, 8)))]
    placement = {host: [] for host in hosts}
    for name in names:
        one = guest(name, draw(st.none() | st.sampled_from("st")), draw(st.sampled_from(["running", "running", "running", "paused"])))
        placement[draw(st.sampled_from(hosts))].append(one)
    inventory = {name: {"min_available": draw(st.integers(1, 3))} for name in draw(st.sets(st.sampled_from("st")))}
    if names and draw(st.booleans()):
        inventory["u"] = {"guests": draw(st.lists(st.sampled_from([*names, "elsewhere"]), min_size=1, unique=True))}
    return placement, {host: draw(st.integers(0, 3)) for host in hosts}, inventory


@given(fleets())
def test_the_problems_are_those_that_an_update_would_cause(fleet):
    """Played: while a domain is updated, who is left of each set?"""
    placement, domains, inventory = fleet
    found = {(one["set"], one["domain"]) for one in availability_problems(placement, domains, inventory)}
    in_sets = inventory.get("u", {}).get("guests", [])
    expected = set()
    for name in "stu":
        running = [
            host for host, there in placement.items() for one in there
            if one["state"] == "running" and (one["name"] in in_sets if name == "u" else one["availability_set"] == name and one["name"] not in in_sets)
        ]
        least = inventory.get(name, {}).get("min_available", 1)
        if running and len(running) < least:
            expected.add((name, None))
        else:
            for domain in {domains[host] for host in running}:
                if sum(domains[host] != domain for host in running) < least:
                    expected.add((name, str(domain)))
    assert found == expected


@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_does_not_matter(fleet, mixer: random.Random):
    placement, domains, inventory = fleet

    def mixed(mapping):
        return dict(mixer.sample(list(mapping.items()), len(mapping)))
    again = {host: mixer.sample(there, len(there)) for host, there in mixed(placement).items()}
    assert availability_problems(again, mixed(domains), mixed(inventory)) == availability_problems(placement, domains, inventory)
