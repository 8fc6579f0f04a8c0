# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_module: the search for a Python with libvirt's bindings that can run this code, with real interpreters."""
from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module


class Failed(Exception):
    """fail_json."""


class Respawned(Exception):
    """The module goes on under another Python."""


class Module:
    """AnsibleModule, as far as it is used here."""

    @staticmethod
    def run_command(argv):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    @staticmethod
    def fail_json(**result):
        raise Failed(result)


@pytest.fixture
def interpreter(tmp_path):
    """Make an interpreter that says that it is of some version."""
    def make(name, version):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = {version}; exec(sys.argv[1])' \"$2\"\n")
        path.chmod(0o755)
        return str(path)
    return make


@pytest.fixture
def require(monkeypatch):
    """What becomes of a module on a host with these Pythons that can import libvirt."""
    def go(*with_libvirt, all_of_them=None, respawned=False):
        def respawn(path):
            raise Respawned(path)
        monkeypatch.setattr(_module, "libvirt", None)
        monkeypatch.setattr(_module, "_INTERPRETERS", list(all_of_them or with_libvirt))
        monkeypatch.setattr(_module, "has_respawned", lambda: respawned)
        monkeypatch.setattr(_module, "probe_interpreters_for_module", lambda names, _module: next((name for name in names if name in with_libvirt), None))
        monkeypatch.setattr(_module, "respawn_module", respawn)
        _module._require_libvirt(Module)
    return go


def test_with_libvirt_nothing_is_searched(monkeypatch):
    monkeypatch.setattr(_module, "libvirt", object())
    monkeypatch.setattr(_module, "probe_interpreters_for_module", lambda *_arguments: pytest.fail("it searched"))
    _module._require_libvirt(Module)


@pytest.mark.parametrize("version", [(3, 9, 0), (3, 14, 1)])
def test_it_goes_on_under_a_python_that_will_do(require, interpreter, version):
    path = interpreter("python", version)
    with pytest.raises(Respawned, match=path):
        require("/nowhere", path, all_of_them=["/without", path])


def test_this_python_will_do():
    assert not _module._is_too_old(Module, sys.executable)


def test_a_python_that_is_too_old_is_told_in_a_sentence(require, interpreter):
    """RHEL 8: only its platform-python 3.6 has the bindings, and this code ended there in a traceback."""
    path = interpreter("platform-python", (3, 6, 8))
    with pytest.raises(Failed) as caught:
        require(path)
    result, = caught.value.args
    assert result["error"]["code"] == "python_too_old"
    assert f"older than 3.9 ({path})" in result["msg"] and "no guest was touched" in result["msg"] and "\n" not in result["msg"]


def test_a_later_one_that_will_do_is_taken(require, interpreter):
    old, new = interpreter("old", (3, 8, 20)), interpreter("new", (3, 11, 2))
    with pytest.raises(Respawned, match=new):
        require(old, new)


@pytest.mark.parametrize("respawned", [False, True])
def test_no_bindings_anywhere(require, interpreter, respawned):
    with pytest.raises(Failed) as caught:
        require(*([interpreter("python", (3, 11, 2))] if respawned else []), all_of_them=["/a", "/b"], respawned=respawned)
    assert caught.value.args[0]["error"]["code"] == "python_libvirt_missing"
