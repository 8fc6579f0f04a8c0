# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_stopped/rules: who can be shut down and started again, and what is done with one that may be off."""
from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.record import PHASES
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.rules import LATE, Found, is_allowed, lost_parts, start_verdict, stop_blockers

RUNNING, OFF = State("running", "booted"), State("shutoff", "shutdown")
DISK = "<disk type='file'><source file='/a'/><target dev='{}'/></disk>"
NIC = "<interface type='network'><mac address='{}'/></interface>"
PCI = "<hostdev mode='subsystem' type='pci'><source><address bus='0x01'/></source></hostdev>"


def domain(*devices, more=""):
    return ET.fromstring(f"<domain>{more}<devices>{''.join(devices)}</devices></domain>")


def codes(facts=GuestFacts(RUNNING), persistent=True, live=None, definition=None, managed_save=False):
    live = domain() if live is None else live
    return [one.code for one in stop_blockers(facts, persistent, live, live if definition is None else definition, managed_save)]


@pytest.mark.parametrize(("given", "expected"), [
    ({}, []),
    ({"live": domain(PCI)}, []),  # which is what it is there for
    ({"persistent": False}, ["transient"]),
    ({"facts": GuestFacts(State("paused", "user"))}, ["not_running"]),
    ({"facts": GuestFacts(State("pmsuspended", "unknown"))}, ["not_running"]),
    ({"facts": GuestFacts(RUNNING, job="backup")}, ["job"]),
    ({"facts": GuestFacts(RUNNING, block_jobs=("vda",))}, ["block_job"]),
    ({"facts": GuestFacts(RUNNING, opted_out=True)}, []),  # of pauses
    ({"live": domain(more="<on_poweroff>destroy</on_poweroff>")}, []),
    ({"live": domain(more="<on_poweroff>restart</on_poweroff>")}, ["on_poweroff"]),
    ({"live": domain(more="<on_poweroff>preserve</on_poweroff>")}, ["on_poweroff"]),
    ({"managed_save": True}, ["managed_save"]),
    ({"live": domain(DISK.format("vda"), DISK.format("vdb")), "definition": domain(DISK.format("vda"))}, ["plugged"]),
])
def test_a_guest_that_would_not_come_back_as_it_was_is_not_shut_down(given, expected):
    assert codes(**given) == expected


def test_a_transient_guest_has_no_definition_to_be_held_against():
    assert [one.code for one in stop_blockers(GuestFacts(RUNNING), False, domain(PCI), None, False)] == ["transient"]


@pytest.mark.parametrize(("live", "definition", "lost"), [
    ([DISK.format("vda"), NIC.format("52:54:00:AA:00:01")], [DISK.format("vda"), NIC.format("52:54:00:aa:00:01")], []),
    ([DISK.format("vda")], [DISK.format("vda"), DISK.format("vdb")], []),  # more is its owner's wish for its next start
    ([NIC.format("a"), NIC.format("b")], [NIC.format("a")], ["network device b"]),
    ([PCI, PCI], [PCI], ["pci device of the host"]),
    (["<memory model='dimm'/>"], [], ["memory device (dimm)"]),
    (["<disk/>", "<interface/>"], [], ["disk ", "network device "]),
])
def test_what_was_plugged_in_and_would_be_missing(live, definition, lost):
    assert lost_parts(domain(*live), domain(*definition)) == lost


@pytest.mark.parametrize(("attributes", "expected"), [("stop='allowed'", True), ("stop='yes'", False), ("pause='never'", False), ("", False)])
def test_its_owner_allows_it_in_so_many_words(attributes, expected):
    assert is_allowed(domain(more=f"<metadata><policy xmlns='urn:vm_preserving:maintenance:policy' {attributes}/></metadata>")) is expected


SAME, ANOTHER = Found(RUNNING, True, True), Found(RUNNING, True, False)


@pytest.mark.parametrize(("phase", "asked_for", "found", "expected"), [
    ("stopped", 40.0, Found(OFF), "start"),
    ("stopped", 40.0, Found(State("shutoff", "unknown")), "start"),  # the host was rebooted, or libvirtd restarted, since
    ("stopped", 1e6, Found(State("shutoff", "destroyed")), "start"),
    ("stopping", 40.0, Found(OFF), "start"),
    ("stopping", 1e6, Found(OFF), "start"),
    ("stopping", 40.0, SAME, "late"),
    ("stopping", LATE, SAME, "untouched"),
    ("stopping", -1e6, SAME, "untouched"),  # the clock was set meanwhile
    ("planned", None, SAME, "untouched"),
    ("planned", None, Found(OFF), "untouched"),  # its owner's act
    ("stopped", 40.0, ANOTHER, "running"),
    ("stopping", 40.0, ANOTHER, "running"),
    ("stopped", 40.0, Found(OFF, managed_save=True), "not_ours"),
    ("stopped", 40.0, Found(None), "gone"),
])
def test_what_is_done_with_a_guest_that_may_be_off(phase, asked_for, found, expected):
    assert start_verdict(phase, asked_for, found)[0] == expected


def test_started_is_only_what_is_off_by_us():
    """Every combination: nothing that runs, that was not asked, or that has a saved state, is started."""
    for phase, asked_for, active, same, managed in itertools.product(PHASES[:3], (None, 1.0, LATE + 1), (False, True), (False, True), (False, True)):
        found = Found(RUNNING if active else OFF, active, active and same, managed)
        if start_verdict(phase, asked_for, found)[0] == "start":
            assert not active and phase != "planned" and not managed
