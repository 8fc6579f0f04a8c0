# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/file_lock: who holds it, and that nothing is left of a try in vain. test_ledger_file has what a lock is worth when its holder dies."""
from __future__ import annotations

import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import file_lock


@pytest.mark.parametrize(("left", "said"), [(None, f"process {os.getpid()} since 2"), (b"", "it left no name"), (b"\xff\n", "\ufffd")])
def test_it_says_who_holds_it(tmp_path, left, said):
    path = str(tmp_path / "lock")
    handle = file_lock.take(path, 0.0)
    if left is not None:
        with open(path, "wb") as stream:
            stream.write(left)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(file_lock.Held) as caught:
        file_lock.take(path, 0.05)
    assert caught.value.holder.startswith(said) and os.listdir("/proc/self/fd") == before
    os.close(handle)
    os.close(file_lock.take(path, 0.0))


def test_a_file_that_cannot_be_opened(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(OSError):
        file_lock.take(str(tmp_path / "lock"), 0.0)
