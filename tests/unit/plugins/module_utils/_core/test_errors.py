# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/errors: stable codes, and messages that reach the operator."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import errors


@pytest.mark.parametrize(("kind", "code"), [
    (errors.LibvirtUnreachable, "libvirt_unreachable"), (errors.GuestGone, "guest_unknown"), (errors.LedgerError, "ledger"),
    (errors.WindowBusy, "window_busy"),
])
def test_codes(kind, code):
    error = kind("what happened")
    assert isinstance(error, errors.MaintenanceError)
    assert (str(error), error.code, error.result) == ("what happened", code, {})


def test_partial_results_are_kept():
    assert errors.MaintenanceError("x", "y", {"guests": [1]}).result == {"guests": [1]}
