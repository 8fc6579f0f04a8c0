# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""records: what all documents share. The checks of their keys and types are tested with the documents themselves."""
from __future__ import annotations

import os
import time

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import records


def test_now_utc_is_read_back():
    assert abs(time.mktime(time.strptime(records.now_utc(), "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())) < 5
    assert os.environ.get("TZ") is None or records.now_utc().endswith("Z")
