# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.containers: real processes called as libvirt's daemons, in root file systems and mount namespaces of their own."""
from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import containers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.containers import Daemon, contained_libvirt

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change a root file system")


@pytest.fixture(autouse=True)
def daemons(monkeypatch):
    """Names that only this test's processes have: the libvirt of this machine has no part in it."""
    names = {name: f"{name}{os.getpid()}" for name in ("libvirtd", "virtqemud")}
    monkeypatch.setattr(containers, "_DAEMONS", frozenset(names.values()))
    return names


@pytest.fixture
def daemon(tmp_path, start, until, daemons):
    """Start a process that is called as a daemon, in a root file system with what it needs and nothing else; or on the host."""
    sleep = os.path.realpath(shutil.which("sleep"))

    def run(name, root=True, prefix=(), user="0:0"):
        inside = f"/usr/sbin/{daemons[name]}"
        if root:
            folder = tmp_path / f"root-{name}"
            needed = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", sleep], check=True, capture_output=True, text=True).stdout)
            for source, target in [(sleep, inside), *((path, path) for path in needed)]:
                os.makedirs(os.path.dirname(f"{folder}{target}"), exist_ok=True)
                shutil.copy(source, f"{folder}{target}")
            argv = ["chroot", f"--userspec={user}", str(folder), inside, "1000"]
        else:
            path = tmp_path / daemons[name]
            shutil.copy(sleep, path)
            argv = [str(path), "1000"]
        child = start([*prefix, *argv])
        until(lambda: os.path.basename(os.readlink(f"/proc/{child.pid}/exe")) == daemons[name], "it runs")
        return Daemon(daemons[name], child.pid)
    return run


def test_no_daemon():
    assert contained_libvirt() is None


@pytest.mark.parametrize("name", ["libvirtd", "virtqemud"])
def test_a_daemon_in_another_root(daemon, name):
    there = daemon(name)
    assert contained_libvirt() == there


@pytest.mark.parametrize("name", ["libvirtd", "virtqemud"])
def test_a_daemon_on_the_host(daemon, name):
    daemon(name, root=False)
    assert contained_libvirt() is None


def test_a_daemon_on_the_host_with_mounts_of_its_own(daemon):
    # What systemd does for PrivateMounts=, PrivateTmp= and the like.
    there = daemon("libvirtd", root=False, prefix=["unshare", "--mount", "--propagation", "slave"])
    assert os.readlink(f"/proc/{there.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    assert contained_libvirt() is None


def test_a_daemon_in_a_container_with_mounts_of_its_own(daemon):
    there = daemon("virtqemud", prefix=["unshare", "--mount"])
    assert contained_libvirt() == there


def test_a_container_beside_the_hosts_own_daemon(daemon):
    # A nested host, or a container with a libvirt of its own: it has nothing to do with ours.
    daemon("virtqemud")
    daemon("libvirtd", root=False)
    assert contained_libvirt() is None


def test_a_daemon_of_another_user(daemon):
    there = daemon("virtqemud", user="4242:4242")
    assert os.stat(f"/proc/{there.pid}").st_uid == 4242
    assert contained_libvirt() is None
