# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/host_update_info: which package manager, and the whole answer, with a program in the package manager's place."""
from __future__ import annotations

import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import host_update_info
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.running_code import CodeFile, GuestCode
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.apt import Apt
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.dnf5 import dnf_of_this_host
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.unit_states import UnitState
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import held, managers, restarts
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.managers import manager_of
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.package_manager import run, usr_merged

#: Of a Debian 12 host, shortened.
SIMULATION = """Reading package lists...
Inst libvirt0 [9.0.0-4+deb12u2] (11.3.0-3~bpo12+1 Debian Backports:stable-backports [amd64]) []
Inst qemu-system-x86 [1:7.2+dfsg-7+deb12u12] (1:10.0.2+ds-1~bpo12+1 Debian Backports:stable-backports [amd64])
Inst libfdt1:i386 (1.6.1-4+b1 Debian:12.9/stable [i386])
Conf libvirt0 (11.3.0-3~bpo12+1 Debian Backports:stable-backports [amd64])
"""


# ---- which package manager ----

@pytest.mark.parametrize(("text", "expected"), [
    ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', Apt),
    ("ID=ubuntu\nID_LIKE=debian\n", Apt),
    ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", Apt),
    ('NAME="Red Hat Enterprise Linux"\nID="rhel"\nID_LIKE="fedora"\n', dnf_of_this_host),
    ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', dnf_of_this_host),
    ("ID=fedora\nVERSION_ID=40", dnf_of_this_host),
])
def test_manager_of(text, expected):
    assert manager_of(text) is expected


@pytest.mark.parametrize("text", ["", "ID=alpine\n", "ID=opensuse-leap\nID_LIKE='suse opensuse'\n", "no equals sign\nPRETTY_NAME=debian"])
def test_another_family_is_refused(text):
    with pytest.raises(MaintenanceError) as caught:
        manager_of(text)
    assert caught.value.code == "packages" and "neither of Debian's family nor of RHEL's" in str(caught.value)


def test_a_host_that_does_not_say_what_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(managers, "OS_RELEASE", str(tmp_path / "none"))
    with pytest.raises(MaintenanceError) as caught:
        managers.manager([], None, True)
    assert "says nothing" in str(caught.value)


# ---- who uses what ----

def test_users():
    code = {
        GuestCode("g1", "u1", 1): {1: [CodeFile("/q", False, "0-1"), CodeFile("/c", False, "1-2"), CodeFile("/c", True, "2-3")]},
        GuestCode("g2", "u2", 2): {2: [CodeFile("/c", False, "0-1"), CodeFile("/mine", False, "1-2")], 3: [CodeFile("/swtpm", False, "0-1")]},
    }
    assert host_update_info.users(code, {"/q": ["qemu"], "/c": ["libc6", "libc6-x"], "/swtpm": ["swtpm"]}) == {
        "qemu": ["g1"], "libc6": ["g1", "g2"], "libc6-x": ["g1", "g2"], "swtpm": ["g2"],
    }


@pytest.mark.parametrize(("path", "expected"), [
    ("/usr/lib/x/libc.so.6", ["/usr/lib/x/libc.so.6", "/lib/x/libc.so.6"]), ("/usr/lib64/a", ["/usr/lib64/a", "/lib64/a"]),
    ("/usr/bin/a", ["/usr/bin/a", "/bin/a"]), ("/usr/share/a", ["/usr/share/a"]), ("/opt/a", ["/opt/a"]),
])
def test_usr_merged(path, expected):
    assert usr_merged(path) == expected


# ---- the whole, with a program in apt-get's place ----

@pytest.fixture
def apt_get(tmp_path, monkeypatch):
    """Put a shell script in apt-get's place on PATH, on a host of Debian's family without guests."""
    def make(script):
        path = tmp_path / "bin" / "apt-get"
        path.parent.mkdir(exist_ok=True)
        # All its sources can be authenticated.
        path.write_text(f'#!/bin/sh\n[ "$1" != indextargets ] || exit 0\necho "$@" >> {tmp_path}/log\n{script}\n')
        path.chmod(0o755)
        (tmp_path / "os-release").write_text("ID=debian\n")
        monkeypatch.setattr(managers, "OS_RELEASE", str(tmp_path / "os-release"))
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        # The lab's hosts, where one is up, are containers to the machine that runs this.
        monkeypatch.setattr(host_update_info, "refuse_container", lambda: None)
        return tmp_path / "log"
    return make


def info(packages=(), release=None, refresh=False, rules=(), only_upgrade=True):
    return host_update_info.update_info({
        "packages": list(packages), "only_upgrade": only_upgrade, "default_release": release, "update_cache": refresh,
        "rules": list(rules), "uri": "qemu:///session",
    })


def test_update_info(apt_get, tmp_path):
    (tmp_path / "said").write_text(SIMULATION)
    log = apt_get(f"cat {tmp_path}/said")
    found = info(["qemu-system-x86"])
    assert found["changed"] is False
    assert [(change["name"], change["technique"]) for change in found["pending"]] == [
        ("libvirt0", "live"), ("qemu-system-x86", "refresh"), ("libfdt1:i386", "live"),
    ]
    assert found["pending"][0] == {
        "name": "libvirt0", "installed": "9.0.0-4+deb12u2", "candidate": "11.3.0-3~bpo12+1", "technique": "live", "in_pause": None,
        "reason": "libvirt's daemons are restarted and find their guests again, which run on meanwhile", "guests": [],
    }
    assert found["technique"] == "refresh"
    commands = Apt(["qemu-system-x86"], None).commands
    assert found["commands"] == {"stage": commands.stage, "apply": commands.apply}
    assert found["stale"]["guests"] == [] and found["stale"]["kernel"]["running"] == os.uname().release
    assert found["warnings"] == []
    assert len(log.read_text().splitlines()) == 1


SWITCH = "Inst ovn-host [1] (2 repo [amd64])\n"


@pytest.fixture
def with_systemd(monkeypatch, tmp_path):
    """A host where systemd runs, and no earlier run has held restarts back."""
    monkeypatch.setattr(host_update_info, "has_systemd", lambda: True)
    monkeypatch.setattr(restarts, "RECORD", str(tmp_path / "run" / "held_restarts"))
    monkeypatch.setattr(restarts, "unit_states", lambda units: {unit: restarts_state(unit) for unit in units})


def restarts_state(unit):
    return UnitState(True, not unit.startswith("off"), "")


@pytest.mark.parametrize(("asked", "rest", "outside"), [
    (["ovn-host", "qemu-system-x86"], SIMULATION, ["qemu-system-x86"]),
    (["ovn-host=2", "qemu-system-x86:amd64"], SIMULATION, ["qemu-system-x86:amd64"]),
    (["ovn-host", "qemu-system-x86"], SIMULATION + SWITCH, []),  # the other one brings it along
    (["ovn-host", "qemu-system-x86"], SIMULATION + "Remv qemu-old [1:5.2]\n", []),
    (["ovn-host", "qemu-system-x86"], "", []),  # nothing of the other one is pending
    (["ovn-host"], SIMULATION, []),
    ([], SIMULATION, []),
])
def test_what_can_be_applied_beside_a_package_that_goes_whole_into_the_pause(apt_get, with_systemd, tmp_path, asked, rest, outside):
    (tmp_path / "all").write_text(SWITCH + SIMULATION)
    (tmp_path / "rest").write_text(rest)
    apt_get(f'case "$*" in *ovn-host*|*--with-new-pkgs*) cat {tmp_path}/all;; *) cat {tmp_path}/rest;; esac')
    found = info(asked)
    assert found["outside"] == outside
    assert [change["in_pause"] for change in found["pending"]] == ["package", None, None, None]


@pytest.mark.parametrize(("asked", "outside"), [([], ["*"]), (["libvirt0", "qemu-system-x86"], ["libvirt0", "qemu-system-x86"])])
def test_where_restarts_can_be_held_back_everything_is_applied_outside_the_pause(apt_get, with_systemd, tmp_path, asked, outside):
    (tmp_path / "said").write_text(SIMULATION)
    apt_get(f"cat {tmp_path}/said")
    rules = [{"packages": ["libvirt*"], "technique": "pause", "reason": "they want it", "in_pause": "restarts"}]
    found = info(asked, rules=rules)
    assert found["outside"] == outside and [change["in_pause"] for change in found["pending"]] == ["restarts", None, None]


def test_without_systemd_there_is_nothing_to_hold_back(apt_get, monkeypatch, tmp_path):
    monkeypatch.setattr(host_update_info, "has_systemd", lambda: False)
    (tmp_path / "said").write_text(SIMULATION)
    apt_get(f"cat {tmp_path}/said")
    assert info()["outside"] == [] and info()["restarts"] == []


def test_what_an_earlier_run_left_is_told_with_nothing_pending(apt_get, with_systemd):
    apt_get("true")
    restarts.keep([held.Asked("openvswitch-switch", "restart", "openvswitch-switch.service"), held.Asked("a", "try-restart", "off.service")])
    found = info()
    assert found["restarts_due"] and found["outside"] == []
    assert found["restarts"] == [{"unit": "openvswitch-switch.service", "action": "restart", "packages": ["openvswitch-switch"], "in_pause": True}]


def test_the_operators_rules_are_heard(apt_get, tmp_path):
    (tmp_path / "said").write_text(SIMULATION)
    apt_get(f"cat {tmp_path}/said")
    found = info(rules=[{"packages": ["libvirt*"], "technique": "refuse", "reason": "not this month", "in_pause": "restarts"}])
    assert found["technique"] == "refuse" and found["pending"][0]["reason"] == "not this month"


def test_a_guest_that_cannot_be_looked_at_is_told_of(apt_get, tmp_path):
    apt_get("true")
    folder = tmp_path / "libvirt" / "qemu" / "run"
    folder.mkdir(parents=True)
    (folder / "g1.xml").write_text("")
    [warning] = info()["warnings"]
    assert "status file g1.xml cannot be read or names no guest" in warning


def test_nothing_pending_needs_no_technique(apt_get):
    apt_get("true")
    found = info()
    assert found["pending"] == [] and found["technique"] is None


def test_the_lists_are_read_first_when_asked_for(apt_get):
    log = apt_get("true")
    assert info(["a"], refresh=True)["pending"] == []
    first, second = log.read_text().splitlines()
    assert first.endswith(" update") and "--simulate" in second


def test_an_update_that_removes_is_refused(apt_get, tmp_path):
    (tmp_path / "said").write_text(SIMULATION + "Remv qemu-old [1:5.2]\n")
    apt_get(f"cat {tmp_path}/said")
    with pytest.raises(MaintenanceError) as caught:
        info(["qemu-system-x86"])
    assert caught.value.code == "packages" and "would remove qemu-old," in str(caught.value)


@pytest.fixture
def debian(apt_system, tmp_path, monkeypatch):
    """A host of Debian's family with the real apt-get, whose packages are the test's own, and without guests."""
    (tmp_path / "os-release").write_text("ID=debian\n")
    monkeypatch.setattr(managers, "OS_RELEASE", str(tmp_path / "os-release"))
    monkeypatch.setattr(host_update_info, "refuse_container", lambda: None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    apt_system.source("[trusted=yes] ")


@pytest.mark.parametrize("packages", [["*"], []])
def test_everything_that_is_pending(debian, packages):
    found = info(packages)
    assert sorted(change["name"] for change in found["pending"]) == ["a", "needs", "new"]
    assert found["commands"]["apply"][-1] == "--with-new-pkgs" and found["not_installed"] == []
    run(found["commands"]["stage"], 60)


@pytest.mark.parametrize("packages", [["*", "a"], ["a", "*"], ["*", "*"]])
def test_everything_and_a_name(debian, packages):
    with pytest.raises(MaintenanceError) as caught:
        info(packages)
    assert caught.value.code == "packages" and "'*' means everything that is pending" in str(caught.value)


def test_a_package_that_this_host_lacks(debian):
    found = info(["a", "absent"])
    assert [change["name"] for change in found["pending"]] == ["a"] and found["not_installed"] == ["absent"]
    found = info(["absent"])
    assert found["pending"] == [] and found["technique"] is None
    found = info(["a", "absent"], only_upgrade=False)
    assert [change["name"] for change in found["pending"]] == ["a", "absent"] and found["not_installed"] == []


@pytest.mark.parametrize(("packages", "words"), [
    (["a", "held"], "held is held (apt-mark hold)"), (["down=1.0"], "down would become older than it is"), (["taker"], "would remove loser,"),
    (["nosuch"], "Unable to locate package nosuch"),
])
def test_what_the_run_would_refuse_is_refused_before(debian, packages, words):
    with pytest.raises(MaintenanceError) as caught:
        info(packages, only_upgrade=False)
    assert caught.value.code == "packages" and words in str(caught.value) and "no guest was touched" in str(caught.value)


def test_what_is_wrong_with_the_call_is_told_before_anybody_is_asked(apt_get):
    log = apt_get("true")
    with pytest.raises(MaintenanceError) as caught:
        info(refresh=True, rules=[{"packages": [], "technique": "live", "reason": "x"}])
    assert caught.value.code == "rules"
    with pytest.raises(MaintenanceError) as caught:
        info(["-o"], refresh=True)
    assert caught.value.code == "packages"
    assert not log.exists()


# ---- running a package manager ----

def test_the_package_managers_own_words_are_passed_on(apt_get):
    apt_get("echo 'W: x' >&2; echo 'E: Unable to locate package a' >&2; exit 100")
    with pytest.raises(MaintenanceError) as caught:
        info(["a"])
    assert "refuses: Unable to locate package a; no guest was touched" in str(caught.value)


def test_a_package_manager_that_hangs(apt_get):
    apt_get("exec sleep 1000")
    with pytest.raises(MaintenanceError) as caught:
        run(["apt-get"], 0.3)
    assert "did not end within 0.3 s" in str(caught.value)


def test_a_package_manager_that_cannot_be_started(tmp_path):
    with pytest.raises(MaintenanceError) as caught:
        run([str(tmp_path / "none")], 5)
    assert caught.value.code == "packages" and "cannot be started (No such file or directory)" in str(caught.value)


def test_exit_codes_that_mean_success_and_what_is_read():
    assert run(["sh", "-c", "cat; exit 1"], 5, stdin="x", fine=(0, 1)) == "x"
