# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/guest_log: the last words of a guest in libvirt's log."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guest_log import why_it_ended

LOG = """2026-11-25 20:10:11.901+0000: starting up libvirt version: 9.0.0, package: 9.0.0-4+deb12u2
char device redirected to /dev/pts/0 (label charserial0)
2026-11-25 20:12:00.000+0000: initiating migration
2026-11-25 20:12:01.123+0000: shutting down, reason=migrated
"""


@pytest.mark.parametrize(("text", "expected"), [
    (LOG, "migrated"), (LOG.replace("migrated", "destroyed"), "destroyed"), (LOG + LOG.replace("migrated", "crashed"), "crashed"),
    (LOG.partition("2026-11-25 20:12:01")[0], None), ("", None), ("x" * 5000 + "\n" + LOG, "migrated"), (LOG + "x" * 5000, None),
    ("shutting down, reason=migrated\n", None), (": shutting down, reason=\xff\n", None),
])
def test_last_words(tmp_path, text, expected):
    (tmp_path / "g1.log").write_text(text)
    assert why_it_ended("g1", str(tmp_path)) == expected


def test_without_a_log_nothing_is_known(tmp_path):
    assert why_it_ended("g1", str(tmp_path)) is None and why_it_ended("../g1", str(tmp_path)) is None
