# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/dnf5: when it is dnf 5, and the argument lists that it gets; with dnf5 itself and rpms made for the test, where it is installed."""
from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import dnf5 as adapter
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import dnf5_program
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.dnf import Dnf, read_answer
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.dnf5 import Dnf5, dnf_of_this_host, is_the_hosts
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.package_manager import Change


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of the test's own, with an rpm that knows some packages, and an answer of the bindings."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "rpm").write_text('#!/bin/sh\ncase "$4" in rare) echo "package rare is not installed"; exit 1;; *) echo "$4";; esac\n')
    (folder / "rpm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))

    def add(name, text="#!/usr/bin/python3\n", to=None):
        if to is None:
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        else:
            (folder / name).symlink_to(to)
        return folder / name

    return add


# ---- which dnf ----

def test_which_dnf(programs):
    assert is_the_hosts() is False
    programs("dnf5")
    assert is_the_hosts() is True and isinstance(dnf_of_this_host([], None), Dnf5)
    dnf = programs("dnf", to="dnf5")
    assert is_the_hosts() is True
    dnf.unlink()
    programs("dnf")  # both, and dnf is still dnf 4
    assert is_the_hosts() is False and isinstance(dnf_of_this_host([], None), Dnf)


# ---- the commands ----

@pytest.mark.parametrize(("only_upgrade", "rest"), [(True, ["upgrade", "qemu-kvm", "libvirt-9.0-1"]), (False, ["install", "qemu-kvm", "rare", "libvirt-9.0-1"])])
def test_named_packages(programs, only_upgrade, rest):
    commands = Dnf5(["qemu-kvm", "rare", "libvirt=9.0-1"], None, only_upgrade).commands
    assert commands.apply[-len(rest):] == rest and {"--assumeyes", "--cacheonly", "--setopt=best=True"} <= set(commands.apply)
    assert [word for word in commands.stage[-len(rest) - 1:] if word != "--downloadonly"] == rest
    assert "--downloadonly" in commands.stage and "--setopt=metadata_expire=-1" in commands.stage
    assert "--assumeno" in commands.refresh  # keys of repositories are not accepted on the way


def test_everything(programs):
    for command in Dnf5([], None).commands[1:]:
        assert "--setopt=best=False" in command and {command[-1], command[-2]} & {"upgrade"}


@pytest.mark.parametrize("name", ["", "-x", "--allowerasing", "@core", "/usr/bin/vi", "a*", "a\n"])
def test_what_is_no_package_name(programs, name):
    with pytest.raises(MaintenanceError):
        Dnf5(["good", name], None)


def test_apts_release_is_refused(programs):
    with pytest.raises(MaintenanceError) as caught:
        Dnf5([], "bookworm-backports")
    assert "setting of apt" in str(caught.value)


# ---- the answer ----

def test_the_program_is_run_under_the_systems_python(programs, monkeypatch, tmp_path):
    python = programs("python3", f'#!/bin/sh\necho "$*" > {tmp_path}/log\necho \'{{"error": "no   way"}}\'\n')
    monkeypatch.setattr(adapter, "_PYTHON", str(python))
    with pytest.raises(MaintenanceError) as caught:
        Dnf5(["a=1-1", "rare"], None).plan()
    assert "refuses: no way; no guest was touched" in str(caught.value)
    assert (tmp_path / "log").read_text() == '-I - {"packages": ["a-1-1", "rare"], "only_upgrade": true}\n'


@pytest.mark.skipif(subprocess.run(["/usr/bin/python3", "-c", "import libdnf5"], check=False, capture_output=True).returncode == 0, reason="they are here")
def test_bindings_that_are_missing(programs):
    with pytest.raises(MaintenanceError) as caught:
        Dnf5([], None).plan()
    assert "install python3-libdnf5" in str(caught.value)


# ---- dnf5 itself ----

SPEC = """Name: {name}
Version: {version}
Release: 1
Summary: x
License: x
BuildArch: noarch
{more}
%description
x
%files
"""
#: Runs in the system's Python: its configuration is the test's own, all else is the program's.
ASK = """
import json, sys
sys.path.append(sys.argv[1])
import dnf5_program, libdnf5.base
base = libdnf5.base.Base()
base.load_config()
config = base.get_config()
config.installroot, config.reposdir, config.use_host_config, config.plugins = sys.argv[2] + "/root", [sys.argv[2]], True, False
config.cachedir = config.system_cachedir = sys.argv[2] + "/cache"
base.get_vars().set("releasever", "9")
print(json.dumps(dnf5_program.answer(base, sys.argv[4:], sys.argv[3] == "upgrade")))
"""
TOOLS = ("dnf5", "rpm", "rpmbuild", "createrepo_c")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"not all of {', '.join(TOOLS)} are here")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install into another root")
def test_dnf5_itself(tmp_path):
    def command(*argv):
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, cwd=tmp_path, errors="replace")
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def build(name, version, more=""):
        (tmp_path / "spec").write_text(SPEC.format(name=name, version=version, more=more))
        command("rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/build", "--define", f"_rpmdir {tmp_path}/repo",
                "--define", "_rpmfilename %{NAME}-%{VERSION}.rpm", "spec")
        return tmp_path / "repo" / f"{name}-{version}.rpm"

    def run(argv):
        """A command of ours, on the test's own system."""
        at = argv.index("dnf5") + 1
        options = [
            f"--installroot={tmp_path}/root", "--use-host-config", f"--setopt=reposdir={tmp_path}", f"--setopt=cachedir={tmp_path}/cache",
            f"--setopt=system_cachedir={tmp_path}/cache", "--releasever=9", "--setopt=plugins=False",
        ]
        return command(*argv[:at], *options, *argv[at:])

    def ask(*packages, how="upgrade"):
        return json.loads(command("/usr/bin/python3", "-c", ASK, os.path.dirname(dnf5_program.__file__), tmp_path, how, *packages))

    def plan(*packages, how="upgrade"):
        return read_answer(ask(*packages, how=how), "dnf5")

    for name in ("needsnew", "renamed-old", "held", "in-the-way"):
        # One by one: of several rpm 6 loses the first, where it may make no mount namespace.
        command("rpm", "--root", tmp_path / "root", "--install", "--nodeps", "--nosignature", "--nodigest", "--justdb", build(name, 1))
    build("needsnew", 2, "Requires: brandnew")
    build("brandnew", 1)
    build("renamed-new", 1, "Obsoletes: renamed-old < 2")
    build("held", 2, "Conflicts: in-the-way")
    command("createrepo_c", tmp_path / "repo")
    (tmp_path / "local.repo").write_text(f"[local]\nname=local\nbaseurl=file://{tmp_path}/repo\nskip_if_unavailable=1\npkg_gpgcheck=0\ngpgcheck=0\n")

    with pytest.raises(MaintenanceError) as caught:  # its list was never read, and nothing is fetched
        plan()
    assert "no list of any repository in its cache (local)" in str(caught.value)
    run(Dnf5([], None).commands.refresh)
    needsnew = [Change("brandnew", None, "1-1"), Change("needsnew", "1-1", "2-1")]
    renamed = [Change("renamed-new", None, "1-1"), Change("renamed-old", "1-1", None)]
    found = plan()
    assert (found.changes, found.removed, found.warnings, found.refused) == (needsnew + renamed, [], [], [])
    found = plan("needsnew-2-1", "brandnew")
    assert (found.changes, found.not_installed) == (needsnew, ["brandnew"])
    found = plan("brandnew", how="install")
    assert (found.changes, found.not_installed) == (needsnew[:1], [])
    for wrong, words in (("held", "conflicts with in-the-way"), ("nosuch", "No match for argument: nosuch")):
        with pytest.raises(MaintenanceError) as caught:
            plan(wrong)
        assert words in str(caught.value)

    commands = Dnf5(["needsnew"], None, False).commands
    run(commands.stage)
    assert plan("needsnew").changes == needsnew
    os.rename(tmp_path / "repo", tmp_path / "away")  # nothing is fetched any more
    run(commands.apply)
    assert plan("needsnew").changes == []
    assert plan("needsnew-1-1", how="install").refused == ["needsnew would become older than it is. Do that by hand first, or name other versions"]
