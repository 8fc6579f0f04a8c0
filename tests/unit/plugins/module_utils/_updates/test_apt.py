# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/apt: what apt-get and dpkg-query say, and the argument lists that they get."""
from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import apt
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.apt import (
    Apt,
    deb_contents,
    listed,
    parse_search,
    parse_simulation,
    parse_status,
    parse_uris,
    untrusted,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.package_manager import Change, run

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")

#: Of a Debian 12 host, shortened.
SIMULATION = """NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
Reading package lists...
The following packages will be upgraded:
  libvirt0 qemu-system-x86
Inst libvirt0 [9.0.0-4+deb12u2] (11.3.0-3~bpo12+1 Debian Backports:stable-backports [amd64]) []
Inst qemu-system-x86 [1:7.2+dfsg-7+deb12u12] (1:10.0.2+ds-1~bpo12+1 Debian Backports:stable-backports [amd64])
Inst libfdt1:i386 (1.6.1-4+b1 Debian:12.9/stable [i386])
Remv qemu-old [1:5.2]
Conf libvirt0 (11.3.0-3~bpo12+1 Debian Backports:stable-backports [amd64])
Conf qemu-system-x86 (1:10.0.2+ds-1~bpo12+1 Debian Backports:stable-backports [amd64])
Conf libfdt1:i386 (1.6.1-4+b1 Debian:12.9/stable [i386])
"""
CHANGES = [
    Change("libvirt0", "9.0.0-4+deb12u2", "11.3.0-3~bpo12+1"),
    Change("qemu-system-x86", "1:7.2+dfsg-7+deb12u12", "1:10.0.2+ds-1~bpo12+1"),
    Change("libfdt1:i386", None, "1.6.1-4+b1"),
    Change("qemu-old", "1:5.2", None),
]
NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.]{1,8}(:amd64)?(=[0-9][A-Za-z0-9.+~:-]{0,8})?", fullmatch=True)


# ---- the simulation ----

def test_parse_simulation():
    assert parse_simulation(SIMULATION) == CHANGES


@pytest.mark.parametrize(("line", "expected"), [
    ("Inst a (1)", [Change("a", None, "1")]),
    ("Inst a [] (1 x [all])", [Change("a", "", "1")]),
    ("Remv a", [Change("a", None, None)]),
    ("Remv a [1] [b:amd64 ]", [Change("a", "1", None)]),
    ("Purg loser [1.0]", [Change("loser", "1.0", None)]),
    ("inst a (1 x)", []),
    (" Inst a (1 x)", []),
    ("Inst", []),
    ("Inst a", []),
    ("0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.", []),
    ("", []),
])
def test_lines_of_a_simulation(line, expected):
    assert parse_simulation(line) == expected


def test_a_package_that_is_unpacked_and_not_configured_is_pending():
    """What an update that was killed leaves: apt-get says Conf and no Inst. The host is not done (promise 9)."""
    text = "fookernel is already the newest version (1.0).\n1 not fully installed or removed.\nConf fookernel (1.0  [all])\n"
    assert [change.name for change in parse_simulation(text)] == ["fookernel"]


@pytest.mark.parametrize("packages", [["fookernel"], []])
def test_what_apt_get_says_is_what_is_expected_of_it(tmp_path, packages):
    """apt-get itself, on a status file of our own: a package unpacked and not configured."""
    (tmp_path / "status").write_text(
        "Package: fookernel\nStatus: install ok unpacked\nPriority: optional\nSection: misc\nMaintainer: x\nArchitecture: all\n"
        "Version: 1.0\nDescription: x\n\n"
    )
    argv = list(Apt(packages, None)._simulate)
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    places = [f"Dir::State::status={tmp_path}/status", f"Dir::State::lists={tmp_path}/lists", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="]
    argv[argv.index("--simulate"):argv.index("--simulate")] = [word for place in places for word in ("-o", place)]
    assert "Conf fookernel (1.0" in run(argv, 60)


@given(st.text() | st.lists(st.sampled_from(["Inst", "Remv", " ", "a", "[", "]", "(", ")", "1", "\n", "\r"])).map("".join))
def test_arbitrary_text_is_parsed_or_passed_over(text):
    for change in parse_simulation(text):
        assert change.name and " " not in change.name


# ---- the commands ----

@given(st.lists(NAMES, min_size=1, max_size=4), st.none() | st.sampled_from(["bookworm-backports", "stable", "a/b"]))
def test_packages_come_last_and_only_where_they_belong(packages, release):
    commands = Apt(packages, release).commands
    for command in (Apt(packages, release)._simulate, commands.stage, commands.apply):
        assert command[-len(packages) - 2:] == ["install", "--only-upgrade", *packages]
        assert ("--target-release" in command) == (release is not None)
        if release is not None:
            assert command[command.index("--target-release") + 1] == release
        assert command[0] == "env" and "DEBIAN_FRONTEND=noninteractive" in command
    assert commands.refresh[-1] == "update" and not set(packages) & set(commands.refresh)


def test_inside_the_pause_nothing_is_downloaded_asked_removed_or_waited_for():
    apply = Apt(["qemu-system-x86"], None).commands.apply
    assert {"--assume-yes", "--no-remove", "--no-download", "NEEDRESTART_SUSPEND=1"} <= set(apply)
    assert "DPkg::Lock::Timeout=2" in apply
    assert not {"--force-yes", "--allow-downgrades", "--allow-remove-essential", "--allow-unauthenticated"} & set(apply)


def test_staging_only_downloads_and_the_simulation_only_simulates():
    apt = Apt(["qemu-system-x86"], None)
    assert "--download-only" in apt.commands.stage
    assert "--simulate" in apt._simulate and "--no-remove" not in apt._simulate


@pytest.mark.parametrize("name", ["a", "qemu-system-x86", "libstdc++6", "g++", "linux-image-6.1.0-28-amd64", "libc6:amd64=2.36-9+deb12u9", "a=1:2~3"])
def test_package_names(name):
    assert Apt([name], None).commands.apply[-1] == name


@pytest.mark.parametrize("name", [
    "", " ", "-o", "--force-yes", "-oDPkg::Pre-Invoke::=sh", "a b", "A", "a=", "a=1 2", "a;b", "a*", "a/bookworm", "a\n", "a=1\n", "./a.deb", "ä", "a:",
    "a=$(x)", "\n-y",
])
def test_what_is_no_package_name(name):
    with pytest.raises(MaintenanceError) as caught:
        Apt(["good", name], None)
    assert caught.value.code == "packages" and repr(name) in str(caught.value) and "no guest was touched" in str(caught.value)


def test_a_name_that_apt_get_takes_for_a_removal_is_no_package_name():
    with pytest.raises(MaintenanceError):
        Apt(["qemu-system-x86-"], None)


@pytest.mark.parametrize("release", ["", "-t", "--x", "a b", "a\n", "ä", "a;b"])
def test_what_is_no_release(release):
    with pytest.raises(MaintenanceError) as caught:
        Apt(["a"], release)
    assert caught.value.code == "packages"


def test_without_packages_it_is_everything():
    apt = Apt([], None)
    for command in (apt._simulate, apt.commands.stage, apt.commands.apply):
        assert command[-2:] == ["upgrade", "--with-new-pkgs"] and "install" not in command
    assert "--no-remove" in apt.commands.apply and "--no-download" in apt.commands.apply


@pytest.mark.parametrize("only_upgrade", [True, False])
def test_what_is_not_installed_may_be_left_out(only_upgrade):
    apt = Apt(["a"], None, only_upgrade)
    for command in (apt._simulate, apt._uris, apt.commands.stage, apt.commands.apply):
        assert ("--only-upgrade" in command) is only_upgrade
    assert "--only-upgrade" not in Apt([], None, only_upgrade).commands.apply


# ---- apt-get itself, on a system of the test's own ----

@pytest.mark.parametrize("packages", [["a"], ["needs", "a"], ["a=2.0"], ["absent", "a"], []])
def test_what_is_planned_can_be_staged(apt_system, packages):
    apt_system.source("[trusted=yes] ")
    apt = Apt(packages, None)
    plan = apt.plan()
    assert plan.refused == [] and {change.name for change in plan.changes} >= {"a"}
    assert plan.not_installed == [name for name in packages if name == "absent"]
    assert ("absent" in {change.name for change in plan.changes}) is False
    run(apt.commands.stage, 60)


def test_what_is_not_installed_is_installed_when_asked_for(apt_system):
    apt_system.source("[trusted=yes] ")
    plan = Apt(["absent", "a"], None, False).plan()
    assert plan.not_installed == [] and Change("absent", None, "1.0") in plan.changes


def test_everything_leaves_what_is_held(apt_system):
    apt_system.source("[trusted=yes] ")
    plan = Apt([], None).plan()
    assert {change.name for change in plan.changes} == {"a", "needs", "new"} and plan.refused == []


@pytest.mark.parametrize(("trusted", "packages", "removed", "refused"), [
    (True, ["held"], [], "held is held (apt-mark hold)"),
    (True, ["held", "a"], [], "held is held (apt-mark hold)"),
    (True, ["down=1.0"], [], "down would become older than it is"),
    (True, ["taker"], ["loser"], None),
    (False, ["a"], [], "apt cannot authenticate what comes from file:"),
    (False, [], [], "apt cannot authenticate what comes from file:"),
])
@pytest.mark.parametrize("purge", ["", 'APT::Get::Purge "true";'])
def test_what_apt_get_refuses_is_seen_before(apt_system, trusted, packages, removed, refused, purge):
    """The same answer in check mode, which only plans, and in the run, which stages."""
    apt_system.source("[trusted=yes] " if trusted else "", purge)
    apt = Apt(packages, None, False)
    plan = apt.plan()
    assert plan.removed == removed
    assert len(plan.refused) == (refused is not None) and all(refused in sentence for sentence in plan.refused)
    with pytest.raises(MaintenanceError):
        run(apt.commands.stage, 60)


def test_an_authenticated_source_beside_one_that_is_not(apt_system):
    """What comes from the one is not refused for the other."""
    apt_system.source("[trusted=yes] ")
    other = apt_system.root / "other"
    other.mkdir()
    (other / "Packages").write_text("")
    apt_system.source("[trusted=yes] ", sources=f"deb file:{other} ./\n")
    apt = Apt(["a"], None)
    assert apt.plan().refused == []
    run(apt.commands.stage, 60)


@pytest.mark.parametrize(("text", "expected"), [
    ("x\nThe following held packages will be changed:\n  a b\n  c\nThe following packages will be upgraded:\n  d\n", ["a", "b", "c"]),
    ("The following held packages will be changed:\n   a (1.0 => 2.0)\n   b (1 => 2)\n", ["a", "b"]),  # APT::Get::Show-Versions
    ("The following packages will be upgraded:\n  d\n", []), ("", []),
])
def test_lists_of_apt_get(text, expected):
    assert listed(text, "The following held packages will be changed:") == expected


@pytest.mark.parametrize(("targets", "uris", "expected"), [
    ("yes http://a/\nno http://b/\n", "'http://a/x.deb' x.deb 1 SHA256:1\n", []),
    ("yes http://a/\nno http://b/\n", "Reading...\n'http://a/x.deb' x.deb 1\n'http://b/pool/y.deb' y.deb 1 \n", ["http://b/"]),
    ("yes http://a/\nno http://a/\n", "'http://a/x.deb' x.deb 1\n", []),  # two suites: apt-get itself will tell
    ("no http://b/\n", "", []), ("no \n", "'http://b/pool/y.deb' y.deb 1\n", []), ("", "", []),
])
def test_untrusted(targets, uris, expected):
    assert untrusted(targets, uris) == expected


def test_what_dpkg_says_is_installed():
    text = "a a:all installed\nb b:amd64 not-installed\nc c:amd64 config-files\nd d:i386 half-configured\n"
    assert parse_status(text) == {"a", "a:all", "d", "d:i386"}


# ---- whose a file is ----

#: Of a Debian 12 host, shortened.
SEARCH = """libc6:i386, libc6:amd64: /usr/share/doc/libc6/copyright
libfdt1:amd64: /usr/lib/x86_64-linux-gnu/libfdt-1.6.1.so
diversion by dash from: /bin/sh
diversion by dash to: /bin/sh.distrib
local diversion from: /usr/bin/x
local diversion to: /usr/bin/x.distrib
dash: /bin/sh
qemu-system-x86: /usr/bin/qemu: with a colon
"""


def test_parse_search():
    assert parse_search(SEARCH) == {
        "/usr/share/doc/libc6/copyright": ["libc6", "libc6"], "/usr/lib/x86_64-linux-gnu/libfdt-1.6.1.so": ["libfdt1"], "/bin/sh": ["dash"],
        "/usr/bin/qemu: with a colon": ["qemu-system-x86"],
    }


@pytest.mark.parametrize(("text", "expected"), [
    ("diversion by glx from: /x\ndiversion by glx to: /y\nmesa: /x\n", {"/x": ["glx"]}),  # the file there is the diverter's
    ("local diversion from: /x\nlocal diversion to: /y\nmesa: /x\n", {}),  # ... or the administrator's
    ("diversion by glx:amd64 from: /x\n", {"/x": ["glx"]}),
])
def test_a_diverted_file_is_of_who_has_diverted_it(text, expected):
    assert parse_search(text) == expected


# ---- what is downloaded ----

def test_parse_uris():
    text = ("Reading package lists...\n'http://mirror/pool/ovmf_2%3a1.0-1_all.deb' ovmf_2%3a1.0-1_all.deb 12 SHA256:ab\n"
            "'http://mirror/libc6_1_i386.deb' libc6_1_i386.deb 1 \n'file:/srv/a%20b/libc6_1_amd64.deb' libc6_1_amd64.deb 1 \n"
            "'copy:/srv/x_1_all.deb' x_1_all.deb 1\n"
            "'http://mirror/Packages' Packages 1\n'\n''\n")
    assert parse_uris(text, "/cache/") == {
        "ovmf": ["/cache/ovmf_2%3a1.0-1_all.deb"], "libc6": ["/cache/libc6_1_i386.deb", "/srv/a b/libc6_1_amd64.deb"], "x": ["/cache/x_1_all.deb"],
    }


@given(st.text())
def test_arbitrary_text_of_addresses(text):
    parse_uris(text, "/cache")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_the_contents_of_a_package(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n")
    (tree / "lib").mkdir()
    (tree / "lib" / "file with -> an arrow").write_text("x")
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/link").symlink_to("../lib/a b")
    run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(tmp_path / "x.deb")], 60)
    assert deb_contents(str(tmp_path / "x.deb")) == {"/usr/lib/file with -> an arrow": None, "/usr/share/link": "../lib/a b"}
    for damage in (b"", b"!<arch>\n", (tmp_path / "x.deb").read_bytes()[:-60]):
        (tmp_path / "bad.deb").write_bytes(damage)
        with pytest.raises(MaintenanceError) as caught:
            deb_contents(str(tmp_path / "bad.deb"))
        assert caught.value.code == "packages" and "bad.deb" in str(caught.value)


@given(st.text())
def test_arbitrary_text_of_a_search(text):
    for names in parse_search(text).values():
        assert names


def test_owners_of_this_machines_files(tmp_path):
    """Packaged under /bin and /lib, and seen in a process under /usr since /usr was merged."""
    shell = os.path.realpath("/bin/bash")
    mine = str(tmp_path / "mine")
    found = Apt([], None).owners([shell, "/nowhere", mine])
    assert found == {shell: ["bash"]}


def test_nobody_is_asked_about_no_files():
    assert Apt([], None).owners([]) == {}


def test_no_apt_get(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MaintenanceError) as caught:
        Apt(["a"], None)
    assert caught.value.code == "packages" and "has no apt-get" in str(caught.value)


# ---- restarts held back ----

def test_the_scripts_get_a_path_of_ours_and_another_package_manager_is_waited_for():
    found = Apt(["a=1"], "stable").apply_with("/held:/usr/bin", 7)
    assert "DPkg::Lock::Timeout=7" in found and "DPkg::Path=/held:/usr/bin" in found and found[-3:] == ["install", "--only-upgrade", "a=1"]
    assert "--no-download" not in found  # apt then does not find what it has from a source on the host's own disk
    assert Apt([], None).apply_with("/x", 1)[-2:] == ["upgrade", "--with-new-pkgs"]


def test_the_scripts_of_installed_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(apt, "_SCRIPTS", str(tmp_path))
    (tmp_path / "plain.postinst").write_text("plain")
    (tmp_path / "libmulti:amd64.postinst").write_text("multi")
    assert Apt([], None).scripts(["plain", "libmulti", "libmulti:amd64", "absent", "pl[a]in"]) == {
        "plain": "plain", "libmulti": "multi", "libmulti:amd64": "multi",
    }
