# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/unit_states: what systemctl says of units."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.unit_states import UnitState, parse, unit_states

SAID = """\
LoadState=loaded
ActiveState=active
FragmentPath=/lib/systemd/system/libvirtd.service
UnitFileState=enabled

LoadState=loaded
ActiveState=inactive
FragmentPath=/lib/systemd/system/virtlockd.service
UnitFileState=disabled

LoadState=not-found
ActiveState=inactive
FragmentPath=
UnitFileState=
"""


def test_parse():
    assert parse(SAID) == [
        UnitState(True, True, "/lib/systemd/system/libvirtd.service"), UnitState(True, False, "/lib/systemd/system/virtlockd.service", False),
        UnitState(False, False),
    ]
    assert parse("") == parse("\n") == []


@pytest.mark.parametrize("state", ["reloading", "activating", "refreshing"])
def test_what_is_on_its_way_runs(state):
    assert parse(f"LoadState=loaded\nActiveState={state}\n")[0].active


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    def make(script):
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return make


def test_globs_are_left_to_systemctl(systemctl, tmp_path):
    systemctl(f'echo "$*" > {tmp_path}/log; printf "LoadState=loaded\\nActiveState=active\\n"')
    assert unit_states(["a.service", "b@*.service"]) == {"a.service": UnitState(True, True)}
    assert (tmp_path / "log").read_text().endswith("-- a.service\n")
    assert unit_states(["b@*.service"]) == {}


@pytest.mark.parametrize(("script", "words"), [
    ("echo no bus >&2; exit 1", "no bus"), ("printf 'LoadState=loaded\\n'", "1 answers for 2 units"),
])
def test_a_systemd_that_does_not_answer(systemctl, script, words):
    systemctl(script)
    with pytest.raises(MaintenanceError) as caught:
        unit_states(["a.service", "b.service"])
    assert caught.value.code == "systemd" and words in str(caught.value)


def test_no_systemctl(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MaintenanceError) as caught:
        unit_states(["a.service"])
    assert caught.value.code == "systemd"
