# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own coming and going, by systemd."""
from __future__ import annotations

import subprocess

#: Seconds for systemd to report its state, and to accept a reboot.
TIMEOUT = 60.0


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl; an error of starting it is returned like one of its own."""
    try:
        return subprocess.run(  # pylint: disable=ansible-bad-function
            ["systemctl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess([], 1, "", str(error))


def goes_down() -> bool:
    """Whether the host is on its way down: what is started now would be cut off."""
    return _systemctl("is-system-running").stdout.strip() == "stopping"


def read_units_anew() -> None:
    """Have systemd see that a unit has gone; if it does not, the next boot does."""
    _systemctl("daemon-reload")


def reboot() -> str:
    """Have the host rebooted.

    :returns: Why it is not; empty when it is.
    """
    return _refusal(_systemctl("reboot"))


def start_unit(name: str) -> str:
    """Have systemd start a unit, without waiting for it.

    :param name: Its name.
    :returns: Why it does not; empty when it does.
    """
    return _refusal(_systemctl("start", "--no-block", name))


def _refusal(done: subprocess.CompletedProcess[str]) -> str:
    return f"systemctl ended with {done.returncode}: {' '.join(done.stderr.split())}" if done.returncode else ""
