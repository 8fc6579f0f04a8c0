# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of planning: their documentation agrees with the functions, and what cannot be used is told with the filter's name."""
from __future__ import annotations

import importlib
import inspect

import pytest

errors = pytest.importorskip("ansible.errors")
yaml = pytest.importorskip("yaml")

FILTERS = {"availability_problems": "availability", "propose_update_domains": "domain_proposal"}
PLUGINS = "ansible_collections.vm_preserving.maintenance.plugins"
PLACEMENT = {"h1": [{"name": "web1"}], "h2": [{"name": "web2"}]}
SETS = {"web": {"guests": ["web1", "web2"]}}


def plugin(name):
    return importlib.import_module(f"{PLUGINS}.filter.{name}")


def function(name):
    return plugin(name).FilterModule().filters()[name]


@pytest.mark.parametrize(("name", "home"), FILTERS.items())
def test_documentation_filter_and_function_have_the_same_options(name, home):
    found = yaml.safe_load(plugin(name).DOCUMENTATION)
    pure = inspect.signature(getattr(importlib.import_module(f"{PLUGINS}.plugin_utils.{home}"), name)).parameters
    _first, *others = inspect.signature(function(name)).parameters.values()
    assert {one.name: one.default for one in others} == {name: one.default for name, one in list(pure.items())[1:]}
    assert found["name"] == name and found["positional"].split(", ") == [one.name for one in others]
    assert set(found["options"]) == {"_input", *pure} - {"placement"}
    for one in others:
        option = found["options"][one.name]
        assert option.get("required", False) == (one.default is inspect.Parameter.empty)
        assert one.default in (inspect.Parameter.empty, option.get("default")) or (one.default, option.get("default")) == ((), [])


def test_they_pass_everything_on():
    problems = function("availability_problems")
    assert [one["domain"] for one in problems(PLACEMENT, {"h1": 1, "h2": 1}, SETS)] == ["1"]
    assert problems(PLACEMENT, {"h1": 1, "h2": 1}, SETS, ["web"]) == []
    propose = function("propose_update_domains")
    assert propose(PLACEMENT, SETS, {"h1": "a"}, 2) == {"h1": "a", "h2": "0"}
    assert propose(PLACEMENT, SETS, max_domains=1, accepted=["web"]) == {"h1": "0", "h2": "0"}


@pytest.mark.parametrize(("name", "arguments", "words"), [
    ("availability_problems", ([], {}), "^availability_problems: the guests must be given as a dictionary"),
    ("availability_problems", (PLACEMENT, {"h1": 1}), "^availability_problems: the variable update_domain is not set or empty for host h2"),
    ("propose_update_domains", ([],), "^propose_update_domains: the guests must be given as a dictionary"),
    ("propose_update_domains", (PLACEMENT, SETS, None, 1), "^propose_update_domains: there is no solution: availability set web needs 2 update domains"),
])
def test_what_cannot_be_used_is_an_error_of_the_filter(name, arguments, words):
    with pytest.raises(errors.AnsibleFilterError, match=words):
        function(name)(*arguments)
