# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host decides how an update of some packages meets its guests: the facts of the rules in techniques.

Each is a question that one command or file answers. A host that gives no answer is taken for one where the fact holds.
"""
from __future__ import annotations

import os
import subprocess
import typing as t

from .._system.units import has_systemd
from .held import FILTER_UNITS
from .techniques import NETWORKD, PACKET_FILTER, WATCHDOG

_NETWORKD_UNIT = "systemd-networkd.service"
_WATCHDOGS = "/sys/class/watchdog"
#: Seconds for a command to answer.
_TIMEOUT = 20


def any_active(states: str | None, units: int) -> bool:
    """Whether one of some units is active.

    :param states: What `systemctl is-active UNIT...` says: a line for each. `None`: it did not answer.
    :param units: How many were asked about.
    """
    lines = [] if states is None else states.split()
    return len(lines) != units or bool({"active", "reloading", "activating"} & set(lines))


def manages_links(links: str | None) -> bool:
    """Whether systemd-networkd manages a link.

    :param links: What `networkctl list --no-legend` says: number, name, type, operational state and setup state. `None`: it did not answer.
    """
    return links is None or any(line.split()[-1] not in ("unmanaged", "n/a") for line in links.splitlines() if line.strip())


def cannot_be_stopped(watchdogs: t.Iterable[tuple[str | None, str | None]]) -> bool:
    """Whether there is an armed watchdog that cannot be stopped.

    :param watchdogs: Of each, the files `nowayout` and `state` (the kernel's sysfs-class-watchdog), `None` for one that is not there.
    """
    return any(nowayout in (None, "1") and state in (None, "active") for nowayout, state in watchdogs)


def _said(*argv: str) -> str | None:
    """The standard output of a command, whatever its exit code; `None` when it cannot be had."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False, text=True, errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None


def _watchdogs(folder: str) -> list[tuple[str | None, str | None]]:
    try:
        names = os.listdir(folder)
    except OSError:  # the kernel has none
        return []
    return [(_content(os.path.join(folder, name, "nowayout")), _content(os.path.join(folder, name, "state"))) for name in names]


def facts() -> frozenset[str]:
    """Which of `techniques.FACTS` hold on this host."""
    found = set()
    if has_systemd():
        if any_active(_said("systemctl", "is-active", _NETWORKD_UNIT), 1) and manages_links(_said("networkctl", "list", "--no-legend", "--no-pager")):
            found.add(NETWORKD)
        if any_active(_said("systemctl", "is-active", *FILTER_UNITS), len(FILTER_UNITS)):
            found.add(PACKET_FILTER)
    if cannot_be_stopped(_watchdogs(_WATCHDOGS)):
        found.add(WATCHDOG)
    return frozenset(found)
