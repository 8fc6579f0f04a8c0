# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/dnf: what dnf says, and the argument lists that it gets; with dnf itself and rpms made for the test, where it is installed."""
from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import dnf as adapter
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import dnf_program
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.dnf import Dnf, interpreter, older, read_rows
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.package_manager import Change

#: Said by dnf 4.14 of an upgrade of everything: a new dependency, an obsoleted package, a fourth kernel where three are kept.
ROWS = [
    ["INSTALL", "brandnew", "noarch", "1-1"], ["INSTALL", "kernel-core", "noarch", "4-1"], ["INSTALL", "renamed-new", "noarch", "1-1"],
    ["OBSOLETED", "renamed-old", "noarch", "1-1"], ["UPGRADE", "needsnew", "noarch", "2-1"], ["UPGRADED", "needsnew", "noarch", "1-1"],
    ["UPGRADE", "qemu-kvm", "noarch", "1:2-1"], ["UPGRADED", "qemu-kvm", "noarch", "1-1"], ["REASON_CHANGE", "conflicts-a", "noarch", "1-1"],
    ["REMOVE", "kernel-core", "noarch", "1-1"],
]
CHANGES = [
    Change("brandnew", None, "1-1"), Change("kernel-core", None, "4-1"), Change("needsnew", "1-1", "2-1"), Change("qemu-kvm", "1-1", "1:2-1"),
    Change("renamed-new", None, "1-1"), Change("renamed-old", "1-1", None),
]
ACTIONS = ["INSTALL", "UPGRADE", "UPGRADED", "DOWNGRADE", "DOWNGRADED", "OBSOLETE", "OBSOLETED", "REINSTALL", "REINSTALLED", "REMOVE", "REASON_CHANGE"]


# ---- the transaction ----

def test_read_rows():
    assert read_rows(ROWS) == (CHANGES, [])


@pytest.mark.parametrize(("rows", "changes", "removed"), [
    ([], [], []),
    ([["REMOVE", "a", "noarch", "1-1"]], [], ["a"]),
    ([["UPGRADE", "a", "x86_64", "2-1"], ["UPGRADED", "a", "x86_64", "1-1"], ["UPGRADE", "a", "i686", "2-1"], ["UPGRADED", "a", "i686", "1-0"]],
     [Change("a", "1-1", "2-1"), Change("a", "1-0", "2-1")], []),
    ([["UPGRADE", "a", "x86_64", "2-1"], ["UPGRADED", "a", "x86_64", "1-1"], ["INSTALL", "a", "i686", "2-1"]],
     [Change("a", "1-1", "2-1"), Change("a", None, "2-1")], []),
    ([["UPGRADE", "a", "x86_64", "2-1"], ["UPGRADED", "a", "x86_64", "1-1"], ["UPGRADE", "a", "i686", "2-1"], ["UPGRADED", "a", "i686", "1-1"]],
     [Change("a", "1-1", "2-1")], []),
    ([["UPGRADE", "a", "noarch", "2-1"], ["UPGRADED", "a", "x86_64", "1-1"]], [Change("a", "1-1", "2-1")], []),
    # a package that obsoletes what is upgraded as well is not told of twice
    ([["UPGRADE", "a", "noarch", "2-1"], ["UPGRADED", "a", "noarch", "1-1"], ["OBSOLETED", "a", "noarch", "1-1"]], [Change("a", "1-1", "2-1")], []),
])
def test_transactions(rows, changes, removed):
    assert read_rows(rows) == (changes, removed)


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from("abc"), st.sampled_from(["noarch", "x86_64"]), st.sampled_from("123"))))
def test_nothing_that_comes_or_goes_is_lost(rows):
    changes, removed = read_rows(rows)
    told = {change.name for change in changes} | set(removed)
    for action, name, _arch, _version in rows:
        if action not in ("REASON_CHANGE", "UPGRADED", "DOWNGRADED", "REINSTALLED"):
            assert name in told
    assert not {change.name for change in changes if change.candidate is not None} & set(removed)


def test_what_would_become_older_is_refused():
    assert older(ROWS) == []
    [sentence] = older([*ROWS, ["DOWNGRADE", "b", "noarch", "1-1"], ["DOWNGRADED", "b", "noarch", "2-1"], ["DOWNGRADE", "a", "noarch", "1-1"]])
    assert sentence.startswith("a, b would become older than it is")


# ---- dnf's Python ----

@pytest.mark.parametrize(("line", "expected"), [
    ("#!/usr/bin/python3", ["/usr/bin/python3"]),
    ("#!/usr/bin/python3 -sP", ["/usr/bin/python3", "-sP"]),
    ("#!/usr/libexec/platform-python -s", ["/usr/libexec/platform-python", "-s"]),
    ("#! /usr/bin/python3.12", ["/usr/bin/python3.12"]),
    ("#!/bin/sh", []), ("#!", []), ("", []), ("\x7fELF\x02\x01", []), ("/usr/bin/python3", []),
])
def test_interpreter(line, expected):
    assert interpreter(line) == expected


@pytest.fixture
def dnf(tmp_path, monkeypatch):
    """Put a script in dnf's place on PATH, whose Python is a script as well, which prints what it is given."""
    def make(said="", code=0):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "python3").write_text(f"#!/bin/sh\ncat > {tmp_path}/program; echo \"$@\" > {tmp_path}/log; cat {tmp_path}/said; exit {code}\n")
        (folder / "python3").chmod(0o755)
        (folder / "dnf").write_text(f"#!{folder}/python3\n")
        (folder / "dnf").chmod(0o755)
        (tmp_path / "said").write_text(said)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "log"
    return make


def test_a_plan(dnf, tmp_path):
    log = dnf("Some plugin is talkative\n" + json.dumps({"rows": ROWS, "read": ["base"], "ignored": ["extras"], "not_installed": ["rare"]}) + "\n")
    plan = Dnf(["qemu-kvm", "libvirt=9.0-1.el9"], None).plan()
    assert (plan.changes, plan.removed, plan.not_installed, plan.refused) == (CHANGES, [], ["rare"], [])
    assert len(plan.warnings) == 1 and "repository extras" in plan.warnings[0]
    assert log.read_text() == '- {"packages": ["qemu-kvm", "libvirt-9.0-1.el9"], "only_upgrade": true}\n'
    with open(dnf_program.__file__, encoding="utf-8") as stream:
        assert (tmp_path / "program").read_text(encoding="utf-8") == stream.read()


def test_no_list_at_all_is_not_taken_for_nothing_pending(dnf):
    dnf(json.dumps({"rows": [], "read": [], "ignored": ["base", "extras"]}))
    with pytest.raises(MaintenanceError) as caught:
        Dnf([], None).plan()
    assert "no list of any repository in its cache (base, extras)" in str(caught.value)


def test_dnfs_own_words_are_passed_on(dnf):
    dnf(json.dumps({"error": "Problem: conflicting requests\n  - nothing provides x"}))
    with pytest.raises(MaintenanceError) as caught:
        Dnf(["a"], None).plan()
    assert "refuses: Problem: conflicting requests - nothing provides x; no guest was touched" in str(caught.value)


@pytest.mark.parametrize("said", ["", "\n", "Traceback"])
def test_no_answer(dnf, said):
    dnf(said)
    with pytest.raises(MaintenanceError) as caught:
        Dnf(["a"], None).plan()
    assert caught.value.code == "packages" and "gave no answer" in str(caught.value)


def test_a_python_that_fails(dnf):
    dnf("", 1)
    with pytest.raises(MaintenanceError):
        Dnf(["a"], None).plan()


def test_no_dnf_or_a_dnf_that_is_no_python_program(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for content in (None, b"\x7fELF\x02\x01\xff"):
        if content is not None:
            (tmp_path / "dnf").write_bytes(content)
            (tmp_path / "dnf").chmod(0o755)
        with pytest.raises(MaintenanceError) as caught:
            Dnf(["a"], None)
        assert "neither dnf 4 nor dnf 5" in str(caught.value)


# ---- the commands ----

def test_named_packages_and_everything(dnf):
    dnf()
    for only_upgrade, word in ((True, "upgrade"), (False, "install")):
        for command in Dnf(["qemu-kvm", "libvirt=9.0-1"], None, only_upgrade).commands[1:]:
            assert command[-3:] == [word, "qemu-kvm", "libvirt-9.0-1"] and "--setopt=best=True" in command
    for command in Dnf([], None).commands[1:]:
        assert command[-1] == "upgrade" and "--setopt=best=False" in command


def test_inside_the_pause_nothing_is_fetched_asked_or_waited_for(dnf):
    dnf()
    commands = Dnf(["qemu-kvm"], None).commands
    assert {"--assumeyes", "--cacheonly", "--setopt=exit_on_lock=True"} <= set(commands.apply)
    assert "--downloadonly" in commands.stage and "--setopt=metadata_expire=-1" in commands.stage
    assert "--allowerasing" not in commands.apply + commands.stage
    # keys of repositories are not accepted on the way
    assert "--assumeno" in commands.refresh


@pytest.mark.parametrize("name", [
    "", " ", "-x", "--allowerasing", "@core", "/usr/bin/vi", "./a.rpm", "a b", "a*", "a;b", "a=", "a\n", "http://x/a.rpm", "ä", "a=1 2",
])
def test_what_is_no_package_name(dnf, name):
    dnf()
    with pytest.raises(MaintenanceError) as caught:
        Dnf(["good", name], None)
    assert caught.value.code == "packages" and repr(name) in str(caught.value)


def test_apts_release_is_refused():
    with pytest.raises(MaintenanceError) as caught:
        Dnf(["a"], "bookworm-backports")
    assert "setting of apt" in str(caught.value)


# ---- dnf itself ----

SPEC = """Name: {name}
Version: {version}
Release: 1
Summary: x
License: x
BuildArch: noarch
{more}
%description
x
%install
mkdir -p %{{buildroot}}/usr/share
echo x > %{{buildroot}}/usr/share/{name}
ln -s {name} %{{buildroot}}/usr/share/{name}-link
%files
/usr/share/{name}
/usr/share/{name}-link
"""
#: Runs in dnf's Python: its configuration is the test's own, all else is the program's.
ASK = """
import json, sys
import dnf  # dnf's own, before ours of that name can be found
sys.path.append(sys.argv[1])
import dnf_program
with dnf.Base() as base:
    base.conf.installroot = sys.argv[2] + "/root"
    base.conf.reposdir = [sys.argv[2]]
    base.conf.cachedir = base.conf.persistdir = sys.argv[2] + "/cache"
    base.conf.pluginpath = []
    base.conf.substitutions["releasever"] = "9"
    print(json.dumps(dnf_program.answer(base, sys.argv[4:], sys.argv[3] == "upgrade")))
"""
TOOLS = ("dnf", "rpm", "rpmbuild", "createrepo_c")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"not all of {', '.join(TOOLS)} are here")
def test_dnf_itself(tmp_path):
    def command(*argv):
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def build(name, version, more=""):
        (tmp_path / "spec").write_text(SPEC.format(name=name, version=version, more=more))
        command("rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/build", "--define", f"_rpmdir {tmp_path}/repo",
                "--define", "_rpmfilename %{NAME}-%{VERSION}.rpm", "spec")
        return tmp_path / "repo" / f"{name}-{version}.rpm"

    old = [build("needsnew", 1), build("renamed-old", 1), build("held", 1), build("in-the-way", 1)]
    command("rpm", "--root", tmp_path / "root", "--install", "--nodeps", *old)
    build("needsnew", 2, "Requires: brandnew")
    build("brandnew", 1)
    build("renamed-new", 1, "Obsoletes: renamed-old < 2")
    build("held", 2, "Conflicts: in-the-way")
    command("createrepo_c", tmp_path / "repo")
    (tmp_path / "local.repo").write_text(f"[local]\nname=local\nbaseurl=file://{tmp_path}/repo\nskip_if_unavailable=1\n")

    def ask(*packages, how="upgrade"):
        return json.loads(command(*Dnf._find(), "-c", ASK, os.path.dirname(dnf_program.__file__), tmp_path, how, *packages))

    assert ask() == {"rows": [], "files": [], "read": [], "ignored": ["local"], "not_installed": []}  # its list was never read, and nothing is fetched
    command("dnf", "--installroot", tmp_path / "root", f"--setopt=cachedir={tmp_path}/cache", f"--setopt=reposdir={tmp_path}", "--releasever=9", "makecache")
    found = ask()
    assert (found["read"], found["ignored"]) == (["local"], [])
    assert read_rows(found["rows"]) == ([
        Change("brandnew", None, "1-1"), Change("needsnew", "1-1", "2-1"), Change("renamed-new", None, "1-1"), Change("renamed-old", "1-1", None),
    ], [])
    assert dict(found["files"]) == {name: f"{tmp_path}/repo/{name}-{version}.rpm" for name, version in (("brandnew", 1), ("needsnew", 2), ("renamed-new", 1))}
    assert adapter.contents("needsnew", found["files"]) == {"/usr/share/needsnew": None, "/usr/share/needsnew-link": "needsnew"}
    assert adapter.contents("held", found["files"]) is None  # it does not come
    assert read_rows(ask("needsnew-2")["rows"])[0] == [Change("brandnew", None, "1-1"), Change("needsnew", "1-1", "2-1")]
    assert ask("in-the-way")["rows"] == []
    found = ask("needsnew", "brandnew")
    assert [row[1] for row in found["rows"] if row[0] == "UPGRADE"] == ["needsnew"] and found["not_installed"] == ["brandnew"]
    found = ask("brandnew", how="install")
    assert read_rows(found["rows"])[0] == [Change("brandnew", None, "1-1")] and found["not_installed"] == []


@pytest.mark.skipif(shutil.which("rpm") is None, reason="no rpm here")
def test_a_file_of_no_rpm_has_no_owner(dnf, tmp_path):
    dnf()
    mine = tmp_path / "mine"
    mine.touch()
    assert Dnf([], None).owners([str(mine), "/nowhere"]) == {}
    assert adapter.Dnf([], None).owners([]) == {}
