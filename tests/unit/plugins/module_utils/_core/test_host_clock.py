# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core.host_clock: words for the verdict."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.host_clock import HostClock, words


@pytest.mark.parametrize(("clock", "expected"), [
    (HostClock(True, 0.0204), "a host clock that is synchronized (within 0.02 s)"),
    (HostClock(True, 0.00051), "a host clock that is synchronized (within 0.00051 s)"),
    (HostClock(True, 1.5), "a host clock that is synchronized (within 1.5 s)"),
    (HostClock(False, 16.0), "a host clock that is not synchronized"),
    (None, "a host clock of which is not known whether it is synchronized"),
])
def test_words(clock, expected):
    assert words(clock) == expected
