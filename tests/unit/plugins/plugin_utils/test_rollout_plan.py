"""What a rollout would do, from what its hosts say ahead."""

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import AvailabilityError
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_plan import rollout_plan
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.update_domains import UpdateDomainError

WEB = {"name": "web1", "state": "running", "availability_set": "web"}


def planned(name, pause=None, away=None, left_alone="", stop=""):
    return {"name": name, "uuid": name, "stop": stop, "pause": pause, "away": away, "left_alone": left_alone}


def said(technique=None, guests=(), refused="", left=False, found=()):
    plan = None if technique is None else {"technique": technique, "guests": list(guests)}
    return {"refused": refused, "left": left, "plan": plan, "guests": list(found)}


def test_each_host_has_a_line_in_the_order_of_the_update_domains():
    found = rollout_plan(
        {
            "a": said("reboot", [planned("g1", away=70.25), planned("g2", away=75.04)]),
            "b": said("pause", [planned("g3", pause=30), planned("g4", left_alone="is left alone")]),
            "c": said(),
            "d": said("live"),
            "e": said(left=True),
        },
        {"a": "10", "b": 2, "c": "2", "d": "3", "e": "3"},
    )
    assert found["lines"] == [
        "update domain 2 (1 of 3)",
        "  b: pause; 1 guest paused for at most 30.0 s, 1 guest left alone",
        "  c: nothing is pending",
        "update domain 3 (2 of 3)",
        "  d: live; guests run on",
        "  e: what an earlier run left of its guests is put right first, then it is judged",
        "update domain 10 (3 of 3)",
        "  a: reboot; 2 guests away for about 75.0 s",
        "away for longest: guest g2 on a, about 75.0 s",
    ]
    assert found["refused"] == {} and found["problems"] == []
    assert found["domains"] == [{"name": "2", "hosts": ["b", "c"]}, {"name": "3", "hosts": ["d", "e"]}, {"name": "10", "hosts": ["a"]}]


def test_who_is_shut_down_is_named_first():
    found = rollout_plan({"a": said("reboot", [planned("gpu1", stop="a device"), planned("gpu2", stop="a device"), planned("g1", away=70.0)])}, {"a": "0"})
    assert "  a: reboot; SHUT DOWN and started again: gpu1, gpu2, 1 guest away for about 70.0 s" in found["lines"]


def test_every_host_that_would_stop_the_rollout_is_named():
    found = rollout_plan({"a": {}, "b": said(refused="b: refused, nothing was touched:\n  guest x"), "c": said()}, {"a": "0", "b": "1", "c": "1"})
    assert found["refused"] == {"a": "it does not answer", "b": "refused, nothing was touched: guest x"}
    assert {"  a: refused: it does not answer", "  b: refused, nothing was touched: guest x"} <= set(found["lines"])


@pytest.mark.parametrize(("fleet", "problems"), [(["a", "b"], 1), (["a", "b", "c"], 0)])
def test_availability_sets_are_checked_when_the_run_leaves_nobody_out(fleet, problems):
    found = rollout_plan({"a": said(found=[WEB]), "b": said(found=[])}, {"a": "0", "b": "1"}, fleet=fleet)
    assert len(found["problems"]) == problems
    assert any("leaves out 1 of 3 hosts" in line for line in found["lines"]) == (not problems)


def test_a_problem_that_is_accepted_by_name_is_none():
    found = rollout_plan({"a": said(found=[WEB]), "b": said()}, {"a": "0", "b": "1"}, accepted=["web"], fleet=["a", "b"])
    assert found["problems"] == []


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UpdateDomainError, match="update_domain is not set or empty for b"):
        rollout_plan({"a": said(), "b": said()}, {"a": "0", "b": None})
    with pytest.raises(UpdateDomainError, match="update_domain_order"):
        rollout_plan({"a": said()}, {"a": "0"}, order=["1"])
    with pytest.raises(AvailabilityError, match="web"):
        rollout_plan({"a": said(found=[WEB])}, {"a": "0"}, availability_sets={"web": {"min_available": 0}}, fleet=["a"])
