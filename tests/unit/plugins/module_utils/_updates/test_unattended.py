# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/unattended: hosts that update themselves, with programs of the test's in the places of systemctl and apt's."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import unattended


@pytest.fixture
def host(tmp_path, monkeypatch):
    def make(active, periodic=None):
        words = ["active" if unit in active else "inactive" for unit in (unattended._APT, *unattended._DNF)]
        states = "; ".join(f'printf "LoadState=loaded\\nActiveState={word}\\n\\n"' for word in words)
        scripts = {"systemctl": states}
        if periodic is not None:
            scripts |= {"unattended-upgrade": "true", "apt-config": f"echo \"found='{periodic}'\""}
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(unattended, "has_systemd", lambda: True)
        monkeypatch.setenv("PATH", str(tmp_path))
    return make


@pytest.mark.parametrize(("active", "periodic", "named"), [
    ((), "1", None),
    (("apt-daily-upgrade.timer",), "1", "apt-daily-upgrade.timer"),
    (("apt-daily-upgrade.timer",), "0", None),  # it only downloads
    (("apt-daily-upgrade.timer",), "", None),
    (("apt-daily-upgrade.timer",), None, None),  # Debian without unattended-upgrades
    (("dnf-automatic.timer",), None, "dnf-automatic.timer"),
    (("dnf5-automatic.timer", "apt-daily-upgrade.timer"), "always", "dnf5-automatic.timer, apt-daily-upgrade.timer"),
])
def test_who_updates_the_host(host, active, periodic, named):
    host(active, periodic)
    found = unattended.warning()
    assert (found is None) if named is None else f"updates itself ({named})" in found


def test_without_systemd(monkeypatch):
    monkeypatch.setattr(unattended, "has_systemd", lambda: False)
    assert unattended.warning() is None
