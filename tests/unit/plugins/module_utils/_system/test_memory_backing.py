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
)

MOUNTS = r"""overlay / overlay rw 0 0
tmpfs /dev tmpfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
hugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0
/dev/sda1 /var ext4 rw 0 0
tmpfs /mnt/a\040b tmpfs rw 0 0
tmpfs /over tmpfs rw 0 0
/dev/sdb /over xfs rw 0 0
/dev/pmem0 /pmem ext4 rw,relatime,dax=always 0 0
/dev/pmem1 /older xfs rw,dax,inode64 0 0
/dev/pmem2 /never ext4 rw,dax=never 0 0
none
"""


@pytest.mark.parametrize(("text", "expected"), [
    ("", DEFAULT),
    ('#memory_backing_dir = "/x"\n', DEFAULT),
    ('memory_backing_dir = "/dev/shm"\n', "/dev/shm"),
    ("  memory_backing_dir='/dev/shm' # here\n", "/dev/shm"),
    ('memory_backing_dir = "/a"\nuser = "x"\nmemory_backing_dir = "/b"\n', "/a"),
    ('not_memory_backing_dir = "/a"\n', DEFAULT),
])
def test_the_setting(tmp_path, text, expected):
    assert memory_backing_dir(str(tmp_path)) == DEFAULT
    (tmp_path / "qemu.conf").write_text(text)
    assert memory_backing_dir(str(tmp_path)) == expected


@pytest.mark.parametrize(("path", "expected"), [
    ("/dev/shm", "tmpfs"), ("/dev/hugepages", "hugetlbfs"), ("/dev/hugepages/x", "hugetlbfs"), ("/var/lib/libvirt/qemu/ram", "ext4"), ("/variable", "overlay"),
    ("/mnt/a b", "tmpfs"), ("/over/there", "xfs"), ("/", "overlay"),
])
def test_the_file_system_of_a_path(path, expected):
    assert file_system_of(path, MOUNTS) == (expected, False)


@pytest.mark.parametrize(("path", "expected"), [("/pmem/libvirt", ("ext4", True)), ("/older", ("xfs", True)), ("/never", ("ext4", False))])
def test_whether_files_are_used_where_they_are(path, expected):
    assert file_system_of(path, MOUNTS) == expected


@pytest.mark.parametrize(("kind", "dax", "in_ram"), [
    ("tmpfs", False, True), ("hugetlbfs", False, True), ("ext4", False, False), ("ext4", True, True), ("unknown", False, False),
])
def test_which_file_systems_are_memory(kind, dax, in_ram):
    assert Backing("/x", kind, 1, dax).in_ram is in_ram
