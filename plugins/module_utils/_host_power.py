# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own coming and going, by systemd."""
from __future__ import annotations

import subprocess

#: Seconds for systemd to tell its state, and to take a reboot on.
TIMEOUT = 60.0


def goes_down() -> bool:
    """Whether the host is on its way down: what is started now would be cut off."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["systemctl", "is-system-running"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "stopping"


def reboot() -> str:
    """Have the host rebooted.

    :returns: Why it is not; empty when it is.
    """
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["systemctl", "reboot"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return f"systemctl ended with {done.returncode}: {' '.join(done.stderr.split())}" if done.returncode else ""
