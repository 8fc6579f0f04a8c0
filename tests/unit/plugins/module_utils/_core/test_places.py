# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/places: the folders of a URI, and the URIs that are refused."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.places import Places, places


@pytest.mark.parametrize(("uri", "environ", "state", "runtime"), [
    ("qemu:///system", {}, "/var/lib/vm_preserving/system", "/run/libvirt/qemu"),
    (
        "qemu:///system", {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}, "/var/lib/vm_preserving/system",
        "/run/libvirt/qemu",
    ),
    ("qemu:///session", {"HOME": "/h"}, "/h/.local/state/vm_preserving/session", "/h/.cache/libvirt/qemu/run"),
    (
        "qemu:///session", {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r", "XDG_CACHE_HOME": "/c"},
        "/s/vm_preserving/session", "/r/libvirt/qemu/run",
    ),
    (
        "qemu:///session", {"HOME": "/h", "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": "", "XDG_CACHE_HOME": "/c"},
        "/h/.local/state/vm_preserving/session", "/c/libvirt/qemu/run",
    ),
])
def test_places(uri, environ, state, runtime):
    assert places(uri, environ) == Places(state, runtime)


def test_the_files_are_in_our_own_folder():
    found = places("qemu:///system", {})
    assert found.ledger == "/var/lib/vm_preserving/system/ledger.json"
    assert found.lock == "/var/lib/vm_preserving/system/lock"


def test_by_default_the_environment_is_this_process(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert places("qemu:///session").state == str(tmp_path / "vm_preserving" / "session")


def test_without_home_the_user_database_is_asked():
    assert places("qemu:///session", {}).state.startswith("/")


@pytest.mark.parametrize("uri", [
    "", "qemu", "qemu:///", "qemu:///System", "qemu:///system ", "qemu:///system?socket=/x", "qemu+ssh://h2/system", "qemu://h2/system",
    "test:///default", "xen:///system", "lxc:///system", "qemu:///session/../system",
])
def test_other_uris_are_refused(uri):
    with pytest.raises(MaintenanceError) as caught:
        places(uri, {})
    assert caught.value.code == "uri"
    assert repr(uri) in str(caught.value) and "No guest was touched" in str(caught.value)


@given(st.text())
def test_any_other_text_is_refused(uri):
    if uri not in ("qemu:///system", "qemu:///session"):
        with pytest.raises(MaintenanceError):
            places(uri, {})
