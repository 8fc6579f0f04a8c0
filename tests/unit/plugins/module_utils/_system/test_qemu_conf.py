# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.qemu_conf: settings as libvirt reads them."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qemu_conf import LockManager, lock_manager, parse, settings

#: Of Debian's file, shortened.
WHOLE = '''# Master configuration file for the QEMU driver.
# All settings described here are optional

#migration_host = "host.example.com"
user = "libvirt-qemu"
dynamic_ownership = 1
cgroup_device_acl = [
    "/dev/null", "/dev/full", "/dev/zero",  # memory_backing_dir = "/in/a/comment"
    "/dev/kvm"
]
  memory_backing_dir='/dev/shm' # here
namespaces = [ ]
lock_manager = "lockd"
nbd_tls = -1
'''


@pytest.mark.parametrize(("text", "expected"), [
    ("", {}),
    ('#memory_backing_dir = "/x"\n', {}),
    ('memory_backing_dir = "/dev/shm"\n', {"memory_backing_dir": "/dev/shm"}),
    ("memory_backing_dir='/dev/shm'", {"memory_backing_dir": "/dev/shm"}),
    ('a = "/one"\nuser = "x"\na = "/two"\n', {"a": "/one", "user": "x"}),
    ('not_a = "/a"\n', {"not_a": "/a"}),
    ("a = '#no comment' # a comment\n", {"a": "#no comment"}),
    ('a = "b = \'c\'"\n', {"a": "b = 'c'"}),
    ('a = """one\nb = "two"\n"""\nc = "d"\n', {"a": 'one\nb = "two"\n', "c": "d"}),
    ('a = ""\n', {"a": ""}),
    ("a = [\n\"b = 'c'\",\n1 ]\nd = 2\n", {"d": 2}),
    ("a = [ b = 1 ]\nc = 2", {"c": 2}),
    ('a\n"b"\nc = 1', {"c": 1}),
    ('a = \nb = 1', {"b": 1}),
    ('a = "unterminated\nb = "c"\n', {"b": "c"}),
    ("]\na = 1", {"a": 1}),
    (WHOLE, {"user": "libvirt-qemu", "dynamic_ownership": 1, "memory_backing_dir": "/dev/shm", "lock_manager": "lockd", "nbd_tls": -1}),
])
def test_the_settings(text, expected):
    assert parse(text) == expected


@given(st.text() | st.lists(st.sampled_from(["a", "=", "[", "]", ",", '"', "'", '"""', "#", "\n", " ", "1", "-"])).map("".join))
def test_anything_can_be_read(text):
    assert all(isinstance(value, (str, int)) for value in parse(text).values())


def test_the_settings_are_read_from_a_file(tmp_path):
    assert settings(folder=str(tmp_path)) == {}
    (tmp_path / "qemu.conf").write_bytes(b'a = "\xff"\n')
    assert settings(folder=str(tmp_path)) == {"a": "�"}


def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    (tmp_path / "qemu.conf").mkdir()
    with pytest.raises(OSError, match="qemu.conf"):
        lock_manager(str(tmp_path))


@pytest.mark.parametrize(("files", "expected"), [
    ({}, LockManager(None, False)),
    ({"qemu.conf": '#lock_manager = "lockd"\n'}, LockManager(None, False)),
    ({"qemu.conf": 'lock_manager = "nop"\n'}, LockManager(None, False)),
    ({"qemu.conf": 'lock_manager = "lockd"\n'}, LockManager("lockd", True)),
    ({"qemu.conf": 'lock_manager = "lockd"\n', "qemu-lockd.conf": "#auto_disk_leases = 0\n"}, LockManager("lockd", True)),
    ({"qemu.conf": 'lock_manager = "lockd"\n', "qemu-lockd.conf": "auto_disk_leases = 0\n"}, LockManager("lockd", False)),
    ({"qemu.conf": 'lock_manager = "sanlock"\n', "qemu-lockd.conf": "auto_disk_leases = 1\n"}, LockManager("sanlock", False)),
    ({"qemu.conf": 'lock_manager = "sanlock"\n', "qemu-sanlock.conf": "auto_disk_leases = 1\nhost_id = 1\n"}, LockManager("sanlock", True)),
    ({"qemu.conf": 'lock_manager = "acme"\n'}, LockManager("acme", True)),
    ({"qemu.conf": 'lock_manager = "../acme"\n'}, LockManager("../acme", True)),
])
def test_the_lock_manager(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert lock_manager(str(tmp_path)) == expected
