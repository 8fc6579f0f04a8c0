# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/way_back: who has one, and which QEMUs nobody needs any more."""
from __future__ import annotations

import os
import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import kept_qemu as names
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import way_back

QEMU = "/usr/bin/qemu-system-x86_64"


def domain(inner=""):
    return ET.fromstring(f"<domain type='kvm'>{inner}</domain>")


@pytest.mark.parametrize(("label", "program", "emulator", "why"), [
    ("", QEMU, QEMU, None),
    ("<seclabel type='dynamic' model='dac'/>", QEMU, QEMU, None),
    ("<seclabel type='dynamic' model='apparmor'/>", QEMU, QEMU, "AppArmor profile of its owner"),
    ("<seclabel type='dynamic' model='selinux'/>", QEMU, QEMU, "confined by SELinux"),
    ("", QEMU, "/opt/qemu/start", "its emulator /opt/qemu/start is not the program that it runs"),  # a script, say
    ("", f"{names.KEPT}/0abc/program{QEMU}", QEMU, None),  # it came back before
])
def test_who_has_none(monkeypatch, label, program, emulator, why):
    monkeypatch.setattr(way_back.running_code, "program", lambda _pid: program)
    found = way_back.none_because(domain(label), emulator, 4242)
    assert found is None if why is None else why in found


def test_a_file_system_that_starts_no_programs(monkeypatch):
    monkeypatch.setattr(way_back.running_code, "program", lambda _pid: QEMU)
    monkeypatch.setattr(way_back.os, "statvfs", lambda _path: types.SimpleNamespace(f_flag=os.ST_NOEXEC))
    assert "mounted noexec" in way_back.none_because(domain(), QEMU, 4242)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("libvirt does not know that machine")])
def test_one_that_cannot_be_kept_says_why_and_is_none_the_worse(monkeypatch, error):
    monkeypatch.setattr(way_back.running_code, "program", lambda _pid: QEMU)
    start = names.start_of("0abc", QEMU)

    def fails(*_args):
        raise error
    monkeypatch.setattr(way_back.kept_qemu, "keep", fails if isinstance(error, OSError) else lambda _pid, _emulator: start)
    connection = types.SimpleNamespace(check_machine=fails)
    found, why = way_back.keep(connection, domain(), QEMU, 4242)
    assert found == "" and str(error) in why


class Guest:
    """A guest that libvirt keeps a definition of."""

    def __init__(self, emulator=None, state=State("shutoff", "shutdown"), runs_as=-1):
        self.emulator, self.at, self.id = emulator, state, runs_as

    def has_managed_save(self):
        return self.emulator is not None

    def managed_save_xml(self):
        return f"<domain><devices><emulator>{self.emulator}</emulator></devices></domain>"

    def state(self):
        return self.at


@pytest.mark.parametrize(("guests", "saved", "removed"), [
    ([], [], ["0b", "0c"]),
    ([Guest(state=State("running", "restored"), runs_as=4)], [], ["0b", "0c"]),
    ([], [names.start_of("0b", QEMU)], ["0c"]),  # our own
    ([Guest(names.start_of("0c", QEMU))], [], ["0b"]),  # its owner's, of one that came back
    ([Guest(QEMU)], [], ["0b", "0c"]),
    ([Guest(state=State("shutoff", "saved"))], [], []),  # to a file that nobody knows
])
def test_what_no_guest_needs_is_removed(monkeypatch, guests, saved, removed):
    there = ["0a", "0b", "0c"]
    monkeypatch.setattr(way_back.kept_qemu, "builds", lambda: list(there))
    monkeypatch.setattr(way_back.kept_qemu, "remove", there.remove)
    monkeypatch.setattr(way_back.qemu_processes, "qemu_processes", lambda: [types.SimpleNamespace(pid=7)])
    monkeypatch.setattr(way_back.running_code, "program_build_id", {7: "0a"}.get)
    monkeypatch.setattr(way_back.running_code, "program", {7: QEMU}.get)
    monkeypatch.setattr(way_back.running_code, "build_id_of", {QEMU: "0d"}.get)
    monkeypatch.setattr(way_back, "Connection", lambda _uri: types.SimpleNamespace(defined=lambda: guests))
    assert way_back.tidy("qemu:///system", saved) == (removed, "")
    assert there == [one for one in ("0a", "0b", "0c") if one not in removed]


@pytest.mark.parametrize(("program", "installed", "old"), [
    (QEMU, "0a", False), (QEMU, "0b", True), (QEMU, None, True), (names.start_of("0a", QEMU).replace("start", "program"), "0a", True),
])
def test_one_that_runs_what_is_installed_needs_none(monkeypatch, program, installed, old):
    monkeypatch.setattr(way_back.running_code, "program_build_id", {7: "0a"}.get)
    monkeypatch.setattr(way_back.running_code, "program", {7: program}.get)
    monkeypatch.setattr(way_back.running_code, "build_id_of", {program: installed}.get)
    assert way_back._is_old(7) is old


def test_a_libvirt_that_does_not_answer_costs_nothing(monkeypatch):
    def fails(_uri):
        raise ConnectionError("no answer")
    monkeypatch.setattr(way_back.kept_qemu, "builds", lambda: ["0a"])
    monkeypatch.setattr(way_back, "Connection", fails)
    removed, problem = way_back.tidy("qemu:///system")
    assert removed == [] and "still kept" in problem and "no answer" in problem
