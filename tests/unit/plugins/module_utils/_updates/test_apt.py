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
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.apt import Apt, parse_search, parse_simulation
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
        assert command[-len(packages) - 1:] == ["install", *packages]
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
