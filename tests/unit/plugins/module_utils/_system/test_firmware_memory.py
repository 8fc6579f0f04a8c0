# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/firmware_memory: the host's memory as sysfs has it."""
from __future__ import annotations

import pathlib

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import firmware_memory


def write(folder: pathlib.Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def test_the_ram_of_the_firmware(tmp_path):
    write(tmp_path / "0", start="0x100000000", end="0x17fffffff", type="System RAM")
    write(tmp_path / "1", start="0x9fc00", end="0x9ffff", type="Reserved")
    write(tmp_path / "2", start="0x0", end="0x9fbff", type="System RAM")
    assert firmware_memory.ram(str(tmp_path)) == [(0, 0x9FC00), (1 << 32, 1 << 31)]
    assert firmware_memory.ram(str(tmp_path / "missing")) == []


def test_this_machine():
    """A container's kernel may not tell of the firmware's map: then there is nothing to choose from."""
    told = pathlib.Path(firmware_memory.MAP, "0", "start").exists()
    assert (sum(size for _start, size in firmware_memory.ram()) > 1 << 28) == told
    assert firmware_memory.command_line()


def test_persistent_memory(tmp_path):
    write(tmp_path / "pmem0", size=str((1 << 30) // 512))
    write(tmp_path / "pmem0" / "device", resource="0x100000000")
    write(tmp_path / "pmem1", size="8")  # one without an address
    write(tmp_path / "vda", size="8")
    assert firmware_memory.persistent(str(tmp_path)) == {"/dev/pmem0": (1 << 32, 1 << 30)}


def test_the_table_of_nodes(tmp_path):
    assert firmware_memory.srat(str(tmp_path / "SRAT")) == b""
    (tmp_path / "SRAT").write_bytes(b"SRAT\xff")
    assert firmware_memory.srat(str(tmp_path / "SRAT")) == b"SRAT\xff"
