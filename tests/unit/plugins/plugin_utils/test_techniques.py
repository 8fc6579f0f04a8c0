# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The techniques: one table, and everything else that names them or the pause limit agrees with it."""
from __future__ import annotations

import ast
import pathlib
import re

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import limits
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import techniques
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.techniques import AUTO, DEFAULT_PAUSE_LIMIT, NAMES, OFFERED, TECHNIQUES, strongest

yaml = pytest.importorskip("yaml")
ROOT = pathlib.Path(techniques.__file__).parents[2]


def documentation(path: str, variable: str = "DOCUMENTATION") -> dict:
    """What a plugin documents, without running it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and node.targets[0].id == variable:
            return yaml.safe_load(node.value.value)
    raise AssertionError(f"{path} has no {variable}")


def options(role: str) -> dict:
    specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]["main"]["options"]


def defaults(role: str) -> dict:
    return yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"))


def test_each_technique_does_one_thing_to_the_guests():
    assert len(set(NAMES)) == len(NAMES)
    assert all(sum((row.pauses, row.moves, row.reboots)) <= 1 for row in TECHNIQUES)
    assert not any((row.pauses, row.moves, row.reboots) != (False, False, False) for row in TECHNIQUES if not row.offered)


@pytest.mark.parametrize(("names", "expected"), [
    ([], None), (["live"], "live"), (["pause", "live"], "pause"), (["refresh", "pause"], "refresh"),
    (["refresh", "reboot"], "reboot"), (["refuse", "reboot"], "refuse"),
])
def test_the_strongest_counts(names, expected):
    assert strongest(names) == expected


def test_whoever_offers_techniques_offers_those_of_the_table():
    assert options("host_update")["host_update_technique"]["choices"] == [AUTO, *OFFERED]
    assert defaults("host_update")["host_update_technique"] == AUTO
    assert documentation("plugins/filter/host_decision.py")["options"]["_input"]["choices"] == [AUTO, *OFFERED]
    assert documentation("plugins/filter/host_plan.py")["options"]["technique"]["choices"] == list(OFFERED)
    rules = documentation("plugins/doc_fragments/maintenance.py", "PACKAGES")["options"]["rules"]
    assert rules["suboptions"]["technique"]["choices"] == list(NAMES)


def test_the_role_tells_what_each_technique_is():
    readme = (ROOT / "roles" / "host_update" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == list(OFFERED)


def test_there_is_one_default_pause_limit():
    assert {
        "modules": limits.DEFAULT_PAUSE_LIMIT,
        "defaults": defaults("host_update")["host_update_pause_limit"],
        "argument_specs": options("host_update")["host_update_pause_limit"]["default"],
        "host_plan": documentation("plugins/filter/host_plan.py")["options"]["pause_limit"]["default"],
        "LIMITS": documentation("plugins/doc_fragments/maintenance.py", "LIMITS")["options"]["pause_limit"]["default"],
        "guest_refresh": documentation("plugins/modules/guest_refresh.py")["options"]["pause_limit"]["default"],
        **{path: float(found) for path in ("README.md", "roles/host_update/README.md")
           for found in re.findall(r"^ *host_update_pause_limit: ([0-9.]+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)},
    } == dict.fromkeys(
        ("modules", "defaults", "argument_specs", "host_plan", "LIMITS", "guest_refresh", "README.md", "roles/host_update/README.md"), DEFAULT_PAUSE_LIMIT,
    )
