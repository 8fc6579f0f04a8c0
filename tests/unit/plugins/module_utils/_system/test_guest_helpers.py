# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/guest_helpers: libvirt's pid files, and the real processes that they name."""
from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import guest_helpers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guest_helpers import GuestHelper, helpers, pid_files


@pytest.fixture
def libvirt_files(where, tmp_path):
    """Write a file of libvirt's: below the folder of running guests, or in the guest's own."""
    own = tmp_path / "lib" / "domain-7-web"
    own.mkdir(parents=True)

    def write(path, text=""):
        path = os.path.join(where.runtime, path) if not path.startswith("own/") else str(own / path[len("own/"):])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as stream:
            stream.write(str(text))
        return path

    write.monitor = str(own / "monitor.sock")
    return write


def test_the_pid_files_of_a_guest(where, libvirt_files):
    theirs = [libvirt_files(path) for path in (
        "swtpm/7-web-swtpm.pid", "passt/7-web-net0-passt.pid", "7-web-fs0-fs.pid", "dbus/7-web-dbus.pid", "own/pr-helper0.pid",
    )]
    for path in ("web.pid", "swtpm/17-web-swtpm.pid", "swtpm/7-web-swtpm.sock", "swtpm/7-webserver-swtpm.pid", "a/b/7-web-x.pid", "8-web-fs0-fs.pid"):
        libvirt_files(path)
    assert pid_files(where.runtime, libvirt_files.monitor) == sorted(theirs)


@pytest.mark.parametrize("monitor", ["", "/monitor.sock", "/x/domain-/monitor.sock", "/x/other-1-web/monitor.sock"])
def test_a_guest_whose_folder_is_not_known_has_none(where, libvirt_files, monitor):
    libvirt_files("swtpm/7-web-swtpm.pid")
    assert pid_files(where.runtime, monitor) == []


def test_a_name_is_no_pattern(where, libvirt_files):
    libvirt_files("swtpm/7-web-swtpm.pid")
    assert pid_files(where.runtime, "/x/domain-7-w*/monitor.sock") == []


def test_helpers(where, libvirt_files, tmp_path, start, until):
    """Known by their programs; a pid that somebody else has by now, and files that cannot be read, are passed over."""
    processes = {}
    for name in ("swtpm", "virtiofsd", "other"):
        shutil.copy(os.path.realpath(shutil.which("sleep")), tmp_path / name)
        processes[name] = start([str(tmp_path / name), "1000"]).pid
        until(lambda pid=processes[name], name=name: guest_helpers.program(pid) == str(tmp_path / name), "the program runs")
    libvirt_files("swtpm/7-web-swtpm.pid", f"{processes['swtpm']}\n")
    libvirt_files("7-web-fs0-fs.pid", processes["virtiofsd"])
    libvirt_files("7-web-fs1-fs.pid", processes["other"])
    libvirt_files("dbus/7-web-dbus.pid", "")
    libvirt_files("passt/7-web-net0-passt.pid", 10**8)
    assert helpers(where, libvirt_files.monitor) == sorted(
        [GuestHelper("swtpm", processes["swtpm"], True), GuestHelper("virtiofsd", processes["virtiofsd"], False)], key=lambda helper: helper.pid,
    )
