# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs old code: guests whose QEMU, daemons whose program or libraries, and a host whose kernel was replaced on disk meanwhile."""
from __future__ import annotations

import os
import typing as t

from .._core.kept_qemu import installed, is_kept
from .._system import running_code
from .._system.guest_helpers import GuestHelper
from .._system.running_code import CodeFile, GuestCode
from .kernels import is_pinned, newest_kernel


def is_old(running: str | None, installed: str | None) -> bool:
    """Whether a process whose file was deleted runs other code than what is installed.

    A package that is installed again brings the same code in a new file: the same build id proves that nothing has changed.

    :param running: The build id of what was deleted, `None` when unknown.
    :param installed: The build id of what is at that path now, `None` when nothing is, or it is unknown.
    """
    return running is None or running != installed


def old_files(pid: int, files: t.Iterable[CodeFile]) -> list[str]:
    """The paths of the code that a process runs and that is no longer what is installed. What was kept of a QEMU for the way back never is.

    :param pid: The process.
    :param files: What it has mapped.
    """
    return sorted(
        file.path for file in files
        if is_kept(file.path) or (file.deleted and is_old(running_code.mapped_build_id(pid, file), running_code.build_id_of(file.path)))
    )


#: The code that a guest is moved for: by process, its QEMU's and that of helpers, what they have mapped.
Code = t.Mapping[int, t.Sequence[CodeFile]]


def code_of(pid: int, helpers: t.Iterable[GuestHelper]) -> dict[int, list[CodeFile]]:
    """The code that a guest is moved for; empty when its QEMU has ended.

    :param pid: Its QEMU.
    :param helpers: Its helper processes.
    :raises OSError: It may not be looked at.
    """
    files = {one: running_code.code_files(one) for one in [pid, *(helper.pid for helper in helpers if helper.renewed)]}
    return {} if files[pid] is None else {one: found for one, found in files.items() if found is not None}


def old_code(code: Code) -> list[str]:
    """The paths of the code that a guest is moved for and that is no longer what is installed.

    :param code: See `code_of`.
    """
    return sorted({path for pid, files in code.items() for path in old_files(pid, files)})


def stale_guest(guest: GuestCode, code: Code) -> dict[str, t.Any] | None:
    """A guest whose QEMU or helper runs old code, for a module's result; `None` when it does not.

    :param guest: The guest.
    :param code: Its code, see `code_of`.
    """
    old = old_code(code)
    if not old:
        return None
    path = installed(running_code.program(guest.pid) or "")
    return {
        "name": guest.name, "uuid": guest.uuid, "pid": guest.pid, "files": old,
        "build_id": {
            "running": running_code.program_build_id(guest.pid), "installed": running_code.build_id_of(path),
        },
    }


def stale_daemons() -> list[dict[str, t.Any]]:
    """The daemons of libvirt that run old code, for a module's result."""
    found = []
    for name, pid in running_code.daemons():
        old = old_files(pid, running_code.code_files(pid) or [])
        if old:
            found.append({"name": name, "pid": pid, "files": old})
    return found


def stale_processes(others: t.Container[int], owners: t.Mapping[int, str]) -> list[dict[str, t.Any]]:
    """The other processes of the host that run old code, for a module's result.

    :param others: Processes that are told of elsewhere.
    :param owners: By process, the guest whose helper it is.
    """
    found = []
    for name, pid in running_code.processes():
        if pid in others or name in running_code.DAEMONS:
            continue
        try:
            old = old_files(pid, running_code.code_files(pid) or [])
        except OSError:  # somebody else's, and we are not root
            continue
        if old:
            found.append({"name": name, "pid": pid, "unit": running_code.unit(pid), "guest": owners.get(pid), "files": old})
    return found


def kernel() -> dict[str, t.Any]:
    """The running and the newest installed kernel of its flavour, for a module's result."""
    running = os.uname().release
    newest = newest_kernel(running, running_code.installed_kernels())
    since = None if newest is None else running_code.kernel_since(newest)
    return {
        "running": running, "newest": newest, "differs": newest is not None and newest != running,
        "pinned": is_pinned(running, newest, since, running_code.booted()),
    }
