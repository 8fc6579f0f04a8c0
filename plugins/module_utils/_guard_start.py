# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the guard on the host, and taking it away again."""
from __future__ import annotations

import contextlib
import hashlib
import io
import os
import select
import subprocess
import sys
import typing as t
import zipfile

from . import (
    _boot_unit, _calls, _errors, _guard, _host_power, _hypervisor, _identity, _ledger, _places, _qmp, _ram_in_place, _saving, _saving_document,
    _saving_guard, _saving_rules, _settle, _states, _status_file, _window_document,
)
from ._errors import MaintenanceError
from ._places import SYSTEM_URI, Places
from ._window_document import Window

#: Everything the guard is made of.
_MODULES = (
    _boot_unit, _calls, _errors, _guard, _host_power, _hypervisor, _identity, _ledger, _places, _qmp, _ram_in_place, _saving, _saving_document,
    _saving_guard, _saving_rules, _settle, _states, _status_file, _window_document,
)
_PACKAGE = "vm_preserving_guard"
#: Seconds for the guard to say that it watches.
READY_TIMEOUT = 20.0


def program() -> bytes:
    """The guard as one file that Python can run: a zip of the modules, the same at every call."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        files = {f"{_PACKAGE}/__init__.py": ""}
        for module in _MODULES:
            # The loader's source works from a plain tree and from inside Ansible's own zip alike.
            files[f"{_PACKAGE}/{module.__name__.rpartition('.')[2]}.py"] = module.__loader__.get_source(module.__name__)
        files["__main__.py"] = f"import sys\nfrom {_PACKAGE}._guard import main\nsys.exit(main(sys.argv[1:]))\n"
        for name, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def _holds(path: str, data: bytes) -> bool:
    """Whether a file has just this content."""
    try:
        with open(path, "rb") as stream:
            return stream.read() == data
    except FileNotFoundError:
        return False


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid():d}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def keep_program(path: str, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """The body of guard_program: the program is at a path, or is not.

    :returns: C(changed) and C(path).
    :raises MaintenanceError: code C(file): the file cannot be written or removed.
    """
    data = program()
    try:
        changed = not _holds(path, data) if present else os.path.lexists(path)
        if changed and not check_mode:
            if present:
                _write(path, data)
            else:
                os.unlink(path)
    except OSError as error:
        raise MaintenanceError(
            f"the guard's program at {path} cannot be {'written' if present else 'removed'} ({error.strerror}); nothing was changed. "
            "Look at that path on the host and run again", "file",
        ) from error
    return {"changed": changed, "path": path}


def _install(where: Places) -> str:
    """Put the program beside the ledger, under the name of its content, and return its path."""
    data = program()
    path = os.path.join(where.state, f"guard-{hashlib.sha256(data).hexdigest()[:16]}.pyz")
    if _holds(path, data):
        return path
    _write(path, data)
    for name in os.listdir(where.state):
        # Programs of earlier releases; a guard that still runs one has it loaded.
        if name.startswith("guard-") and name.endswith(".pyz") and name != os.path.basename(path):
            os.unlink(os.path.join(where.state, name))
    return path


def _unit(kind: str, window: Window) -> str:
    return f"vm-preserving-{kind}-{window.id}"


def _has_systemd() -> bool:
    # sd_booted(3)
    return os.path.isdir("/run/systemd/system")


def _run(argv: list[str], timeout: float) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, text=True, errors="replace",
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MaintenanceError(f"the guard could not be started ({error}); no guest was paused", "guard") from error
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-400:]
        raise MaintenanceError(
            f"the guard could not be started ({argv[0]} ended with {done.returncode}: {words}); no guest was paused. "
            "Look at the host's journal (journalctl -t python3 -u 'vm-preserving-*')", "guard",
        )


def _installed(where: Places) -> str:
    try:
        return _install(where)
    except OSError as error:
        raise MaintenanceError(
            f"the guard cannot be written to {where.state} ({error.strerror}); no guest was paused", "guard"
        ) from error


def _start_unit(unit: str, description: str, argv: list[str]) -> None:
    """Start a guard as a unit of its own, and return once it watches."""
    _run([
        "systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--description={description}",
        "--service-type=notify", "--property=Restart=on-failure", "--property=RestartSec=100ms", "--property=StartLimitIntervalSec=0",
        # systemd takes these for a wish to end; `systemctl stop` still ends it.
        "--property=RestartForceExitStatus=SIGTERM SIGINT SIGHUP SIGPIPE",
        f"--property=TimeoutStartSec={READY_TIMEOUT:.0f}", "--property=OOMScoreAdjust=-900", "--", *argv,
    ], READY_TIMEOUT + 5)


def arm(where: Places, window: Window) -> None:
    """Start the guard of a window, and return once it watches.

    With systemd it is a unit of its own, outside the SSH session's scope, which systemd starts anew should it be killed. It
    is backed by a timer of PID 1 that starts a second guard just before the deadline, in time to keep it.
    Without systemd, or for a session's guests, it is a detached process.

    :raises MaintenanceError: code C(guard): it did not start; no guest may be paused.
    """
    argv = [sys.executable, "-I", _installed(where), "--uri", window.uri, "--watch", window.id]
    if window.uri == SYSTEM_URI and _has_systemd():
        description = "resumes guests paused by vm_preserving.maintenance at their deadline"
        # The deadline is counted from a later moment, so the second guard still waits for it a little.
        backstop = window.pause_limit - _guard.lead(window.pause_limit)
        _run([
            "systemd-run", "--quiet", "--collect", f"--unit={_unit('backstop', window)}", f"--description=Backstop: {description}",
            f"--on-active={backstop:.3f}s", "--timer-property=AccuracySec=50ms", "--", *argv,
        ], READY_TIMEOUT)
        try:
            _start_unit(_unit("guard", window), f"Guard: {description}", argv)
        except MaintenanceError:
            disarm(window)
            raise
    else:
        _detach(argv)


def arm_reboot(where: Places, uri: str, saving_id: str) -> list[str]:
    """Start the guard of guests that are saved for a reboot, and see to it that they are restored at boot.

    :returns: The command that reboots the host if that costs no guest its memory.
    :raises MaintenanceError: code C(guard): it did not start, or the host has no systemd; no guest may be saved.
    """
    if not _has_systemd():
        raise MaintenanceError("this host does not run systemd, which has to restore the guests at boot; no guest was touched", "guard")
    program_argv = [sys.executable, "-I", _installed(where), "--uri", uri]
    _boot_unit.install(where.state, [*program_argv, "--restore"])
    try:
        arm_saving(where, uri, saving_id)
    except MaintenanceError:
        _boot_unit.remove()
        raise
    return [*program_argv, "--reboot", saving_id]


def arm_saving(where: Places, uri: str, saving_id: str) -> None:
    """Start the guard of guests that are saved, and return once it watches. It ends by itself when they are back.

    :raises MaintenanceError: code C(guard): it did not start; no guest may be saved.
    """
    argv = [sys.executable, "-I", _installed(where), "--uri", uri, "--finish", saving_id]
    if _has_systemd():
        _start_unit(f"vm-preserving-saving-{saving_id}", "Guard: brings back guests saved by vm_preserving.maintenance", argv)
    else:
        _detach(argv)


def _detach(argv: list[str]) -> None:
    """Start the guard as a process in a session of its own, and wait until it says that it watches."""
    # Should we run in a unit of type notify ourselves: our guard is not that unit.
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    reader, writer = os.pipe()
    try:
        subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            pass_fds=(writer,), env={**environment, "VM_PRESERVING_READY_FD": str(writer)}, cwd="/",
        )
        os.close(writer)
        writer = -1
        readable, _writable, _failed = select.select([reader], [], [], READY_TIMEOUT)
        if not readable or os.read(reader, 16) != b"ready\n":
            raise MaintenanceError("the guard did not start to watch; no guest was paused", "guard")
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def disarm(window: Window) -> None:
    """Take the guard of a closed window away. It would end by itself; this only tidies up at once."""
    if window.uri == SYSTEM_URI and _has_systemd():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # pylint: disable=ansible-bad-function
                ["systemctl", "stop", "--no-block", f"{_unit('backstop', window)}.timer", f"{_unit('guard', window)}.service"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=READY_TIMEOUT, check=False,
            )
