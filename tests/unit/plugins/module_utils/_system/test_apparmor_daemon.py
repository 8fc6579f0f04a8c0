# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/apparmor_daemon: libvirt's daemon is let start kept QEMUs. On a real host: the story `machine`."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import apparmor_daemon

KEPT = "/var/lib/vm_preserving/qemu"
OTHERS = "# of the administrator\n/srv/** r,\n"


@pytest.fixture(name="host")
def _host(tmp_path, monkeypatch):
    """A host whose libvirtd is confined; the kernel is told of a profile by a note."""
    told = []
    monkeypatch.setattr(apparmor_daemon, "FOLDER", str(tmp_path))
    monkeypatch.setattr(apparmor_daemon, "_confined", lambda: ["libvirtd"])
    monkeypatch.setattr(apparmor_daemon.apparmor, "take_up", told.append)
    (tmp_path / "local").mkdir()
    (tmp_path / "usr.sbin.libvirtd").write_text("profile libvirtd {\n  include if exists <local/usr.sbin.libvirtd>\n}\n")
    (tmp_path / "local" / "usr.sbin.libvirtd").write_text(OTHERS)
    return tmp_path, told


def test_it_is_let_once_and_nothing_of_others_is_touched(host):
    folder, told = host
    apparmor_daemon.let_start(KEPT)
    apparmor_daemon.let_start(KEPT)
    text = (folder / "local" / "usr.sbin.libvirtd").read_text()
    assert text.startswith(OTHERS) and text.count(f'"{KEPT}/**" PUx,') == 1
    apparmor_daemon.take_back()
    apparmor_daemon.take_back()
    assert (folder / "local" / "usr.sbin.libvirtd").read_text() == OTHERS
    assert told == [str(folder / "usr.sbin.libvirtd")] * 2
    assert not (folder / "local" / "usr.sbin.virtqemud").exists()


def test_a_host_without_local_rules_yet(host):
    folder, _told = host
    (folder / "local" / "usr.sbin.libvirtd").unlink()
    apparmor_daemon.let_start(KEPT)
    assert f'"{KEPT}/**" PUx,' in (folder / "local" / "usr.sbin.libvirtd").read_text()


def test_nobody_is_let_where_nobody_is_confined(host, monkeypatch):
    folder, told = host
    monkeypatch.setattr(apparmor_daemon, "_confined", list)
    assert apparmor_daemon.obstacle() is None
    apparmor_daemon.let_start(KEPT)
    assert (folder / "local" / "usr.sbin.libvirtd").read_text() == OTHERS and not told


def test_a_profile_of_another_make_is_said(host):
    folder, _told = host
    assert apparmor_daemon.obstacle() is None
    (folder / "usr.sbin.libvirtd").write_text("profile libvirtd {\n}\n")
    assert "has no place for rules of this host" in apparmor_daemon.obstacle()
    (folder / "usr.sbin.libvirtd").unlink()
    assert "libvirtd is confined by AppArmor, and" in apparmor_daemon.obstacle()


def test_what_the_kernel_did_not_take_is_tried_again(host, monkeypatch):
    folder, told = host

    def fails(_path):
        raise apparmor_daemon.apparmor.ProfileError("it does not")
    monkeypatch.setattr(apparmor_daemon.apparmor, "take_up", fails)
    with pytest.raises(apparmor_daemon.apparmor.ProfileError):
        apparmor_daemon.let_start(KEPT)
    assert (folder / "local" / "usr.sbin.libvirtd").read_text() == OTHERS
    monkeypatch.setattr(apparmor_daemon.apparmor, "take_up", told.append)
    apparmor_daemon.let_start(KEPT)
    assert told == [str(folder / "usr.sbin.libvirtd")]
