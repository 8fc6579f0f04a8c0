# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/host_power: what systemd's words mean."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import host_power


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that says what the test asks for."""
    def say(text, code):
        program = tmp_path / "systemctl"
        program.write_text(f"#!/bin/sh\n[ \"$1\" = is-system-running ] && echo '{text}' || echo '{text}' >&2\nexit {code}\n", encoding="ascii")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return say


@pytest.mark.parametrize(("text", "code", "expected"), [
    ("stopping", 1, True), ("running", 0, False), ("degraded", 1, False), ("starting", 1, False), ("offline", 1, False), ("", 1, False),
])
def test_only_a_host_that_stops_goes_down(systemctl, text, code, expected):
    systemctl(text, code)
    assert host_power.goes_down() is expected


def test_without_systemd_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host_power.goes_down() is False
    assert "systemctl" in host_power.reboot()


def test_a_reboot_that_is_refused_says_why(systemctl):
    systemctl("Access denied", 1)
    assert host_power.reboot() == "systemctl ended with 1: Access denied"
    systemctl("", 0)
    assert host_power.reboot() == ""
