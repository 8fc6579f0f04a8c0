# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/package_lock: the package manager's lock, with another process that holds it."""
from __future__ import annotations

import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import package_lock as subject
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.package_lock import package_lock

HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
TRIES = "import fcntl, sys\ntry: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\nexcept OSError: print('held')\n"


@pytest.fixture
def lock(tmp_path, monkeypatch):
    path = tmp_path / "lock-frontend"
    path.touch()
    monkeypatch.setattr(subject, "LOCKS", (str(tmp_path / "none" / ".rpm.lock"), str(path)))
    return path


def tried(start_python, lock):
    return start_python(TRIES, lock).stdout.readline()


def test_nobody_else_gets_it_meanwhile(lock, start_python):
    with package_lock(0):
        assert tried(start_python, lock) == b"held\n"
    assert tried(start_python, lock) == b"free\n"


def test_somebody_else_keeps_it(lock, start_python):
    holder = start_python(HOLDER, lock, stdin=-1)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(MaintenanceError) as caught, package_lock(0.3):
        pytest.fail("it is held by another process")
    assert caught.value.code == "package_lock"
    assert f"process {holder.pid} (python" in str(caught.value) and str(lock) in str(caught.value)


def test_it_is_waited_for(lock, start_python, monkeypatch):
    holder = start_python(HOLDER, lock, stdin=-1)
    assert holder.stdout.readline() == b"held\n"
    monkeypatch.setattr(subject.time, "sleep", lambda _seconds: (holder.stdin.close(), holder.wait()))
    with package_lock(20):
        assert tried(start_python, lock) == b"held\n"


def test_a_host_without_package_managers(monkeypatch, tmp_path):
    monkeypatch.setattr(subject, "LOCKS", (str(tmp_path / "none"),))
    before = len(os.listdir("/proc/self/fd"))
    with package_lock(0):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


