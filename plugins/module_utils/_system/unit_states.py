# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of systemd as they are: loaded, active, and by which file."""
from __future__ import annotations

import os
import subprocess
import typing as t

from .._core.errors import MaintenanceError

#: Seconds for systemctl to answer.
_TIMEOUT = 60


class UnitState(t.NamedTuple):
    """A unit as systemd has it now.

    :ivar loaded: Whether there is such a unit.
    :ivar active: Whether it runs.
    :ivar path: The file that defines it; empty when there is none.
    :ivar enabled: Whether its administrator wants it started; one that nobody can enable is.
    """

    loaded: bool
    active: bool
    path: str = ""
    enabled: bool = True


def parse(text: str) -> list[UnitState]:
    """What `systemctl show` says, a block of lines `Name=value` for each unit, in the order in which they were asked for."""
    found = []
    for block in text.strip("\n").split("\n\n") if text.strip() else []:
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        found.append(UnitState(
            fields.get("LoadState") == "loaded", fields.get("ActiveState") in ("active", "reloading", "activating", "refreshing"),
            fields.get("FragmentPath", ""),
            fields.get("UnitFileState") not in ("disabled", "masked", "masked-runtime", "bad"),
        ))
    return found


def unit_states(units: t.Iterable[str]) -> dict[str, UnitState]:
    """The units as they are, by the names that were given; a glob is left out, for it may be of several.

    :param units: Names with their suffixes.
    :raises MaintenanceError: code `systemd`: systemctl does not answer.
    """
    names = [name for name in units if not set(name) & set("*?[")]
    if not names:
        return {}
    argv = ["systemctl", "show", "--property=LoadState,ActiveState,FragmentPath,UnitFileState", "--", *names]
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False, text=True, errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MaintenanceError(f"systemctl does not answer ({error}); no guest was touched. Look at systemd on the host", "systemd") from error
    found = parse(done.stdout)
    if len(found) != len(names):
        said = " ".join(done.stderr.split())[-300:] or f"{len(found)} answers for {len(names)} units"
        raise MaintenanceError(f"systemctl show fails ({said}); no guest was touched. Look at systemd on the host", "systemd")
    return dict(zip(names, found))
