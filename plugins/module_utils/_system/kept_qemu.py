# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping aside what a running QEMU consists of, so that it can be started once more when another one is installed.

That is its program, its modules, the folders of its firmware and ROMs, and the libraries that it has loaded, as they are in the running process: all of it can
also be had of a process whose files were replaced, but for modules that it has not loaded. They are started by a script of two lines: QEMU takes the folder of
its modules from the environment (QEMU_MODULE_DIR, util/module.c), and looks for firmware first where `-L` says.
"""
from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import shlex
import shutil
import typing as t

from .._core import kept_qemu as names
from .._core.errors import MaintenanceError
from .._core.kept_qemu import DATA, LIBRARIES, MODULES, PROGRAM
from . import qemu_program, running_code
from .elf import soname

#: Where distributions have QEMU's modules: Debian, Arch and openSUSE, Fedora, RHEL.
_MODULE_FOLDERS = ("/usr/lib/*/qemu", "/usr/lib/qemu", "/usr/lib64/qemu", "/usr/lib64/qemu-kvm", "/usr/lib/qemu-kvm")
#: The C library belongs to the loader of the host, and its newer versions run older programs.
_C_LIBRARY = re.compile(r"(?:ld-.+|ld64|lib(?:c|m|mvec|pthread|dl|rt|resolv|util|anl|nsl|nss_[a-z]+|BrokenLocale|thread_db))\.so(?:\.[0-9]+)*")
#: Bytes that stay free on the disk.
_RESERVE = 256 * 1024 * 1024
#: ioctl_ficlone(2): the two files share their blocks.
_FICLONE = 0x40049409
#: What is being made ends with this until it is whole.
_UNFINISHED = ".new"


class _Part(t.NamedTuple):
    """A file to be kept.

    :ivar name: Where it goes, below the folder of the build.
    :ivar source: What is read.
    :ivar path: The same file under a name of its own; empty when it has none any more.
    """

    name: str
    source: str
    path: str


def _is_module(path: str) -> bool:
    return path.endswith(".so") and os.path.basename(os.path.dirname(path)) in ("qemu", "qemu-kvm")


def _soname(path: str) -> str | None:
    with open(path, "rb") as stream:
        return soname(stream)


def _loaded(pid: int, program: str) -> list[_Part]:
    """The modules and libraries that a QEMU has loaded."""
    found = []
    for file in running_code.code_files(pid) or []:
        if file.path == program:
            continue
        source = f"/proc/{pid:d}/map_files/{file.area}"
        path = file.path if not file.deleted and running_code.build_id_of(file.path) == running_code.build_id_of(source) else ""
        if _is_module(file.path):
            found.append(_Part(f"{MODULES}/{os.path.basename(file.path)}", source, path))
            continue
        name = _soname(source) or os.path.basename(file.path)
        if not _C_LIBRARY.fullmatch(name):
            found.append(_Part(f"{LIBRARIES}/{name}", source, path))
    return found


def _installed_modules() -> list[_Part]:
    paths = [path for pattern in _MODULE_FOLDERS for path in sorted(glob.glob(os.path.join(pattern, "*.so")))]
    return [_Part(f"{MODULES}/{os.path.basename(path)}", path, path) for path in paths]


def _data(emulator: str) -> list[_Part]:
    """Firmware, ROMs and keymaps. Of two of the same name QEMU takes the first."""
    found: dict[str, _Part] = {}
    for folder in qemu_program.data_folders(emulator):
        for where, _folders, files in os.walk(folder):
            for name in files:
                path = os.path.realpath(os.path.join(where, name))
                below = os.path.join(DATA, os.path.relpath(os.path.join(where, name), folder))
                if os.path.isfile(path):
                    found.setdefault(below, _Part(below, path, path))
    return list(found.values())


def _parts(pid: int, emulator: str, program: str, build: str) -> list[_Part]:
    there = running_code.build_id_of(program) == build
    found = [_Part(f"{PROGRAM}{program}", f"/proc/{pid:d}/exe", program if there else ""), *_loaded(pid, program)]
    # Another build refuses them.
    return [*found, *(_installed_modules() if there else []), *_data(emulator)]


def _make(folder: str) -> None:
    """A folder that QEMU, which runs as a user of its own, can read."""
    if not os.path.isdir(folder):
        _make(os.path.dirname(folder))
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def _place(part: _Part, target: str) -> None:
    """Put a file to another place as cheaply as the file system allows: shared blocks, a second name, a copy.

    :raises OSError: It cannot be done.
    """
    with open(part.source, "rb") as source, open(target, "xb") as stream:
        try:
            fcntl.ioctl(stream, _FICLONE, source.fileno())
        except OSError:  # this file system cannot, or it is another one
            pass
        else:
            os.fchmod(stream.fileno(), 0o755)
            return
    if part.path:
        os.unlink(target)
        try:
            # Whoever replaces the file gives the name to another one, as every package manager does, and this stays.
            os.link(part.path, target)
            return
        except OSError:
            pass
    shutil.copyfile(part.source, target)
    os.chmod(target, 0o755)


def _fill(folder: str, parts: t.Sequence[_Part], build: str) -> None:
    """Put those parts into a folder that it lacks, each whole or not at all."""
    for part in parts:
        target = os.path.join(folder, part.name)
        damaged = part.name.startswith(f"{PROGRAM}/") and running_code.build_id_of(target) != build
        if os.path.lexists(target) and not damaged:
            continue
        _make(os.path.dirname(target))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target + _UNFINISHED)
        _place(part, target + _UNFINISHED)
        os.replace(target + _UNFINISHED, target)


def _check_room(root: str, parts: t.Sequence[_Part]) -> None:
    """Refuse to fill the disk where nothing can be shared with what is there.

    :raises MaintenanceError: code `way_back`.
    """
    there = os.statvfs(root)
    size = sum(os.stat(part.source).st_size for part in parts if not part.path or os.stat(part.path).st_dev != os.stat(root).st_dev)
    left = there.f_bavail * there.f_frsize - size
    if left < _RESERVE:
        raise MaintenanceError(f"{root} would have {max(0, left) // 1024 ** 2} MiB left, and {_RESERVE // 1024 ** 2} MiB are to stay free", "way_back")


def _script(home: str, program: str) -> str:
    return (
        "#!/bin/sh\n"
        "# A QEMU that guests had before an update: see vm_preserving.maintenance. It is removed when no guest needs it any more.\n"
        f"export QEMU_MODULE_DIR={shlex.quote(os.path.join(home, MODULES))} LD_LIBRARY_PATH={shlex.quote(os.path.join(home, LIBRARIES))}\n"
        f"exec {shlex.quote(f'{home}/{PROGRAM}{program}')} -L {shlex.quote(os.path.join(home, DATA))} \"$@\"\n"
    )


def _write_start(path: str, text: str) -> None:
    """Write what starts a kept QEMU, unless it is there: libvirt would ask a file that has changed once more what it can do."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
        if stream.read() == text:
            return
    _make(os.path.dirname(path))
    with open(path + _UNFINISHED, "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), 0o755)
    os.replace(path + _UNFINISHED, path)


def kept(pid: int, emulator: str) -> str | None:
    """What starts the kept QEMU that a guest has, where there is one; `None`: there is none.

    :param pid: The guest's QEMU.
    :param emulator: The installed one of its definition.
    """
    build = running_code.program_build_id(pid)
    start = None if build is None else names.start_of(build, emulator)
    return start if start is not None and os.path.exists(start) else None


def keep(pid: int, emulator: str) -> str:
    """Keep the QEMU that a guest has, or what is not kept of it yet.

    :param pid: The guest's QEMU.
    :param emulator: The installed one of its definition.
    :returns: What starts it.
    :raises MaintenanceError: code `way_back`: it cannot be kept, or does not start.
    :raises OSError: The same.
    """
    build, program = running_code.program_build_id(pid), running_code.program(pid)
    if build is None or program is None:
        raise MaintenanceError("its QEMU has ended, or was built without a build id", "way_back")
    start, home = names.start_of(build, emulator), os.path.join(names.KEPT, build)
    if names.build_of(program) is None:  # else it is one that is kept
        _make(names.KEPT)
        os.chmod(os.path.dirname(names.KEPT), os.stat(os.path.dirname(names.KEPT)).st_mode | 0o055)
        parts = _parts(pid, emulator, program, build)
        if os.path.isdir(home):
            _fill(home, parts, build)
        else:
            _check_room(names.KEPT, parts)
            shutil.rmtree(home + _UNFINISHED, ignore_errors=True)
            try:
                _fill(home + _UNFINISHED, parts, build)
                os.rename(home + _UNFINISHED, home)
            finally:
                shutil.rmtree(home + _UNFINISHED, ignore_errors=True)
        _write_start(start, _script(home, program))
    if qemu_program.version(start) is None:
        raise MaintenanceError(f"{start} does not start, which is the QEMU of it that is kept", "way_back")
    return start


def builds() -> list[str]:
    """The build ids of the QEMUs that are kept, and of those that were never finished."""
    try:
        return sorted(os.listdir(names.KEPT))
    except FileNotFoundError:
        return []


def remove(build: str) -> None:
    """Keep a QEMU no longer.

    :raises OSError: It cannot be removed.
    """
    shutil.rmtree(os.path.join(names.KEPT, build))
