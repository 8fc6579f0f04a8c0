"""The filter says why there is no plan, so that a task can."""

import pytest

pytest.importorskip("ansible")

from ansible_collections.vm_preserving.maintenance.plugins.filter.rollout_plan import FilterModule  # noqa: E402

SAID = {"a": {"refused": "", "left": False, "plan": None, "guests": []}}


def test_a_plan_or_why_there_is_none():
    plan = FilterModule().filters()["rollout_plan"]
    assert plan(SAID, {"a": "0"})["error"] == "" and plan(SAID, {"a": "0"})["lines"]
    assert "update_domain is not set or empty for a" in plan(SAID, {"a": None})["error"]
    assert "min_available" in plan(SAID, {"a": "0"}, availability_sets={"web": {"min_available": 0}}, fleet=["a"])["error"]
