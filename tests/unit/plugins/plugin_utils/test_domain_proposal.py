# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Update domains that are proposed: small fleets against all that could be proposed, large ones against the rules alone."""
from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import domain_proposal
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import AvailabilityError, availability_problems
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.domain_proposal import NoProposal, least_squares, propose_update_domains


def fleet(*hosts):
    """Hosts h1, h2 and so on, each by the sets of its guests."""
    return {
        f"h{number}": [{"name": f"g{number}-{index}", "availability_set": name} for index, name in enumerate(sets)] for number, sets in enumerate(hosts, 1)
    }


def squares(proposal):
    return sum(size ** 2 for size in Counter(proposal.values()).values())


def moved(proposal, domains):
    return sum(proposal[host] != str(name) for host, name in domains.items())


# ---- what is proposed ----

def test_hosts_without_sets_are_spread_evenly_over_five_domains():
    found = propose_update_domains(fleet(*[""] * 12))
    assert sorted(Counter(found.values()).items()) == [("0", 3), ("1", 3), ("2", 2), ("3", 2), ("4", 2)]
    assert list(found) == [f"h{number}" for number in range(1, 13)]


def test_no_hosts():
    assert propose_update_domains({}) == {}


def test_members_are_kept_apart():
    found = propose_update_domains(fleet("s", "t", "s", "t"), max_domains=2)
    assert found["h1"] != found["h3"] and found["h2"] != found["h4"] and squares(found) == 8


def test_a_large_set_may_lose_as_many_at_once_as_it_can_spare():
    found = propose_update_domains(fleet(*"ssssss"), {"s": {"min_available": 4}}, max_domains=3)
    assert sorted(Counter(found.values()).values()) == [2, 2, 2]


def test_hosts_keep_their_domains_and_new_ones_go_where_there_is_room():
    placement = fleet("s", "s", "", "")
    assert propose_update_domains(placement, domains={"h1": "rack1", "h2": "rack2"}, max_domains=2) == {
        "h1": "rack1", "h2": "rack2", "h3": "rack1", "h4": "rack2",
    }
    assert propose_update_domains(placement, domains={"h1": 1, "h2": "", "h3": None}, max_domains=3) == {"h1": "1", "h2": "0", "h3": "2", "h4": "1"}


def test_as_few_hosts_as_possible_move():
    found = propose_update_domains(fleet("s", "s", "", "", ""), domains=dict.fromkeys(["h1", "h2", "h3", "h4", "h5"], "a"))
    assert (found["h1"], found["h2"]) == ("a", "0") and {found["h3"], found["h4"], found["h5"]} == {"a"}


def test_too_many_domains_become_fewer():
    found = propose_update_domains(fleet("", "", "", ""), domains={"h1": "a", "h2": "a", "h3": "b", "h4": "c"}, max_domains=2)
    assert found == {"h1": "a", "h2": "a", "h3": "b", "h4": "b"}


def test_sets_that_are_accepted_and_sets_without_running_guests_are_not_looked_at():
    placement = fleet("s", "")
    assert set(propose_update_domains(placement, {"t": {"guests": ["x"]}}, accepted=["s"]).values()) == {"0", "1"}


# ---- no solution ----

@pytest.mark.parametrize(("hosts", "inventory", "most", "words"), [
    (["ss"], None, 5, ["availability set s", "min_available 1", "host h1 alone has 2 of the 2 running guests", "only 1 may be down"]),
    (["ss", "s"], {"s": {"min_available": 2}}, 5, ["host h1 alone has 2 of the 3", "g1-0 on h1, g1-1 on h1", "only 1 may be down"]),
    (["s"], None, 5, ["availability set s has min_available 1 and 1 running (g1-0 on h1), so none"]),
    (["s", "s"], {"s": {"min_available": 3}}, 5, ["min_available 3 and 2 running"]),
    (["s", "s", "s"], {"s": {"min_available": 2}}, 2, ["availability set s needs 3 update domains and 2 are allowed"]),
    # a triangle
    (["st", "tu", "us"], None, 2, ["no way to put these hosts into 2 update domains", "s, t, u"]),
])
def test_no_solution(hosts, inventory, most, words):
    for domains in (None, {"h1": "a"}):
        with pytest.raises(NoProposal) as caught:
            propose_update_domains(fleet(*hosts), inventory, domains, most)
        text = str(caught.value)
        assert caught.value.proved and text.startswith("there is no solution") and all(word in text for word in [*words, "accept the set by name"])


def test_many_sets_are_counted_not_named():
    many = fleet(*["".join(chr(ord("A") + index) for index, pair in enumerate(itertools.combinations(range(6), 2)) if host in pair) for host in range(6)])
    with pytest.raises(NoProposal, match=r"5 update domains keeps min_available of all availability sets \(15 in number\)"):
        propose_update_domains(many)
    assert len(set(propose_update_domains(many, max_domains=10**9).values())) == 6


def test_an_end_of_the_search_is_not_taken_for_a_proof(monkeypatch):
    monkeypatch.setattr(domain_proposal, "STEPS", 2)
    with pytest.raises(NoProposal, match="none was found in a search of 2 steps, and whether there is a solution is not known") as caught:
        propose_update_domains(fleet("stu", "svw", "tvx", "uwx"), max_domains=3)
    assert not caught.value.proved


@pytest.mark.parametrize("most", [0, -1, True, "5", 2.0, None])
def test_a_number_of_domains_that_is_none(most):
    with pytest.raises(AvailabilityError, match="max_domains must be a whole number from 1"):
        propose_update_domains({}, max_domains=most)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"domains": {"h9": 1}}, "guests of host h9 are not known"),
    ({"domains": [1]}, "dictionary of hosts"),
    ({"domains": {"h1": [1]}}, "update_domain of host h1 is of type list"),
    ({"accepted": ["x"]}, "availability set x, which does not exist"),
    ({"availability_sets": {"s": 1}}, "availability set s must be a dictionary"),
])
def test_what_cannot_be_used(arguments, words):
    with pytest.raises(AvailabilityError, match=words):
        propose_update_domains(fleet("s", "s"), **arguments)


# ---- properties ----

@st.composite
def small_fleets(draw):
    """Arguments of propose_update_domains."""
    hosts = draw(st.lists(st.text("stu", max_size=3).filter(lambda sets: len(set(sets)) > len(sets) - 2), min_size=1, max_size=5))
    inventory = {name: {"min_available": draw(st.integers(1, 2))} for name in draw(st.sets(st.sampled_from("stu")))}
    domains = draw(st.dictionaries(st.sampled_from([f"h{number}" for number in range(1, len(hosts) + 1)]), st.sampled_from(["a", "b", "0", "2"])))
    return {"placement": fleet(*hosts), "availability_sets": inventory, "domains": domains, "max_domains": draw(st.integers(1, 4))}


def all_solutions(placement, availability_sets, domains, max_domains):
    """Every way to put the hosts into at most so many domains, of the names that are there and new ones, that has no problem."""
    names = [*set(domains.values()), *[f"new{number}" for number in range(max_domains)]]
    for chosen in itertools.product(names, repeat=len(placement)):
        if len(set(chosen)) <= max_domains:
            found = dict(zip(placement, chosen))
            if not availability_problems(placement, found, availability_sets):
                yield found


@given(small_fleets())
def test_small_fleets_get_the_best_of_all_solutions(arguments):
    best = min(((moved(one, arguments["domains"]), squares(one)) for one in all_solutions(**arguments)), default=None)
    try:
        found = propose_update_domains(**arguments)
    except NoProposal as error:
        assert error.proved and best is None
        return
    assert availability_problems(arguments["placement"], found, arguments["availability_sets"]) == []
    assert len(set(found.values())) <= arguments["max_domains"] and list(found) == list(arguments["placement"])
    assert (moved(found, arguments["domains"]), squares(found)) == best


@given(small_fleets(), st.randoms(use_true_random=False))
def test_the_same_is_proposed_in_whatever_order_things_are_given(arguments, mixer: random.Random):
    def mixed(mapping):
        return dict(mixer.sample(list(mapping.items()), len(mapping)))

    def outcome(given):
        try:
            return list(propose_update_domains(**given).items())
        except NoProposal as error:
            return str(error)
    again = {**arguments, **{name: mixed(arguments[name]) for name in ("placement", "availability_sets", "domains")}}
    again["placement"] = {host: mixer.sample(there, len(there)) for host, there in again["placement"].items()}
    assert outcome(again) == outcome(arguments)


@st.composite
def large_fleets(draw):
    count, mixer = draw(st.integers(10, 60)), draw(st.randoms(use_true_random=False))
    placement, inventory = {f"h{number}": [] for number in range(count)}, {}
    for number in range(draw(st.integers(0, 40))):
        members = mixer.randint(2, 6)
        inventory[f"s{number}"] = {"min_available": mixer.randint(1, members - 1)}
        for index, host in enumerate(mixer.sample(list(placement), members)):
            placement[host].append({"name": f"g{number}-{index}", "availability_set": f"s{number}"})
    return placement, inventory, {host: mixer.choice(["a", "b", "c"]) for host in mixer.sample(list(placement), mixer.randint(0, count))}


@given(large_fleets())
def test_large_fleets_get_domains_without_a_problem_and_keep_them(given_fleet):
    placement, inventory, domains = given_fleet
    try:
        found = propose_update_domains(placement, inventory, domains)
    except NoProposal:
        return
    assert availability_problems(placement, found, inventory) == [] and len(set(found.values())) <= 5
    assert propose_update_domains(placement, inventory, found) == found


def test_a_thousand_hosts():
    placement = {f"h{number}": [{"name": f"g{number}", "availability_set": f"s{number % 300}"}] for number in range(1000)}
    found = propose_update_domains(placement)
    assert availability_problems(placement, found) == [] and set(Counter(found.values()).values()) == {200}


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 5))
def test_least_squares(sizes, more):
    played = list(sizes)
    for _host in range(more):
        played[played.index(min(played))] += 1
    assert least_squares(sizes, more) == sum(size ** 2 for size in played)
