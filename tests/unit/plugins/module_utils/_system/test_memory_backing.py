# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/memory_backing: where libvirt puts memory files, and on which file system that is."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.memory_backing import (
    DEFAULT,
    Backing,
    file_system_of,
    memory_backing_dir,
    parse_memory_backing_dir,
)

MOUNTS = r"""overlay / overlay rw 0 0
tmpfs /dev tmpfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
hugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0
/dev/sda1 /var ext4 rw 0 0
tmpfs /mnt/a\040b tmpfs rw 0 0
tmpfs /over tmpfs rw 0 0
/dev/sdb /over xfs rw 0 0
none
"""


@pytest.mark.parametrize(("text", "expected"), [
    ("", DEFAULT),
    ('#memory_backing_dir = "/x"\n', DEFAULT),
    ('memory_backing_dir = "/dev/shm"\n', "/dev/shm"),
    ("  memory_backing_dir='/dev/shm' # here\n", "/dev/shm"),
    ('memory_backing_dir = "/a"\nuser = "x"\nmemory_backing_dir = "/b"\n', "/b"),
    ('not_memory_backing_dir = "/a"\n', DEFAULT),
])
def test_the_setting(text, expected):
    assert parse_memory_backing_dir(text) == expected


def test_the_setting_is_read_from_a_file(tmp_path):
    assert memory_backing_dir(str(tmp_path / "missing")) == DEFAULT
    (tmp_path / "qemu.conf").write_text('memory_backing_dir = "/dev/shm"\n')
    assert memory_backing_dir(str(tmp_path / "qemu.conf")) == "/dev/shm"


@pytest.mark.parametrize(("path", "expected"), [
    ("/dev/shm", "tmpfs"), ("/dev/hugepages", "hugetlbfs"), ("/dev/hugepages/x", "hugetlbfs"), ("/var/lib/libvirt/qemu/ram", "ext4"), ("/variable", "overlay"),
    ("/mnt/a b", "tmpfs"), ("/over/there", "xfs"), ("/", "overlay"),
])
def test_the_file_system_of_a_path(path, expected):
    assert file_system_of(path, MOUNTS) == expected


@pytest.mark.parametrize(("kind", "in_ram"), [("tmpfs", True), ("hugetlbfs", True), ("ext4", False), ("unknown", False)])
def test_which_file_systems_are_memory(kind, in_ram):
    assert Backing("/x", kind, 1).in_ram is in_ram
