# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters about a host: name, function and documentation of each agree, and they work in a template."""
from __future__ import annotations

import importlib
import inspect

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import host_failure as failures

HERE = "ansible_collections.vm_preserving.maintenance.plugins"
#: By filter, where its function is.
FILTERS = {
    "clocks_due": "ours", "guests_to_stop": "host_stop", "host_decision": "host_decision", "host_failure": "host_failure",
    "host_plan": "host_plan", "host_report": "host_report",
    **dict.fromkeys(["host_events", "event_lines", "sets_of", "event_copies", "event_relatives", "event_approvals", "told_ahead"], "host_events"),
}


def plugin(name):
    return importlib.import_module(f"{HERE}.filter.{name}")


def function(name):
    return getattr(importlib.import_module(f"{HERE}.plugin_utils.{FILTERS[name]}"), name)


def documented(name):
    return pytest.importorskip("yaml").safe_load(plugin(name).DOCUMENTATION)


@pytest.mark.parametrize("name", FILTERS)
def test_the_filter_is_the_function(name):
    assert plugin(name).FilterModule().filters() == {name: function(name)}


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "host_failure"])
def test_the_documentation_names_the_options_of_the_function(name):
    found = documented(name)
    _first, *others = inspect.signature(function(name)).parameters.values()
    assert found["name"] == name and set(found["options"]) == {"_input", *(parameter.name for parameter in others)}
    required = [parameter.name for parameter in others if parameter.default is inspect.Parameter.empty]
    assert [one for one in found.get("positional", "").split(", ") if one][:len(required)] == required
    for parameter in others:
        default = found["options"][parameter.name].get("default")
        assert parameter.default in (inspect.Parameter.empty, default) or (parameter.default, default) == ((), [])


def test_the_documentation_names_the_facts_of_every_kind_of_failure():
    found = documented("host_failure")["options"]
    facts = {name for kind in failures.KINDS.values() for name in inspect.signature(kind).parameters}
    assert set(found) == {"_input", "kind", *facts}
    assert found["kind"]["choices"] == list(failures.KINDS)


@pytest.mark.parametrize(("template", "expected"), [
    ("{{ ('h1' | host_report(none)).summary }}", "nothing was pending, nothing was paused"),
    ("{{ ('auto' | host_decision(guests=[])).technique }}", "pause"),
    ("{{ ('h1' | host_plan('live')).lines | first }}", "h1: the update is applied while the guests run"),
    ("{{ 'h1' | host_failure('lists', given={'host_update_guests': 'web'}) }}",
     "h1: host_update_guests must be a list, not a text, for example [libvirt-daemon-system]. No guest was touched."),
    ("{{ {'guests': [], 'window': none, 'saving': none} | clocks_due }}", "[]"),
])
def test_in_a_template(template, expected):
    """As the role uses them, through Jinja itself."""
    environment = pytest.importorskip("jinja2").Environment()
    for name in FILTERS:
        environment.filters.update(plugin(name).FilterModule().filters())
    assert environment.from_string(template).render() == expected
