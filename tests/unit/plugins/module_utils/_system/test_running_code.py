# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/running_code: what real processes have mapped, and recorded maps of a QEMU."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import new_throwaway
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import running_code
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.running_code import CodeFile, GuestCode, parse_maps

UUID = "11111111-1111-4111-8111-111111111111"
#: Of a QEMU 7.2 on Debian 12 whose packages were upgraded, shortened; and what a KVM guest, hugepages, TCG, ORC and libffi add.
MAPS = """55c8bfb5d000-55c8bff64000 r--p 00000000 00:48 1643712                    /usr/bin/qemu-system-x86_64 (deleted)
55c8bff64000-55c8c04fb000 r-xp 00407000 00:48 1643712                    /usr/bin/qemu-system-x86_64 (deleted)
55c8c2c5e000-55c8c3a5a000 rw-p 00000000 00:00 0                          [heap]
00400000-0048a000 r-xp 00002000 00:48 1643713                            /opt/a program/with spaces
7f7200000000-7f7208000000 rw-s 00000000 00:19 12                         /dev/shm/libvirt/qemu/1-g1/pc.ram (deleted)
7f7210000000-7f7218000000 rw-s 00000000 00:1a 13                         /dev/hugepages/libvirt/qemu/1-g1/ram (deleted)
7f7218000000-7f7219000000 r-xs 00000000 00:01 14                         /memfd:tcg-jit (deleted)
7f7219000000-7f721a000000 rw-s 00000000 00:01 15                         /memfd:pc.ram (deleted)
7f721a000000-7f721a001000 rwxs 00000000 00:05 16                         /dev/zero (deleted)
7f721a001000-7f721a002000 rwxs 00000000 00:01 17                         /SYSV00000000 (deleted)
7f721a002000-7f721a003000 r-xs 00000000 00:48 18                         /tmp/ffiKx3f1p (deleted)
7f721a003000-7f721a004000 r-xs 00000000 00:48 19                         /var/lib/libvirt/qemu/orcexec.8LmT9c (deleted)
7f721a004000-7f721a005000 r--p 00000000 fe:00 20                         /srv/guest-image/initramfs
7f721a005000-7f721a006000 r--s 00000000 00:48 21                         /usr/lib/locale/locale-archive (deleted)
7f72c60bd000-7f72c60bf000 r--p 00000000 00:48 1643534                    /usr/lib/x86_64-linux-gnu/libc.so.6
7f72c60bf000-7f72c612a000 r-xp 00002000 00:48 1643534                    /usr/lib/x86_64-linux-gnu/libc.so.6
7f72c612a000-7f72c6155000 r-xp 0006d000 00:48 1643534                    /usr/lib/x86_64-linux-gnu/libc.so.6
7f72c6155000-7f72c6157000 r-xp 00000000 00:48 1643999                    /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)
7f72c6157000-7f72c6158000 r-xp 00000000 00:00 0
7ffd34bf6000-7ffd34bf8000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program of the test's own, which counts as code though it is in /tmp."""
    monkeypatch.setattr(running_code, "_NO_PROGRAM", ("/memfd:", "/dev/"))
    path = tmp_path / "virtlogd"
    shutil.copy(os.path.realpath(shutil.which("sleep")), path)
    return path


@pytest.fixture
def run_program(program, start, until):
    child = start([str(program), "1000"])
    until(lambda: str(program) in [file.path for file in running_code.code_files(child.pid)], "the program is mapped")
    return child


# ---- maps ----

@pytest.mark.parametrize(("text", "expected"), [
    ("0::/system.slice/ssh.service\n", "ssh.service"), ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "x.service"), ("0::/system.slice/libvirtd.service/guest\n", "libvirtd.service"),
    ("12:cpu:/\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"), ("0::/\n", None), ("", None), ("nonsense", None),
])
def test_the_unit_of_a_process(text, expected):
    assert running_code.parse_unit(text) == expected


def test_only_code_of_files_counts():
    assert parse_maps(MAPS) == [
        CodeFile("/usr/bin/qemu-system-x86_64", True, "55c8bff64000-55c8c04fb000"),
        CodeFile("/opt/a program/with spaces", False, "400000-48a000"),
        CodeFile("/usr/lib/x86_64-linux-gnu/libc.so.6", False, "7f72c60bf000-7f72c612a000"),
        CodeFile("/usr/lib/x86_64-linux-gnu/libc.so.6", True, "7f72c6155000-7f72c6157000"),
    ]


@given(st.text() | st.lists(st.sampled_from(["0-1", "r-xp", "00:01", "/a", " (deleted)", " ", "\n", "[heap]", "-"])).map("".join))
def test_arbitrary_text_is_parsed_or_passed_over(text):
    for file in parse_maps(text):
        assert file.path.startswith("/")


def test_this_process_runs_its_python_and_its_c_library():
    paths = [file.path for file in running_code.code_files(os.getpid())]
    assert os.path.realpath(sys.executable) in paths
    assert len(paths) == len(set(paths))
    assert not any(file.deleted for file in running_code.code_files(os.getpid()))


def test_a_process_that_has_ended(start):
    child = start([sys.executable, "-c", ""])
    child.wait()
    assert running_code.code_files(child.pid) is None
    assert running_code.program(child.pid) is None
    assert running_code.program_build_id(child.pid) is None


def test_a_program_that_was_removed(program, run_program):
    before = running_code.build_id_of(str(program))
    os.unlink(program)
    [file] = [file for file in running_code.code_files(run_program.pid) if file.path == str(program)]
    assert file.deleted
    assert running_code.program(run_program.pid) == str(program)
    assert running_code.program_build_id(run_program.pid) == before
    assert running_code.build_id_of(str(program)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may open what a process has mapped")
def test_the_build_id_of_what_is_mapped(program, run_program):
    before = running_code.build_id_of(str(program))
    os.unlink(program)
    [file] = [file for file in running_code.code_files(run_program.pid) if file.path == str(program)]
    assert running_code.mapped_build_id(run_program.pid, file) == before


@pytest.mark.parametrize("path", ["/", "/nowhere", "/etc/passwd", "/a\0b", "/proc/self/mem"])
def test_a_file_without_a_build_id(path):
    assert running_code.build_id_of(path) is None


# ---- daemons ----

def test_a_daemon_of_libvirt_is_known_by_its_program(run_program):
    assert ("virtlogd", run_program.pid) in running_code.daemons()


def test_a_daemon_whose_file_was_removed_is_still_one(program, run_program):
    os.unlink(program)
    assert ("virtlogd", run_program.pid) in running_code.daemons()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="makes a PID namespace")
def test_a_daemon_in_a_container_is_not_this_hosts(program, start, until):
    start(["unshare", "--pid", "--fork", str(program), "1000"])

    def inside():
        said = subprocess.run(["pgrep", "--full", "--exact", f"{program} 1000"], capture_output=True, text=True, check=False).stdout.split()
        return [pid for pid in map(int, said) if running_code.program(pid) == str(program)]

    found = until(inside, "the program runs")
    assert not {("virtlogd", pid) for pid in found} & set(running_code.daemons())


# ---- guests ----

def status(pid, uuid=UUID):
    return f"<domstatus state='running' pid='{pid}'><monitor path='/m'/><domain><uuid>{uuid}</uuid></domain></domstatus>"


def write(where, name, text):
    with open(os.path.join(where.runtime, name), "w", encoding="utf-8") as stream:
        stream.write(text)


def test_guests_are_read_from_libvirts_status_files(where):
    write(where, "b.xml", status(os.getpid()))
    write(where, "a.xml", status(os.getpid()))
    write(where, "a.pid", str(os.getpid()))
    write(where, "gone.xml", status(10**8))
    os.mkdir(os.path.join(where.runtime, "dbus"))
    assert running_code.guests(where) == ([GuestCode("a", UUID, os.getpid(), "/m"), GuestCode("b", UUID, os.getpid(), "/m")], [])


def test_guests_that_are_thrown_away_do_not_count(where):
    who = new_throwaway()
    write(where, f"{who.name}.xml", status(os.getpid(), who.uuid))
    write(where, "a.xml", status(os.getpid()))
    assert [one.name for one in running_code.guests(where)[0]] == ["a"]
    assert [one.name for one in running_code.throwaways(where)] == [who.name]


@pytest.mark.parametrize("text", ["", "no xml", "<domstatus/>", '<?xml version="1.0" encoding="nope"?><a/>', "<domstatus pid='1'>"])
def test_a_status_file_that_names_no_guest_is_told_of(where, text):
    write(where, "a.xml", status(os.getpid()))
    write(where, "odd.xml", text)
    assert running_code.guests(where) == ([GuestCode("a", UUID, os.getpid(), "/m")], ["odd.xml"])


def test_a_host_without_libvirt(where):
    os.rmdir(where.runtime)
    assert running_code.guests(where) == ([], [])


# ---- kernels ----

def test_installed_kernels(tmp_path):
    (tmp_path / "boot").mkdir()
    for name in ("vmlinuz-6.1.0-28-amd64", "initrd.img-6.1.0-28-amd64", "vmlinuz-6.1.0-30-amd64", "config-6.1.0-31-amd64", "vmlinuz"):
        (tmp_path / "boot" / name).touch()
    for name in ("6.1.0-30-amd64", "6.12.1-4.el9.x86_64", "6.13.0-left-over"):
        (tmp_path / "lib" / "modules" / name).mkdir(parents=True)
    (tmp_path / "lib" / "modules" / "6.12.1-4.el9.x86_64" / "vmlinuz").touch()
    assert running_code.installed_kernels(str(tmp_path)) == ["6.1.0-28-amd64", "6.1.0-30-amd64", "6.12.1-4.el9.x86_64"]


def test_no_kernels(tmp_path):
    assert running_code.installed_kernels(str(tmp_path)) == []


def test_when_a_kernel_was_installed_and_the_host_booted(tmp_path):
    (tmp_path / "boot").mkdir()
    image = tmp_path / "boot" / "vmlinuz-6.1.0-30-amd64"
    image.touch()
    os.utime(image, (0, 0))  # the time that the package gives it does not count
    assert running_code.kernel_since("6.1.0-30-amd64", str(tmp_path)) == image.stat().st_ctime > running_code.booted()
    assert running_code.kernel_since("6.1.0-31-amd64", str(tmp_path)) is None
