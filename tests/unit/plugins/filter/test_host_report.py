# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter host_report: its name, its function and its documentation agree."""
from __future__ import annotations

import inspect

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.filter import host_report as plugin
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report


def test_the_filter_is_the_function():
    assert plugin.FilterModule().filters() == {"host_report": host_report}


def test_the_documentation_names_the_options_of_the_function():
    yaml = pytest.importorskip("yaml")
    documented = yaml.safe_load(plugin.DOCUMENTATION)
    first, *others = inspect.signature(host_report).parameters.values()
    assert documented["name"] == "host_report" and set(documented["options"]) == {"_input", *(parameter.name for parameter in others)}
    assert first.name == "host"
    required = {parameter.name for parameter in others if parameter.default is inspect.Parameter.empty}
    assert set(documented["positional"].split(", ")) >= required


def test_in_a_template():
    """As the role uses it, through Jinja itself."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment()
    environment.filters.update(plugin.FilterModule().filters())
    assert environment.from_string("{{ ('h1' | host_report(none)).summary }}").render() == "nothing was pending, nothing was paused"
