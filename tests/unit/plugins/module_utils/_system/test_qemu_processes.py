# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.qemu_processes: command lines of the field, and real processes that are called as QEMU is."""
from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import new_throwaway
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import qemu_processes
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qemu_processes import QemuProcess, guest_of, unknown

UUID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(("line", "expected"), [
    (f"/usr/bin/qemu-system-x86_64 -name guest=g1,debug-threads=on -S -machine pc-q35-7.2,usb=off -uuid {UUID} -nodefaults", ("g1", UUID)),
    ("/usr/bin/kvm -id 100 -name web1,debug-threads=on -no-shutdown -daemonize -smbios type=1,uuid=x", ("web1", "")),  # Proxmox
    (f"/usr/bin/kvm -name inst1.example.com -m 512 -uuid {UUID.upper()}", ("inst1.example.com", UUID)),  # Ganeti
    ("qemu-system-aarch64 --name debug-threads=on,guest=a,,b --uuid u -M virt", ("a,b", "u")),
    ("qemu-system-x86_64 -name process=qemu:x,guest=g2", ("g2", "")),
    ("qemu-system-x86_64 -name debug-threads=on", ("", "")),
    ("qemu-system-x86_64 -name first -name second", ("second", "")),
    ("qemu-system-x86_64 -m 1G", ("", "")),
    ("qemu-system-x86_64", ("", "")),
    ("qemu-system-x86_64 -name", ("", "")),
    ("/usr/bin/qemu-system-x86_64 -S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg -qmp unix:/q -daemonize", None),
    ("qemu-system-x86_64 -M none", None), ("qemu-system-x86_64 -machine accel=tcg,type=none", None),
    ("qemu-system-x86_64 -machine pc -device none", ("", "")),
])
def test_the_guest_of_a_command_line(line, expected):
    assert guest_of(line.split(" ")) == expected


@given(st.lists(st.text() | st.sampled_from(["-name", "-uuid", "-machine", "--name", ",", ",,", "guest=", "=", "-", "--", "none"])))
def test_any_command_line_can_be_read(argv):
    assert guest_of(argv) is None or len(guest_of(argv)) == 2


@pytest.fixture
def qemu(start, until):
    """Start a process that is called as QEMU is, with QEMU's words in its command line, which the shell takes for its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # for processes of other users, too

        def run(*words, program="qemu-system-x86_64", argv0=None, **options):
            path = os.path.join(folder, program)
            if not os.path.exists(path):
                shutil.copy(os.path.realpath("/bin/sh"), path)
            child = start([argv0 or path, "-c", "read line", "sh", *words], executable=path, stdin=subprocess.PIPE, **options)
            # The kernel tells the program before it tells its command line.
            until(lambda: os.readlink(f"/proc/{child.pid}/exe") == path and pathlib.Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it runs")
            return child
        yield run


def ours(processes, *children):
    return [process for process in processes if process.pid in {child.pid for child in children}]


@pytest.mark.parametrize("program", ["qemu-system-x86_64", "qemu-system-aarch64", "qemu-kvm", "kvm"])
def test_a_qemu_is_found(qemu, program):
    child = qemu("-name", "guest=g1,debug-threads=on", "-uuid", UUID, program=program)
    me = pwd.getpwuid(os.geteuid()).pw_name
    with open(f"/proc/{child.pid}/stat", "rb") as stream:
        started = int(stream.read().split()[21])
    assert ours(qemu_processes.qemu_processes(), child) == [QemuProcess(child.pid, started, "g1", UUID, me)]
    assert ours(unknown(set()), child)[0].words == f"g1 (QEMU process {child.pid} of user {me})"
    assert ours(unknown({child.pid}), child) == []


def test_a_qemu_that_calls_itself_otherwise_or_was_deleted(qemu):
    child = qemu("-name", "g1", argv0="guest-g1")
    os.unlink(os.readlink(f"/proc/{child.pid}/exe"))
    assert [process.name for process in ours(unknown([]), child)] == ["g1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_qemu_of_another_user(qemu):
    child = qemu("-name", "g1", user=4242)
    assert [process.user for process in ours(unknown([]), child)] == ["4242"]


@pytest.mark.parametrize("program", ["qemu-img", "qemu-nbd", "qemu-storage-daemon", "qemu-x86_64", "qemu-ga", "kvm-agent"])
def test_other_programs_of_qemu_have_no_guest(qemu, program):
    child = qemu("-name", "g1", program=program)
    assert ours(unknown([]), child) == []


def test_a_qemu_that_libvirt_only_asks(qemu):
    child = qemu("-S", "-no-user-config", "-nodefaults", "-machine", "none,accel=kvm:tcg")
    assert ours(unknown([]), child) == []


def test_a_qemu_that_is_thrown_away_does_not_count(qemu):
    who = new_throwaway()
    thrown, called = qemu("-name", f"guest={who.name}", "-uuid", who.uuid), qemu("-name", f"guest={who.name}", "-uuid", UUID)
    assert [process.uuid for process in ours(unknown([]), thrown, called)] == [UUID]


def test_a_qemu_that_has_ended_and_one_that_is_a_zombie(qemu):
    child = qemu("-name", "g1")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ours(unknown([]), child) == []
    child.wait()
    with pytest.raises(FileNotFoundError):
        qemu_processes._process(child.pid)
