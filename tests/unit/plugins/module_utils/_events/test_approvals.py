# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_events/approvals: files that are overwritten in place."""
from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import approvals
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.approvals import Approval

FOUND = Approval("6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab", "web", 1.5)


def test_an_approval_comes_back(tmp_path):
    (tmp_path / "ID").write_bytes(approvals.NONE)
    assert approvals.read(str(tmp_path), "ID") is None
    approvals.overwrite(str(tmp_path), "ID", FOUND)
    assert approvals.read(str(tmp_path), "ID") == FOUND
    assert os.path.getsize(tmp_path / "ID") == approvals.SIZE


def test_no_file_is_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        approvals.overwrite(str(tmp_path), "ID", FOUND)
    assert approvals.read(str(tmp_path), "ID") is None and os.listdir(tmp_path) == []


def test_no_link_is_followed(tmp_path):
    (tmp_path / "victim").write_bytes(approvals.NONE)
    (tmp_path / "ID").symlink_to("victim")
    with pytest.raises(OSError):
        approvals.overwrite(str(tmp_path), "ID", FOUND)
    assert (tmp_path / "victim").read_bytes() == approvals.NONE


@given(st.text(), st.floats(0, 4e9))
def test_it_always_has_the_same_size(name, at):
    data = approvals.encode(Approval(FOUND.uuid, name, at))
    assert len(data) == approvals.SIZE
    found = approvals.decode(data)
    assert found is not None and name.startswith(found.name) and found.at == at


@given(st.binary(max_size=600))
def test_anything_else_is_no_approval(data):
    assert approvals.decode(data) is None


def test_half_a_write_is_no_approval():
    data = approvals.encode(FOUND)
    assert approvals.decode(data[:30] + approvals.NONE[30:]) is None
