# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of ours that outlive us: units of systemd, or without it processes of their own."""
from __future__ import annotations

import contextlib
import os
import select
import subprocess
import typing as t

from .._core.errors import MaintenanceError

#: Seconds for the guard to say that it watches.
READY_TIMEOUT = 20.0


def has_systemd() -> bool:
    """Whether the host runs systemd (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def run(argv: list[str], timeout: float) -> None:
    """Run a command that starts a guard.

    :param timeout: Seconds.
    :raises MaintenanceError: code `guard`: it failed.
    """
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


def start(unit: str, description: str, argv: list[str]) -> None:
    """Start a guard as a unit of its own, and return once it watches."""
    run([
        "systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--description={description}",
        "--service-type=notify", "--property=Restart=on-failure", "--property=RestartSec=100ms", "--property=StartLimitIntervalSec=0",
        # systemd takes these for a wish to end; `systemctl stop` still ends it.
        "--property=RestartForceExitStatus=SIGTERM SIGINT SIGHUP SIGPIPE",
        f"--property=TimeoutStartSec={READY_TIMEOUT:.0f}", "--property=OOMScoreAdjust=-900", "--", *argv,
    ], READY_TIMEOUT + 5)


def detach(argv: list[str]) -> None:
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


def stop(units: t.Sequence[str]) -> None:
    """Have systemd stop units, without waiting for it; they would end by themselves, this only tidies up at once."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # pylint: disable=ansible-bad-function
            ["systemctl", "stop", "--no-block", *units], stdin=subprocess.DEVNULL, capture_output=True, timeout=READY_TIMEOUT, check=False,
        )
