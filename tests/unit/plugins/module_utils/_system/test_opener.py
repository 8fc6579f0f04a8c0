# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/opener: whether the process that a ledger names is a module at work, with real processes."""
from __future__ import annotations

import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import opener


@pytest.mark.parametrize(("argv", "expected"), [([sys.executable, "-c", "input()"], True), (["sleep", "1000"], False)])
def test_only_a_python_is_a_module(start, argv, expected):
    process = start(argv, stdin=-1)
    found = identity.process_identity(process.pid)
    assert opener.is_at_work(found) is expected
    process.kill()
    process.wait()
    assert not opener.is_at_work(found)


def test_another_process_with_its_number(start):
    process = start([sys.executable, "-c", "input()"], stdin=-1)
    assert not opener.is_at_work(identity.ProcessIdentity(process.pid, 1))


@pytest.mark.parametrize("name", ["python3", "python3.11", "platform-python3.6", "platform-python", "python"])
def test_the_names_of_interpreters(name):
    assert opener._PYTHON.fullmatch(name)


@pytest.mark.parametrize("name", ["libvirtd", "qemu-system-x86_64", "pythonista", "", "python3.11-config"])
def test_other_names(name):
    assert not opener._PYTHON.fullmatch(name)
