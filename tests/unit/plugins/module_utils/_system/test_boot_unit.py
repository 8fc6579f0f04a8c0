# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/boot_unit: it is there for the next boot, and gone afterwards."""
from __future__ import annotations

import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import boot_unit

ARGV = ["/usr/bin/python3", "-I", "/var/lib/vm_preserving/system/guard-1.pyz", "--uri", "qemu:///system", "--restore"]

reloads = []


@pytest.fixture
def units(tmp_path, monkeypatch):
    monkeypatch.setattr(boot_unit.RESTORE, "unit", str(tmp_path / "vm-preserving-restore.service"))
    monkeypatch.setattr(boot_unit.RESTORE, "wanted", str(tmp_path / "multi-user.target.wants" / "vm-preserving-restore.service"))
    monkeypatch.setattr(boot_unit.host_power, "read_units_anew", lambda: reloads.append(1))
    reloads.clear()
    return tmp_path


def test_the_next_boot_finds_it(units):
    boot_unit.RESTORE.install("/var/lib/vm_preserving/system", ARGV)
    boot_unit.RESTORE.install("/var/lib/vm_preserving/system", ARGV)  # again: an earlier run left it
    with open(boot_unit.RESTORE.wanted, encoding="ascii") as stream:
        lines = stream.read().splitlines()
    assert f"ExecStart={' '.join(ARGV)}" in lines
    assert "RequiresMountsFor=/var/lib/libvirt /var/lib/vm_preserving/system" in lines
    assert "Restart=on-failure" in lines
    assert oct(os.stat(boot_unit.RESTORE.unit).st_mode & 0o777) == "0o644"


def test_it_goes_without_a_trace(units):
    boot_unit.RESTORE.install("/var/lib/vm_preserving/system", ARGV)
    boot_unit.RESTORE.remove()
    boot_unit.RESTORE.remove()
    assert not os.path.lexists(boot_unit.RESTORE.unit) and not os.path.lexists(boot_unit.RESTORE.wanted)
    assert reloads == [1]  # nothing to tell systemd the second time


def test_without_it_no_guest_is_saved(units, monkeypatch):
    monkeypatch.setattr(boot_unit.RESTORE, "unit", str(units / "nowhere" / "x.service"))
    with pytest.raises(MaintenanceError, match="no guest was saved"):
        boot_unit.RESTORE.install("/var/lib/vm_preserving/system", ARGV)
