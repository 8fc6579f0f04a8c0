# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/boot_loader: which tool a host's boot loader is told with, and what is on disk."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import boot_loader


@pytest.mark.parametrize(("tools", "expected"), [((), None), (("update-grub",), "grub"), (("grubby",), "grubby"), (("update-grub", "grubby"), "grubby")])
def test_the_tool(tmp_path, tools, expected):
    (tmp_path / "usr/sbin").mkdir(parents=True)
    for name in tools:
        (tmp_path / "usr/sbin" / name).touch(mode=0o755)
    assert boot_loader.kind(str(tmp_path)) == expected


def test_a_tool_that_cannot_be_run(tmp_path):
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/update-grub").write_bytes(b"")
    (tmp_path / "usr/sbin/update-grub").chmod(0o644)
    assert boot_loader.kind(str(tmp_path)) is None


def test_what_is_on_disk(tmp_path):
    (tmp_path / "boot/grub").mkdir(parents=True)
    for name in ("vmlinuz-6.12.57-amd64", "vmlinuz-6.1.0-41-amd64", "initrd.img-6.1.0-41-amd64"):
        (tmp_path / "boot" / name).touch()
    (tmp_path / "boot/grub/grub.cfg").write_bytes(b"linux /vmlinuz \xff\n")
    assert boot_loader.kernels(str(tmp_path)) == ["vmlinuz-6.1.0-41-amd64", "vmlinuz-6.12.57-amd64"]
    assert boot_loader.grub(str(tmp_path)).startswith("linux /vmlinuz")
    with pytest.raises(FileNotFoundError):
        boot_loader.grub(str(tmp_path / "nowhere"))
