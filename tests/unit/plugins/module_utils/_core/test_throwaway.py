# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/throwaway: a throw-away guest is known, and nobody else's guest is taken for one."""
from __future__ import annotations

import uuid

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import NAME, UUID, is_throwaway, new_throwaway


def test_each_is_another_one_and_known():
    first, second = new_throwaway(), new_throwaway()
    assert first.name != second.name and first.uuid != second.uuid
    assert is_throwaway(*first) and is_throwaway(*second)
    assert str(uuid.UUID(first.uuid)) == first.uuid


OTHER = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(("name", "given"), [
    ("web1", OTHER), ("", ""),
    # Somebody who calls his guest so, or has copied the one and not the other.
    (NAME + "111111111111", OTHER), (NAME, OTHER), ("web1", UUID + "4111-8111-111111111111"), (NAME + "222222222222", UUID + "4111-8111-111111111111"),
])
def test_a_guest_of_somebody_else(name, given):
    assert not is_throwaway(name, given)
