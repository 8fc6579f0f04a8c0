# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/facts: what the commands and files of a host say about it."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import facts
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.facts import any_active, cannot_be_stopped, manages_links
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.techniques import NETWORKD, PACKET_FILTER, WATCHDOG


@pytest.mark.parametrize(("states", "units", "expected"), [
    ("active\n", 1, True), ("inactive\n", 1, False), ("failed\n", 1, False), ("reloading\n", 1, True),
    ("inactive\ninactive\nactive\ninactive\n", 4, True), ("inactive\ninactive\nfailed\nunknown\n", 4, False),
    (None, 1, True), ("", 1, True), ("inactive\n", 2, True),  # no answer, or half of one
])
def test_any_active(states, units, expected):
    assert any_active(states, units) is expected


#: Of a host whose network is ifupdown's, of one whose bridge is networkd's, and of one where networkd is stopped.
UNMANAGED = "  1 lo     loopback carrier  unmanaged\n  2 eth0   ether    routable unmanaged\n"
MANAGED = (
    "  1 lo     loopback carrier  unmanaged\n  2 eth0   ether    enslaved configured \n  3 br0    bridge   routable configured\n"
    "  4 vnet0  ether    enslaved unmanaged\n"
)


@pytest.mark.parametrize(("links", "expected"), [
    (UNMANAGED, False), (MANAGED, True), ("  1 lo loopback n/a n/a\n", False), ("  2 eth0 ether degraded configuring\n", True), ("", False), (None, True),
])
def test_manages_links(links, expected):
    assert manages_links(links) is expected


@pytest.mark.parametrize(("watchdogs", "expected"), [
    ([], False), ([("0", "active")], False), ([("1", "inactive")], False), ([("1", "active")], True), ([("0", "active"), ("1", "active")], True),
    ([(None, None)], True),  # a kernel that does not tell
])
def test_cannot_be_stopped(watchdogs, expected):
    assert cannot_be_stopped(watchdogs) is expected


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with programs and watchdogs of the test's own."""
    def make(systemctl, networkctl, **watchdog):
        for name, script in (("systemctl", systemctl), ("networkctl", networkctl)):
            if script is not None:
                (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
                (tmp_path / name).chmod(0o755)
        for name, value in watchdog.items():
            (tmp_path / "watchdogs" / "watchdog0").mkdir(parents=True, exist_ok=True)
            (tmp_path / "watchdogs" / "watchdog0" / name).write_text(value + "\n")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr(facts, "has_systemd", lambda: True)
        monkeypatch.setattr(facts, "_WATCHDOGS", str(tmp_path / "watchdogs"))
    return make


def test_a_host_where_all_of_it_holds(host):
    host("shift; for unit; do echo active; done", f"printf '%s' '{MANAGED}'", nowayout="1", state="active")
    assert facts.facts() == {NETWORKD, PACKET_FILTER, WATCHDOG}


def test_a_host_where_nothing_of_it_holds(host):
    host("shift; for unit; do echo inactive; done; exit 3", "exit 1", nowayout="0", state="active")
    assert facts.facts() == set()


def test_networkd_runs_and_manages_nothing(host):
    host('case $2 in systemd-networkd.service) echo active;; *) shift; for unit; do echo inactive; done;; esac', f"printf '%s' '{UNMANAGED}'")
    assert facts.facts() == set()


def test_programs_that_are_not_there(host, monkeypatch, tmp_path):
    host(None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.facts() == {NETWORKD, PACKET_FILTER}
