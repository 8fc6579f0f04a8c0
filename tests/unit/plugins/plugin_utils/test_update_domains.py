# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import update_domains
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.update_domains import UpdateDomain, UpdateDomainError

NAMES = st.text(min_size=1).filter(str.strip) | st.from_regex(r"\A[a-c]{0,2}[0-9]{1,3}[a-c]?\Z")
DOMAINS = st.dictionaries(st.text("h0123456789", min_size=1), NAMES | st.integers(), min_size=1)


def hosts_by_domain(domains):
    return {domain.name: list(domain.hosts) for domain in domains}


# ---- order ----

@pytest.mark.parametrize("names", [
    ["1", "2", "10"],
    ["a", "b"],
    ["1", "002", "10", "011"],
    ["rack2", "rack10", "rack10a", "rack10b"],
    ["0", "1", "a"],
    ["row1-rack2", "row1-rack10", "row2-rack1"],
    ["2", "2a", "3"],
    ["7" * 5000, "8" * 5000, "1" + "0" * 5000],
    ["-1", "a²", "a³"],
])
def test_natural_order(names):
    assert sorted(reversed(names), key=update_domains.natural_key) == names  # noqa: C414


@given(st.lists(NAMES, unique=True))
def test_natural_order_does_not_depend_on_the_order_before(names):
    assert sorted(names, key=update_domains.natural_key) == sorted(reversed(names), key=update_domains.natural_key)  # noqa: C414


@given(st.lists(st.integers(min_value=0), unique=True), st.text("ab-"))
def test_natural_order_of_numbers_is_their_order(numbers, prefix):
    names = sorted((f"{prefix}{number}" for number in numbers), key=update_domains.natural_key)
    assert names == [f"{prefix}{number}" for number in sorted(numbers)]


@pytest.mark.parametrize(("order", "expected"), [
    (None, ["2", "10", "r1"]),
    (["r1", "10", "2"], ["r1", "10", "2"]),
    (["10", "2", "r1"], ["10", "2", "r1"]),
    ([10, 2, "r1"], ["10", "2", "r1"]),
    (("10", "2", "r1"), ["10", "2", "r1"]),
    (["0", "10", "later", "2", "r1"], ["10", "2", "r1"]),
])
def test_order_domains(order, expected):
    domains = [UpdateDomain("r1", ("c1",)), UpdateDomain("10", ("b1", "b2")), UpdateDomain("2", ("a1",))]
    ordered = update_domains.order_domains(domains, order)
    assert [domain.name for domain in ordered] == expected
    assert set(ordered) == set(domains)


@pytest.mark.parametrize(("order", "words"), [
    ([], ["2 (a1)", "10 (b1, b2)"]),
    (["2"], ["(2)", "10 (b1, b2)"]),
    (["2", "r1"], ["10 (b1, b2)"]),
    (["2", "10", "2"], ["more than once: 2"]),
    (["2", 2, "10"], ["more than once: 2"]),
    ("2,10", ["must be a list", "type str"]),
    (2, ["must be a list", "type int"]),
    ({"2": 1, "10": 2}, ["must be a list", "type dict"]),
    (True, ["must be a list", "type bool"]),
    (["2", ["10"]], ["holds a value of type list"]),
    (["2", True], ["holds a value of type bool"]),
    (["2", None], ["empty name"]),
    (["2", " "], ["empty name"]),
])
def test_order_domains_refuses(order, words):
    domains = [UpdateDomain("10", ("b1", "b2")), UpdateDomain("2", ("a1",))]
    with pytest.raises(UpdateDomainError) as caught:
        update_domains.order_domains(domains, order)
    assert "No host was touched" in str(caught.value)
    assert "update_domain_order" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_order_domains_does_not_blame_the_named():
    with pytest.raises(UpdateDomainError) as caught:
        update_domains.order_domains([UpdateDomain("10", ("b1",)), UpdateDomain("2", ("a1",))], ["2"])
    assert "a1" not in str(caught.value)


@pytest.mark.parametrize(("values", "named"), [
    ({"a1": "010", "b1": "8", "c1": "rack2"}, None),
    ({"a1": 0, "b1": 7}, None),  # 07 is 7
    ({"a1": None, "b1": True, "c1": [8], "d1": ValueError("x")}, None),
    ({"a1": 8}, "8 (a1)."),
    ({"a1": 16, "b1": "8", "c1": 8, "d1": 16}, "8 (c1), 16 (a1, d1)."),
])
def test_numbers_that_may_have_been_written_otherwise(values, named):
    warning = update_domains.as_numbers(values)
    assert warning is None if named is None else f"not texts: {named}" in warning


@pytest.mark.parametrize(("values", "expected"), [
    ({}, None),
    ({"a1": None, "b1": None}, None),
    ({"a1": ["2"], "b1": ["2"]}, ["2"]),
])
def test_common_value(values, expected):
    assert update_domains.common_value("update_domain_order", values) == expected


@pytest.mark.parametrize(("values", "words"), [
    ({"a1": ["2"], "b1": ["2"], "c1": ["3"]}, ["a1 and c1"]),
    ({"a1": None, "b1": ["2"]}, ["a1 and b1"]),
    ({"a1": ["2"], "b1": None}, ["a1 and b1"]),
    ({"a1": None, "b1": ValueError("'x' is\n undefined")}, ["b1", "'x' is undefined"]),
])
def test_common_value_refuses(values, words):
    with pytest.raises(UpdateDomainError) as caught:
        update_domains.common_value("update_domain_order", values)
    for word in words:
        assert word in str(caught.value)


# ---- a play without update domains ----

@pytest.mark.parametrize(("values", "order", "required", "expected"), [
    ({"a1": None, "b1": "", "c1": " "}, None, False, True),
    ({"a1": None}, None, True, False),
    ({"a1": None}, None, None, False),
    ({"a1": None}, [], False, False),
    ({"a1": None, "b1": "2"}, None, False, False),
    ({"a1": 0}, None, False, False),
    ({"a1": []}, None, False, False),
    ({"a1": ValueError()}, None, False, False),
])
def test_as_linear(values, order, required, expected):
    assert update_domains.as_linear(values, order=order, required=required) is expected


@pytest.mark.parametrize("required", ["perhaps", "", 2, []])
def test_as_linear_refuses_what_is_neither_true_nor_false(required):
    with pytest.raises(UpdateDomainError, match="must be true or false"):
        update_domains.as_linear({"a1": None}, order=None, required=required)


# ---- grouping ----

@pytest.mark.parametrize(("value", "name"), [
    ("2", "2"), (2, "2"), (0, "0"), ("0", "0"), (-1, "-1"), ("rack 2", "rack 2"), ("02", "02"),
    (None, ""), ("", ""), (" ", ""),
])
def test_domain_name(value, name):
    assert update_domains.domain_name(value) == name


@pytest.mark.parametrize(("value", "kind"), [
    (True, "bool"), (False, "bool"), ([], "list"), (["2"], "list"), ({}, "dict"), ({"a": 1}, "dict"), (1.0, "float"), (b"2", "bytes"),
])
def test_domain_name_refuses(value, kind):
    with pytest.raises(TypeError) as caught:
        update_domains.domain_name(value)
    assert str(caught.value) == kind


def test_group_hosts_takes_numbers_and_strings_alike_and_keeps_the_order_of_hosts():
    domains = update_domains.group_hosts({"z": 2, "b": "r1", "a": "2", "c": "r1"})
    assert domains == [UpdateDomain("2", ("z", "a")), UpdateDomain("r1", ("b", "c"))]


@given(DOMAINS)
def test_group_hosts_puts_every_host_into_one_domain(values):
    domains = update_domains.group_hosts(values)
    assert sorted(host for domain in domains for host in domain.hosts) == sorted(values)
    assert len({domain.name for domain in domains}) == len(domains)
    for domain in domains:
        assert {str(values[host]) for host in domain.hosts} == {domain.name}
        assert list(domain.hosts) == [host for host in values if host in domain.hosts]


@given(DOMAINS, st.sets(st.text("xy", min_size=1), min_size=1), st.sampled_from([None, "", [], {}, True, ValueError("no")]))
def test_group_hosts_names_every_bad_host_and_no_good_one(values, bad_hosts, bad):
    with pytest.raises(UpdateDomainError) as caught:
        update_domains.group_hosts({**values, **dict.fromkeys(bad_hosts, bad)})
    message = str(caught.value)
    named = message.split(" for ", 1)[1].split(": give every host", 1)[0]
    assert {part.split(" (")[0] for part in named.split(", ")} == bad_hosts


def test_group_hosts_tells_all_problems_at_once():
    with pytest.raises(UpdateDomainError) as caught:
        update_domains.group_hosts({"a": "1", "b": None, "c": "", "d": ["1"], "e": True, "f": ValueError("'x' is\nundefined")})
    assert "not set or empty for b, c;" in str(caught.value)
    assert "for d (list), e (bool), f (cannot be templated: 'x' is undefined):" in str(caught.value)


def test_within():
    domains = [UpdateDomain("1", ("a", "b")), UpdateDomain("2", ("c",)), UpdateDomain("3", ("d", "e"))]
    assert update_domains.within(domains, {"b", "d", "e"}) == [UpdateDomain("1", ("b",)), UpdateDomain("3", ("d", "e"))]


# ---- may the next domain start? ----

@pytest.mark.parametrize(("failed", "unreachable", "expected"), [
    ([], [], []),
    (["x"], ["y"], []),
    (["b", "x"], [], ["failed or not started: b"]),
    ([], ["a", "b"], ["unreachable: a, b"]),
    (["a"], ["b"], ["failed or not started: a", "unreachable: b"]),
    (["a"], ["a"], ["unreachable: a"]),
])
def test_down(failed, unreachable, expected):
    assert update_domains.down(["a", "b"], failed=failed, unreachable=unreachable) == expected


@pytest.mark.parametrize(("facts", "expected"), [
    ({}, []),
    # Hosts of other plays do not count, nor the result that they cause.
    ({"failed": ["x"], "unreachable": ["y"], "result": 2 | 4}, []),
    ({"failed": ["a"], "result": 2}, ["failed: a"]),
    ({"failed": ["b", "a"], "result": 2}, ["failed: a, b"]),
    ({"failed": ["a"]}, ["failed: a"]),
    ({"unreachable": ["b"], "finished": ["a"], "result": 4}, ["unreachable: b"]),
    ({"failed": ["a"], "unreachable": ["b"], "finished": [], "result": 4}, ["failed: a", "unreachable: b"]),
    ({"failed": ["a"], "unreachable": ["a"]}, ["unreachable: a"]),
    ({"finished": ["a"]}, ["not finished: b"]),
    ({"finished": []}, ["not finished: a, b"]),
    ({"ended": True}, ["the play was ended early (meta: end_play)"]),
    ({"failed": ["a"], "ended": True}, ["failed: a", "the play was ended early (meta: end_play)"]),
    # A result that nothing explains.
    ({"result": 2}, ["its run ended with result 2"]),
    ({"result": 4}, ["its run ended with result 4"]),
    ({"result": 8}, ["its run ended with result 8"]),
    ({"result": 8, "failed": ["x"]}, ["its run ended with result 8"]),
    ({"result": 255, "failed": ["x"]}, ["its run ended with result 255"]),
    ({"result": 1}, ["its run ended with result 1"]),
])
def test_shortfalls(facts, expected):
    facts = {"failed": [], "unreachable": [], "finished": ["a", "b"], **facts}
    assert update_domains.shortfalls(UpdateDomain("2", ("a", "b")), **facts) == expected


HOSTS = st.sets(st.sampled_from("abcxyz"))


@given(HOSTS, HOSTS, HOSTS, st.sampled_from([0, 1, 2, 4, 6, 8, 10, 255]), st.booleans())
def test_the_next_domain_starts_only_when_every_host_is_done(failed, unreachable, finished, result, ended):
    domain = UpdateDomain("2", ("a", "b", "c"))
    reasons = update_domains.shortfalls(domain, failed=failed, unreachable=unreachable, finished=finished, result=result, ended=ended)
    done = set(domain.hosts) <= finished - failed - unreachable
    if not done or ended or result & ~6:
        assert reasons
    elif failed | unreachable or not result:
        assert not reasons


# ---- what the operator reads ----

def test_stop_message():
    message = update_domains.stop_message(
        UpdateDomain("2", ("a", "b")), ["failed: a", "unreachable: b"], [UpdateDomain("10", ("c", "d")), UpdateDomain("r1", ("e",))])
    assert message.startswith("The rollout stops at update domain 2: failed: a; unreachable: b.\n")
    assert "\nUpdate domains not started: 10 (c, d), r1 (e).\n" in message
    assert "vm_preserving.maintenance.recover" in message


def test_stop_message_of_the_last_domain():
    assert "\nNo update domain was left to start.\n" in update_domains.stop_message(UpdateDomain("2", ("a",)), ["failed: a"], [])


def test_stop_message_before_a_domain():
    domain = UpdateDomain("2", ("a",))
    message = update_domains.stop_message(domain, ["unreachable: a"], [domain])
    assert message.startswith("The rollout stops before update domain 2, because of an earlier play or batch: unreachable: a.\n")
    assert "not started: 2 (a).\n" in message


@pytest.mark.parametrize(("forks", "warned"), [(1, True), (2, True), (3, False), (50, False)])
def test_crowded(forks, warned):
    warning = update_domains.crowded([UpdateDomain("1", ("a",)), UpdateDomain("2", ("b", "c", "d")), UpdateDomain("3", ("e", "f"))], forks)
    assert (warning is not None) == warned
    if warned:
        assert warning.startswith(f"Update domain 2 has 3 hosts, more than forks ({forks})")
        assert "--forks 3" in warning


def test_crowded_without_domains():
    assert update_domains.crowded([], 5) is None


# ---- a trial first, parts, and how many may fail ----

TEN = [UpdateDomain(str(number), (f"h{number}",)) for number in range(10)]


@pytest.mark.parametrize(("first", "names"), [
    (None, list("0123456789")),
    ([], list("0123456789")),
    (["7"], list("7012345689")),
    ([9, "later", "3"], list("9301245678")),
])
def test_the_domains_of_a_trial_come_first(first, names):
    assert [domain.name for domain in update_domains.order_domains(TEN[::-1], None, first)] == names


@pytest.mark.parametrize(("order", "first", "told"), [
    (list("0123456789"), ["7"], "update_domain_order and update_domain_first are both set"),
    (None, "7", "update_domain_first must be a list of update domains, not of type str"),
    (None, ["7", 7], "update_domain_first names more than once: 7"),
    (None, [True], "update_domain_first holds a value of type bool"),
])
def test_what_cannot_come_first(order, first, told):
    with pytest.raises(UpdateDomainError, match=told):
        update_domains.order_domains(TEN, order, first)


def test_a_domain_is_worked_on_in_parts():
    domains = [UpdateDomain("a", ("1", "2", "3", "4", "5")), UpdateDomain("b", ("6",))]
    assert [(part.name, "".join(part.hosts)) for part in update_domains.parts(domains, "2")] == [("a", "12"), ("a", "34"), ("a", "5"), ("b", "6")]
    assert update_domains.parts(domains) == update_domains.parts(domains, 5) == domains


@pytest.mark.parametrize("most", [0, -1, True, "two", 1.5, "1.5"])
def test_parts_of_no_size(most):
    with pytest.raises(UpdateDomainError, match="update_domain_max_parallel_hosts must be a whole number from 1"):
        update_domains.parts(TEN, most)


@pytest.mark.parametrize(("value", "may"), [(None, 0), (0, 0), ("3", 3), (3, 3), ("10%", 2), ("0%", 0), (" 100 % ", 25), ("7.9%", 1), ("8%", 2)])
def test_how_many_of_25_hosts_may_fail(value, may):
    assert update_domains.may_fail(value, 25) == may


@pytest.mark.parametrize("value", [-1, True, "-1", "101%", "%", "ten", 0.5, ["1"]])
def test_what_is_no_number_of_hosts(value):
    with pytest.raises(UpdateDomainError, match="update_domain_max_failed_hosts must be a whole number from 0, or a percentage"):
        update_domains.may_fail(value, 25)
