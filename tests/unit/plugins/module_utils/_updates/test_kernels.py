# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/kernels: flavours and versions of the releases that distributions have."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.kernels import is_pinned, newest_kernel, parse


@pytest.mark.parametrize(("release", "flavour", "version"), [
    ("6.1.0-28-amd64", "amd64", [6, 1, 0, 28]),
    ("6.1.0-28-cloud-amd64", "cloud-amd64", [6, 1, 0, 28]),
    ("6.1.0-0.deb11.21-amd64", "amd64", [6, 1, 0, 0, 11, 21]),
    ("6.12.9+bpo-amd64", "amd64", [6, 12, 9]),
    ("6.12.73+deb13-cloud-amd64", "cloud-amd64", [6, 12, 73, 13]),
    ("6.12.73+deb13u1-arm64-16k", "arm64-16k", [6, 12, 73, 13]),
    ("6.12-rc6-amd64", "amd64", [6, 12, -1, 6]),
    ("6.8.0-48-generic", "generic", [6, 8, 0, 48]),
    ("6.8.0-1017-azure", "azure", [6, 8, 0, 1017]),
    ("6.8.0-48-generic-64k", "generic-64k", [6, 8, 0, 48]),
    ("6.8.12-4-pve", "pve", [6, 8, 12, 4]),
    ("5.14.0-503.11.1.el9_5.x86_64", "x86-64", [5, 14, 0, 503, 11, 1]),
    ("5.14.0-503.11.1.el9_5.x86_64+rt", "x86-64-rt", [5, 14, 0, 503, 11, 1]),
    ("5.15.0-300.163.18.el9uek.x86_64", "uek-x86-64", [5, 15, 0, 300, 163, 18, 9]),
    ("6.11.4-301.fc41.x86_64", "x86-64", [6, 11, 4, 301, 41]),
    ("6.12.9-1.el9.elrepo.x86_64", "elrepo-x86-64", [6, 12, 9, 1, 9]),
    ("6.1.119-129.201.amzn2023.x86_64", "x86-64", [6, 1, 119, 129, 201, 2023]),
    ("6.20.0", "", [6, 20, 0]),
    ("0-rescue-3f0c", "rescue-3f0c", [0]),
])
def test_parse(release, flavour, version):
    found = parse(release)
    assert found.flavour == flavour
    assert found.version[:len(version)] == version


@pytest.mark.parametrize(("running", "installed", "expected"), [
    ("6.1.0-28-amd64", [], None),
    ("6.1.0-28-amd64", ["6.1.0-28-amd64"], "6.1.0-28-amd64"),
    ("6.1.0-28-amd64", ["6.1.0-28-amd64", "6.1.0-30-amd64"], "6.1.0-30-amd64"),
    ("6.1.0-9-amd64", ["6.1.0-10-amd64", "6.1.0-9-amd64"], "6.1.0-10-amd64"),
    ("6.1.0-30-amd64", ["6.1.0-28-amd64", "6.1.0-30-amd64"], "6.1.0-30-amd64"),
    ("6.1.0-0.deb11.21-amd64", ["6.1.0-0.deb11.21-amd64", "6.1.0-0.deb11.28-amd64"], "6.1.0-0.deb11.28-amd64"),
    ("6.1.0-0.deb11.28-amd64", ["6.1.0-0.deb11.21-amd64", "6.1.0-0.deb11.28-amd64"], "6.1.0-0.deb11.28-amd64"),
    ("6.1.0-0.deb11.28-amd64", ["6.1.0-0.deb11.28-amd64", "6.1.0-28-amd64"], "6.1.0-28-amd64"),
    # another flavour is not newer, whatever its version
    ("6.1.0-28-amd64", ["6.1.0-28-amd64", "6.1.0-28-rt-amd64", "6.1.0-30-cloud-amd64"], "6.1.0-28-amd64"),
    ("6.8.0-48-generic", ["6.8.0-1017-azure", "6.8.0-48-generic"], "6.8.0-48-generic"),
    ("6.8.0-48-generic", ["6.8.0-1017-azure"], None),
    ("6.8.0-49-generic", ["6.8.0-49-generic", "6.8.0-50-generic", "6.8.0-51-lowlatency"], "6.8.0-50-generic"),
    ("5.14.0-427.el9.x86_64", ["5.15.0-300.el9uek.x86_64", "5.14.0-427.el9.x86_64", "6.12.9-1.el9.elrepo.x86_64"], "5.14.0-427.el9.x86_64"),
    ("5.14.0-427.el9.x86_64", ["0-rescue-3f0c", "5.14.0-427.el9.x86_64"], "5.14.0-427.el9.x86_64"),
    ("5.14.0-503.11.1.el9_5.x86_64", ["5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.40.1.el9_5.x86_64"], "5.14.0-503.40.1.el9_5.x86_64"),
    ("5.14.0-503.40.1.el9_5.x86_64", ["5.14.0-503.40.1.el9_5.x86_64", "5.14.0-570.12.1.el9_6.x86_64"], "5.14.0-570.12.1.el9_6.x86_64"),
    ("6.11.4-301.fc41.x86_64", ["6.11.4-301.fc41.x86_64", "6.12.4-200.fc42.x86_64"], "6.12.4-200.fc42.x86_64"),
    # another distribution's release is no other flavour
    ("6.1.0-28-amd64", ["6.12.9+bpo-amd64", "6.1.0-28-amd64"], "6.12.9+bpo-amd64"),
    ("6.1.0-28-amd64", ["6.12.73+deb13-amd64", "6.1.0-28-amd64"], "6.12.73+deb13-amd64"),
    ("6.12.1-amd64", ["6.12.1-amd64", "6.12-rc6-amd64"], "6.12.1-amd64"),
    # a newer one runs than is installed: the next boot changes it as well
    ("6.1.0-30-amd64", ["6.1.0-28-amd64"], "6.1.0-28-amd64"),
])
def test_newest_kernel(running, installed, expected):
    assert newest_kernel(running, installed) == expected


@given(st.text(max_size=20), st.lists(st.text(max_size=20)))
def test_any_releases(running, installed):
    found = newest_kernel(running, installed)
    assert found in [None, *installed]
    assert newest_kernel(running, [running]) == running


@pytest.mark.parametrize(("newest", "since", "expected"), [
    ("6.1.0-30-amd64", 90.0, True),  # it was there, and another was booted
    ("6.1.0-30-amd64", 110.0, False),  # it waits for the next boot
    ("6.1.0-30-amd64", None, False), ("6.1.0-28-amd64", 90.0, False), (None, None, False),
])
def test_a_host_that_is_pinned_to_an_older_kernel(newest, since, expected):
    assert is_pinned("6.1.0-28-amd64", newest, since, 100.0) is expected
