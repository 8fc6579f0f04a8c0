# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What applies packages on a host by itself, without anybody pausing a guest for it."""
from __future__ import annotations

import os
import shutil
import subprocess

from .._system.unit_states import unit_states
from .._system.units import has_systemd

_APT = "apt-daily-upgrade.timer"
#: The timers of dnf-automatic(8), of dnf 4 and 5, that install.
_DNF = ("dnf-automatic.timer", "dnf-automatic-install.timer", "dnf5-automatic.timer")


def _apt_upgrades() -> bool:
    """Whether apt's timer applies what it finds; Debian starts it on every host, and without this it only downloads. unattended-upgrade(8)"""
    if shutil.which("unattended-upgrade") is None or shutil.which("apt-config") is None:
        return False
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        ["apt-config", "shell", "found", "APT::Periodic::Unattended-Upgrade"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        text=True, errors="replace", env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.strip() not in ("", "found='0'", "found=''")


def warning() -> str | None:
    """What an operator should know of it, or `None`.

    :raises MaintenanceError: systemd does not answer.
    """
    if not has_systemd():
        return None
    states = unit_states((_APT, *_DNF))
    found = [unit for unit in _DNF if states[unit].active] + ([_APT] if states[_APT].active and _apt_upgrades() else [])
    if not found:
        return None
    return (
        f"this host also updates itself ({', '.join(found)}), which pauses no guest for it. Take the packages that need more than live out of that "
        "(Unattended-Upgrade::Package-Blacklist, excludepkgs), or stop the timer"
    )
