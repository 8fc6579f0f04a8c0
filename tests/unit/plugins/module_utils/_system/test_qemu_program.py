# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/qemu_program: what a QEMU program says of itself."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import qemu_program


@pytest.mark.parametrize(("text", "version"), [
    ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c)", (7, 2, 22)), ("QEMU emulator version 10.0.2", (10, 0, 2)),
    ("QEMU emulator version 9.1.0-rc1", (9, 1, 0)), ("", None), ("version", None), ("License GPLv3+: GNU GPL version 3 or later", None),
    ("QEMU emulator version x", None),
])
def test_qemus_version(text, version):
    assert qemu_program.parse_version(text) == version


def test_a_program_that_is_no_qemu_has_no_version(tmp_path):
    assert qemu_program.version(str(tmp_path / "none")) is None
    assert qemu_program.version("/bin/true") is None


def program(path, words):
    path.write_text(f"#!/bin/sh\ncase \"$*\" in {words} esac\n", encoding="ascii")
    path.chmod(0o755)


def test_a_program_is_asked_anew_when_it_was_replaced(tmp_path):
    path, new = tmp_path / "qemu", tmp_path / "new"
    program(path, "--version) echo 'QEMU emulator version 7.2.1';;")
    assert qemu_program.version(str(path)) == (7, 2, 1)
    program(new, "--version) echo 'QEMU emulator version 10.0.2';;")
    new.rename(path)
    assert qemu_program.version(str(path)) == (10, 0, 2)


def test_where_it_looks_for_roms(tmp_path):
    program(tmp_path / "qemu", "'-L help') echo /usr/share/qemu; echo /usr/lib/ipxe/qemu;;")
    assert qemu_program.data_folders(str(tmp_path / "qemu")) == ["/usr/share/qemu", "/usr/lib/ipxe/qemu"]
    assert qemu_program.data_folders(str(tmp_path / "none")) == []
