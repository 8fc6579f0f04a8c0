# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/confinement: who is confined, and what the next QEMU of a guest is let at."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import kept_qemu as names
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import confinement
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place import memory as in_place

UUID = "8c76c29a-62b8-44e7-9830-c11575fd760c"
QEMU = "/usr/bin/qemu-system-x86_64"
MEETING = in_place.meeting_of(UUID)
APPARMOR = f"<seclabel type='dynamic' model='apparmor'><label>libvirt-{UUID}</label></seclabel>"


def guest(label, emulator=QEMU, moved=False):
    """What a guest is started with, or its live XML. moved: its memory stayed in place."""
    text = f"<domain><uuid>{UUID}</uuid>{label}<devices><emulator>{emulator}</emulator></devices></domain>"
    return ET.fromstring(in_place.with_handover(text, MEETING if moved else None))


@pytest.fixture(name="profile")
def _profile(tmp_path, monkeypatch):
    monkeypatch.setattr(confinement.apparmor, "PROFILES", str(tmp_path))
    path = tmp_path / f"libvirt-{UUID}"
    path.write_text(f"profile libvirt-{UUID} {{\n}}\n")
    (tmp_path / "loaded").write_text("")
    monkeypatch.setattr(confinement.apparmor, "_LOADED", str(tmp_path / "loaded"))
    return path


@pytest.mark.parametrize(("label", "model"), [
    ("", None), ("<seclabel type='none' model='selinux'/>", None), ("<seclabel type='dynamic' model='dac'/>", None),
    ("<seclabel type='dynamic' model='dac'/><seclabel type='static' model='selinux'/>", "selinux"), (APPARMOR, "apparmor"),
])
def test_who_is_confined(label, model):
    assert confinement.confined_by(guest(label)) == model


def test_a_guest_that_nothing_confines_is_let_at_nothing(profile):
    before = profile.read_text()
    confinement.let(guest("", moved=True))
    assert profile.read_text() == before


def test_a_guest_keeps_the_kept_qemu_for_as_long_as_it_runs_on_it(profile):
    before, build = profile.read_text(), names.folder_of("0abc")
    started = guest(APPARMOR, names.start_of("0abc", QEMU))
    confinement.let(started)
    assert confinement.as_started(started) == ""
    assert f'"{build}/**" rmix,' in profile.read_text() and "rw," not in profile.read_text()
    # Moved to the installed one by copy, for which nothing has to be let.
    confinement.let(guest(APPARMOR))
    assert confinement.as_started(guest(APPARMOR)) == ""
    assert profile.read_text() == before


def test_a_guest_that_was_moved_in_place_can_be_started_from_an_image_by_anybody(profile):
    """Its QEMU makes the socket and the file again, for they are in its live XML and in each image of it. (Seen on Debian 13: it could not, and stayed off.)"""
    before = profile.read_text()
    confinement.let(guest(APPARMOR, moved=True))
    let = profile.read_text()
    assert f'"{MEETING.monitor}" rw,' in let and f'"{MEETING.pipe}" rw,' in let
    assert confinement.as_started(guest(APPARMOR, moved=True)) == "" and profile.read_text() == let
    # By copy it is started without them.
    assert confinement.as_started(guest(APPARMOR)) == "" and profile.read_text() == before


def test_what_cannot_be_taken_back_is_told(profile, monkeypatch):
    confinement.let(guest(APPARMOR, moved=True))
    monkeypatch.setattr(confinement.apparmor, "_LOADED", str(profile.parent / "nothing"))
    assert "is still in its AppArmor profile (the kernel does not say which AppArmor profiles it has" in confinement.as_started(guest(APPARMOR))


def test_selinux_is_not_told_of_anything():
    assert "confined by SELinux" in confinement.obstacle(guest("<seclabel type='dynamic' model='selinux'/>"))
