# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house of module_utils: the folder of a file is its layer, and imports go downward only."""
from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[4] / "plugins"
HOME = ROOT / "module_utils"
#: From the ground up; rooms of one floor do not know each other. docs/architecture.md says what is in them.
FLOORS = (
    ("_core",), ("_system",), ("_clock", "_updates", "_events", "_rollout", "_stopped"), ("_pause", "_metadata"), ("_saved",), ("_program",), ("_launch",),
    ("_actions",), ("_module",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path.relative_to(HOME) for path in HOME.rglob("*.py"))


def room(path: tuple[str, ...]) -> str:
    """The room of a file or module, by the parts of its path."""
    return path[0].removesuffix(".py")


def imported(path: pathlib.Path) -> set[tuple[str, ...]]:
    """Our modules that a file imports, as the parts of their paths."""
    found = set()
    for node in ast.walk(ast.parse((HOME / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = path.parts[:-node.level] + tuple(node.module.split(".") if node.module else ())
            found |= {(*package, alias.name) for alias in node.names}
    return found


def test_every_file_is_in_a_room():
    assert {room(path.parts) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_downward_only(path):
    mine = room(path.parts)
    for other in map(room, imported(path)):
        assert other == mine or FLOOR[other] < FLOOR[mine], f"{path} imports {other}, which is not below it"


@pytest.mark.parametrize("path", [path for path in FILES if room(path.parts) not in ("_module",)], ids=str)
def test_only_the_meeting_point_knows_ansible(path):
    for node in ast.walk(ast.parse((HOME / path).read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not [name for name in names if name.partition(".")[0] in ("ansible", "ansible_collections")], f"{path} imports Ansible"


ON_THE_CONTROLLER = {path.stem for path in (ROOT / "action").glob("*.py")}


@pytest.mark.parametrize("path", [path for path in sorted((ROOT / "modules").glob("*.py")) if path.stem not in ON_THE_CONTROLLER], ids=lambda path: path.stem)
def test_a_modules_action_has_the_modules_name(path):
    """The way from a module to its logic needs no search."""
    wanted = f"plugins.module_utils._actions.{path.stem}"
    modules = [node.module for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    assert [name for name in modules if name and name.endswith(wanted)], f"{path.name} does not import {wanted}"
