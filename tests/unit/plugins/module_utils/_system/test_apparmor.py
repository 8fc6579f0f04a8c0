# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/apparmor: rules for one guest's QEMU, in libvirt's profile of that guest. On a real host: the story `machine`."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import apparmor

UUID, OTHER = "8c76c29a-62b8-44e7-9830-c11575fd760c", "f80ccff1-9222-429a-8442-0682e700db5d"
#: As libvirt 9.0 and 11.3 make it.
PROFILE = f"""#
# This profile is for the domain whose UUID matches this file.
#

#include <tunables/global>

profile libvirt-{UUID} flags=(attach_disconnected) {{
  #include <abstractions/libvirt-qemu>
  #include <libvirt/libvirt-{UUID}.files>

}}
"""


@pytest.fixture(name="profiles")
def _profiles(tmp_path, monkeypatch):
    monkeypatch.setattr(apparmor, "PROFILES", str(tmp_path))
    monkeypatch.setattr(apparmor, "_LOADED", str(tmp_path / "loaded"))
    (tmp_path / "loaded").write_text(f"libvirt-{OTHER} (enforce)\nlibvirtd (enforce)\n")
    for uuid in (UUID, OTHER):
        (tmp_path / f"libvirt-{uuid}").write_text(PROFILE.replace(UUID, uuid))
    return tmp_path


@given(st.lists(st.from_regex(r'"/[a-z/]+" rw,', fullmatch=True), max_size=4), st.lists(st.from_regex(r'"/[a-z/]+" rw,', fullmatch=True), max_size=4))
def test_rules_take_the_place_of_earlier_ones_and_leave_no_trace(first, second):
    """Ours once, whatever was there before; and the profile as libvirt made it once they are out."""
    both = apparmor.with_rules(apparmor.with_rules(PROFILE, first), second)
    assert both == apparmor.with_rules(PROFILE, second)
    assert [line for line in both.splitlines() if line.strip() in second] == [f"  {rule}" for rule in second]
    assert both.rstrip().endswith("}")
    assert apparmor.with_rules(both, []) == PROFILE


@pytest.mark.parametrize("text", ["", "\n", "profile x {\n", "profile x {\n} # end\n"])
def test_a_profile_of_another_form_is_left_alone(text):
    with pytest.raises(apparmor.ProfileError, match="does not end with a brace"):
        apparmor.with_rules(text, ['"/a" rw,'])


def test_a_guest_is_let_at_its_own_files_only_and_no_longer_than_needed(profiles):
    mode = (profiles / f"libvirt-{UUID}").stat().st_mode
    apparmor.let(UUID, ["/var/lib/x/a.sock", "/var/lib/x/a.pipe"])
    text = (profiles / f"libvirt-{UUID}").read_text()
    assert '"/var/lib/x/a.sock" rw,' in text and '"/var/lib/x/a.pipe" rw,' in text
    assert (profiles / f"libvirt-{UUID}").stat().st_mode == mode
    assert (profiles / f"libvirt-{OTHER}").read_text() == PROFILE.replace(UUID, OTHER)
    apparmor.take_back(UUID)
    assert (profiles / f"libvirt-{UUID}").read_text() == PROFILE


def test_nothing_is_taken_back_where_nothing_was_let(profiles):
    """The profile of the other guest is loaded: the kernel is not told of it again, for that would need a parser that is not here."""
    apparmor.take_back(OTHER)
    apparmor.take_back("00000000-0000-0000-0000-000000000000")
    assert (profiles / f"libvirt-{OTHER}").read_text() == PROFILE.replace(UUID, OTHER)


def test_a_profile_that_cannot_be_changed_is_named(profiles):
    (profiles / f"libvirt-{UUID}").write_text("nothing\n")
    with pytest.raises(apparmor.ProfileError, match=f"the AppArmor profile .*libvirt-{UUID} cannot be changed"):
        apparmor.let(UUID, ["/a"])


@pytest.mark.parametrize(("uuid", "label", "why"), [
    (UUID, f"libvirt-{UUID}", None),
    (UUID, f"libvirt-{OTHER}", f"the AppArmor profile libvirt-{OTHER}, which is not libvirt's own for this guest"),
    (UUID, "my-own", "the AppArmor profile my-own, which"),
    (UUID, None, "the AppArmor profile of its owner, which"),
    ("0" * 8, "libvirt-" + "0" * 8, "is not there"),
])
def test_who_can_be_let_at_files(profiles, monkeypatch, uuid, label, why):
    monkeypatch.setattr(apparmor.shutil, "which", lambda _program, path: "/usr/sbin/apparmor_parser")
    found = apparmor.obstacle(uuid, label)
    assert found is None if why is None else why in found


def test_without_a_parser_nobody_is(profiles, monkeypatch):
    monkeypatch.setattr(apparmor.shutil, "which", lambda _program, path: None)
    assert "apparmor_parser, which takes a rule back, is not installed" in apparmor.obstacle(UUID, f"libvirt-{UUID}")
