# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that run on the host by themselves: packing them, and starting the guard."""
from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import types
import zipfile

from . import _program
from ._core.errors import MaintenanceError
from ._core.places import SYSTEM_URI, Places
from ._pause.guard_unit import disarm, unit
from ._pause.limits import longest_lead
from ._pause.record import Window
from ._system import boot_unit
from ._system.files import holds, replace
from ._system.units import READY_TIMEOUT, detach, has_systemd, run, start

#: The name of the package inside of the program; our modules keep their paths below it.
PACKAGE = "vm_preserving_program"
_HOME = __name__.rpartition(".")[0]


def _source(module: types.ModuleType) -> str:
    # The loader's source works from a plain tree and from inside Ansible's own zip alike.
    return module.__loader__.get_source(module.__name__)  # type: ignore[union-attr]


def _imported(name: str, source: str) -> set[str]:
    """Our modules that a module imports.

    :param name: Its dotted name below our home.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = name.split(".")[:-node.level] + (node.module.split(".") if node.module else [])
            found.update(".".join([*package, alias.name]) for alias in node.names)
            found.add(".".join(package))
    return {one for one in found if getattr(sys.modules.get(f"{_HOME}.{one}"), "__file__", None) and not hasattr(sys.modules[f"{_HOME}.{one}"], "__path__")}


def program(entry: types.ModuleType = _program) -> bytes:
    """A program as one file that Python can run: a zip of everything that its command line needs, the same at every call.

    :param entry: Our module that has its `main`.
    """
    sources: dict[str, str] = {}
    main = entry.__name__[len(_HOME) + 1:]
    waiting = {main}
    while waiting:
        name = waiting.pop()
        sources[name] = _source(sys.modules[f"{_HOME}.{name}"])
        waiting |= _imported(name, sources[name]) - set(sources)
    files = {f"{PACKAGE}/{name.replace('.', '/')}.py": source for name, source in sources.items()}
    for path in list(files):
        folder = os.path.dirname(path)
        while folder:
            files[f"{folder}/__init__.py"] = ""
            folder = os.path.dirname(folder)
    files["__main__.py"] = f"import sys\nfrom {PACKAGE}.{main} import main\nsys.exit(main(sys.argv[1:]))\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()


def _install(where: Places) -> str:
    """Put the program beside the ledger, under the name of its content, and return its path."""
    data = program()
    path = os.path.join(where.state, f"guard-{hashlib.sha256(data).hexdigest()[:16]}.pyz")
    if holds(path, data):
        return path
    replace(path, data)
    for name in os.listdir(where.state):
        # Programs of earlier releases; a guard that still runs one has it loaded.
        if name.startswith("guard-") and name.endswith(".pyz") and name != os.path.basename(path):
            os.unlink(os.path.join(where.state, name))
    return path


def _installed(where: Places) -> str:
    try:
        return _install(where)
    except OSError as error:
        raise MaintenanceError(
            f"the guard cannot be written to {where.state} ({error.strerror}); no guest was paused", "guard"
        ) from error


def arm(where: Places, window: Window) -> None:
    """Start the guard of a window, and return once it watches.

    With systemd it is a unit of its own, outside the SSH session's scope, which systemd starts anew should it be killed. It
    is backed by a timer of PID 1 that starts a second guard just before the deadline, in time to keep it.
    Without systemd, or for a session's guests, it is a detached process.

    :raises MaintenanceError: code `guard`: it did not start; no guest may be paused.
    """
    argv = [sys.executable, "-I", _installed(where), "--uri", window.uri, "--watch", window.id]
    if window.uri == SYSTEM_URI and has_systemd():
        description = "resumes guests paused by vm_preserving.maintenance at their deadline"
        # The deadline is counted from a later moment, so the second guard still waits for it a little.
        backstop = window.pause_limit - longest_lead(window.pause_limit)
        run([
            "systemd-run", "--quiet", "--collect", f"--unit={unit('backstop', window)}", f"--description=Backstop: {description}",
            f"--on-active={backstop:.3f}s", "--timer-property=AccuracySec=50ms", "--", *argv,
        ], READY_TIMEOUT)
        try:
            start(unit("guard", window), f"Guard: {description}", argv)
        except MaintenanceError:
            disarm(window)
            raise
    else:
        detach(argv)


def arm_reboot(where: Places, uri: str, saving_id: str) -> list[str]:
    """Start the guard of guests that are saved for a reboot, and see to it that they are restored at boot.

    :returns: The command that reboots the host if that costs no guest its memory.
    :raises MaintenanceError: code `guard`: it did not start, or the host has no systemd; no guest may be saved.
    """
    if not has_systemd():
        raise MaintenanceError("this host does not run systemd, which has to restore the guests at boot; no guest was touched", "guard")
    program_argv = [sys.executable, "-I", _installed(where), "--uri", uri]
    boot_unit.RESTORE.install(where.state, [*program_argv, "--restore"])
    try:
        arm_saved(where, uri, saving_id)
    except MaintenanceError:
        boot_unit.RESTORE.remove()
        raise
    return [*program_argv, "--reboot", saving_id]


def arm_stopped(where: Places, uri: str) -> None:
    """See to it that guests which are shut down are started at boot, should nobody have done so before.

    :raises MaintenanceError: code `guard`: the host has no systemd, or the unit cannot be written; no guest may be shut down.
    """
    if not has_systemd():
        raise MaintenanceError("this host does not run systemd, which has to start the guests at boot; no guest was touched", "guard")
    boot_unit.START.install(where.state, [sys.executable, "-I", _installed(where), "--uri", uri, "--start"])


def arm_saved(where: Places, uri: str, saving_id: str) -> None:
    """Start the guard of guests that are saved, and return once it watches. It ends by itself when they are back.

    :raises MaintenanceError: code `guard`: it did not start; no guest may be saved.
    """
    argv = [sys.executable, "-I", _installed(where), "--uri", uri, "--finish", saving_id]
    if has_systemd():
        start(f"vm-preserving-saved-{saving_id}", "Guard: brings back guests saved by vm_preserving.maintenance", argv)
    else:
        detach(argv)
