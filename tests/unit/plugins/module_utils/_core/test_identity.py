# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/identity: processes and boots that cannot be mistaken for others."""
from __future__ import annotations

import os
import signal
import sys
import time
import uuid

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.identity import ProcessIdentity


def test_the_boot_id_is_the_kernels_and_stays():
    assert str(uuid.UUID(identity.boot_id())) == identity.boot_id()


def test_this_process():
    found = identity.process_identity(os.getpid())
    assert found is not None and found.pid == os.getpid()
    assert identity.is_alive(found)
    assert found == identity.process_identity(os.getpid())


def test_a_process_with_the_same_id_and_another_start_is_another():
    found = identity.process_identity(os.getpid())
    assert not identity.is_alive(found._replace(start_time=found.start_time + 1))
    assert not identity.is_alive(found._replace(start_time=found.start_time - 1))


def test_own_identity():
    assert identity.own_identity() == identity.process_identity(os.getpid())


def test_the_start_of_a_process_is_counted_from_the_boot(start):
    ticks = os.sysconf("SC_CLK_TCK")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    child = start(["sleep", "1000"])
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before - 0.1 <= identity.process_identity(child.pid).start_time / ticks <= after + 0.1


def test_a_younger_process_does_not_start_earlier(start):
    child = start(["sleep", "1000"])
    assert identity.process_identity(child.pid).start_time >= identity.process_identity(os.getpid()).start_time


def test_a_zombie_is_gone(start, until):
    child = start([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended and not reaped
    with open(f"/proc/{child.pid}/stat", "rb") as stream:
        assert b") Z " in stream.read()
    assert identity.process_identity(child.pid) is None
    child.wait()
    assert identity.process_identity(child.pid) is None


def test_a_stopped_process_is_alive(start, until):
    child = start(["sleep", "1000"])
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert identity.is_alive(identity.process_identity(child.pid))


def test_a_name_with_parentheses_and_spaces(start, tmp_path, until):
    """The command name stands in the middle of the line, as the process chose it."""
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to("/bin/sleep")
    child = start([str(program), "1000"])

    def renamed():
        with open(f"/proc/{child.pid}/comm", encoding="utf-8") as stream:
            return stream.read().strip() == "a) Z 1 (b"

    until(renamed, "the new name")
    found = identity.process_identity(child.pid)
    assert found is not None
    assert found.start_time >= identity.process_identity(os.getpid()).start_time


def test_no_such_process():
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as stream:
        beyond = int(stream.read()) + 1
    assert identity.process_identity(beyond) is None
    assert identity.process_identity(-5) is None
    assert not identity.is_alive(ProcessIdentity(beyond, 1))


def test_a_number_that_can_be_no_process_id_is_no_process():
    assert identity.process_identity(10**300) is None
