# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action group of meta/runtime.yml: what it is there for, setting an option of all its modules at once, works with each of them."""
from __future__ import annotations

import ast
import pathlib

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.doc_fragments.maintenance import ModuleDocFragment
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import techniques

yaml = pytest.importorskip("yaml")
ROOT = pathlib.Path(techniques.__file__).parents[2]
GROUP = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]["maintenance"]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def takes_uri(module: str) -> bool:
    """Whether a module documents the option, by itself or by the fragment that all share; sanity tests hold its argument spec to that."""
    for node in ast.walk(ast.parse((ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION":
            documented = yaml.safe_load(node.value.value)
            return "uri" in documented.get("options", {}) or "vm_preserving.maintenance.maintenance" in documented.get(
                "extends_documentation_fragment", [])
    raise AssertionError(f"{module} has no documentation")


def test_the_group_has_all_modules_that_take_a_uri_and_no_other():
    assert sorted(GROUP) == [module for module in MODULES if takes_uri(module)]


def test_their_documentation_says_so():
    """The attribute comes with the fragment that has the option."""
    fragment = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)
    assert "uri" in fragment["options"]
    assert fragment["attributes"]["action_group"]["membership"] == ["vm_preserving.maintenance.maintenance"]


def test_there_is_one_that_takes_none():
    """Else the test above would not see what it is there for."""
    assert not takes_uri("guard_program")
