# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/kept_qemu: what a running program consists of is kept, and starts once more. The program is one of this machine's own, under QEMU's name."""
from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import kept_qemu as names
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import kept_qemu, qemu_program, running_code

PROGRAM = "/bin/bash"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what a process has mapped is shown to root only")


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """A process of a program that has a build id and libraries beside the C library, and folders of firmware."""
    monkeypatch.setattr(names, "KEPT", str(tmp_path / "vm_preserving" / "qemu"))
    (tmp_path / "bin").mkdir()
    path = str(tmp_path / "bin" / "qemu-system-x86_64")
    shutil.copy(PROGRAM, path)
    assert running_code.build_id_of(path) is not None, f"{PROGRAM} has no build id, by which it could be kept"
    for folder, content in (("first", "bios.bin"), ("second", "bios.bin"), ("second", "keymaps/de")):
        (tmp_path / folder / content).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / content).write_text(folder, encoding="ascii")
    monkeypatch.setattr(qemu_program, "data_folders", lambda _emulator: [str(tmp_path / "first"), str(tmp_path / "second")])
    monkeypatch.setattr(qemu_program, "version", lambda _start: (10, 0))
    monkeypatch.setattr(kept_qemu, "_MODULE_FOLDERS", (str(tmp_path / "lib" / "qemu"),))
    (tmp_path / "lib" / "qemu").mkdir(parents=True)
    (tmp_path / "lib" / "qemu" / "accel-tcg.so").write_text("module", encoding="ascii")
    process = subprocess.Popen([path, "-c", "read -r line"], stdin=subprocess.PIPE)
    while not [one for one in running_code.code_files(process.pid) or [] if "libc.so" in one.path]:
        assert process.poll() is None
    yield process.pid, path
    process.communicate(b"\n", timeout=20)


def tree(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder) for where, _folders, files in os.walk(folder) for name in files)


def test_all_that_it_consists_of_is_kept_once(qemu):
    pid, path = qemu
    start = kept_qemu.keep(pid, path)
    build = running_code.build_id_of(path)
    home = os.path.join(names.KEPT, build)
    assert start == names.start_of(build, path) and kept_qemu.builds() == [build] and kept_qemu.kept(pid, path) == start
    kept = tree(home)
    assert {f"program{path}", f"start{path}", "data/bios.bin", "data/keymaps/de", "modules/accel-tcg.so"} <= {f"{one}" for one in kept}
    with open(os.path.join(home, "data/bios.bin"), encoding="ascii") as stream:
        assert stream.read() == "first"  # as QEMU looks for it
    assert not [one for one in kept if one.startswith(("libraries/libc.so", "libraries/ld-"))] and [one for one in kept if one.startswith("libraries/")]
    before = {one: os.stat(os.path.join(home, one)).st_ino for one in kept if not one.startswith("start/")}
    assert kept_qemu.keep(pid, path) == start
    assert before == {one: os.stat(os.path.join(home, one)).st_ino for one in tree(home) if not one.startswith("start/")}
    assert oct(os.stat(home).st_mode)[-3:] == "755" and os.access(start, os.X_OK)


def test_what_starts_it_gives_it_its_modules_firmware_and_libraries(qemu, tmp_path):
    pid, path = qemu
    start = kept_qemu.keep(pid, path)
    home = os.path.join(names.KEPT, running_code.build_id_of(path))
    # In the place of the program one that says what it was given.
    said = os.path.join(home, f"program{path}")
    os.unlink(said)
    with open(said, "w", encoding="ascii") as stream:
        stream.write("#!/bin/sh\necho $QEMU_MODULE_DIR; echo $LD_LIBRARY_PATH; printf '%s\\n' \"$@\"\n")
    os.chmod(said, 0o755)
    done = subprocess.run([start, "-S", "a b"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [f"{home}/modules", f"{home}/libraries", "-L", f"{home}/data", "-S", "a b"]


def test_one_that_was_replaced_on_disk_is_kept_from_the_process(qemu):
    """Then the modules that are installed are another build's, which it refuses."""
    pid, path = qemu
    build = running_code.build_id_of(path)
    shutil.copy("/bin/cat", path + ".new")
    os.replace(path + ".new", path)
    start = kept_qemu.keep(pid, path)
    assert start == names.start_of(build, path)
    assert running_code.build_id_of(os.path.join(names.KEPT, build, f"program{path}")) == build
    assert "modules/accel-tcg.so" not in tree(os.path.join(names.KEPT, build))


def test_what_is_damaged_or_missing_is_kept_anew(qemu):
    pid, path = qemu
    kept_qemu.keep(pid, path)
    build = running_code.build_id_of(path)
    program = os.path.join(names.KEPT, build, f"program{path}")
    os.unlink(program)
    with open(program, "wb") as stream:
        stream.write(b"\x7fELF")
    os.unlink(os.path.join(names.KEPT, build, "modules/accel-tcg.so"))
    kept_qemu.keep(pid, path)
    assert running_code.build_id_of(program) == build and "modules/accel-tcg.so" in tree(os.path.join(names.KEPT, build))


def test_another_file_of_that_name_leaves_what_is_kept_alone(qemu, tmp_path):
    pid, path = qemu
    kept_qemu.keep(pid, path)
    os.replace(tmp_path / "second" / "bios.bin", tmp_path / "first" / "bios.bin")
    with open(os.path.join(names.KEPT, running_code.build_id_of(path), "data/bios.bin"), encoding="ascii") as stream:
        assert stream.read() == "first"


def test_one_that_does_not_start_is_no_way_back(qemu, monkeypatch):
    monkeypatch.setattr(qemu_program, "version", lambda _start: None)
    with pytest.raises(MaintenanceError, match="does not start"):
        kept_qemu.keep(*qemu)


def test_a_disk_that_would_be_full_is_left_alone(qemu, monkeypatch):
    monkeypatch.setattr(kept_qemu, "_RESERVE", 1 << 60)
    with pytest.raises(MaintenanceError, match="are to stay free"):
        kept_qemu.keep(*qemu)
    assert kept_qemu.builds() == []


def test_it_is_removed_whole(qemu):
    pid, path = qemu
    kept_qemu.keep(pid, path)
    kept_qemu.remove(running_code.build_id_of(path))
    assert kept_qemu.builds() == [] and kept_qemu.kept(pid, path) is None


@pytest.mark.parametrize(("name", "is_c_library"), [
    ("libc.so.6", True), ("libm.so.6", True), ("ld-linux-x86-64.so.2", True), ("libresolv.so.2", True), ("libnss_files.so.2", True), ("ld64.so.2", True),
    ("libcap.so.2", False), ("libmount.so.1", False), ("librtmp.so.1", False), ("libutil-linux.so.1", False), ("libnsl2.so.1", False),
])
def test_the_c_library_is_the_hosts(name, is_c_library):
    assert bool(kept_qemu._C_LIBRARY.fullmatch(name)) is is_c_library
