# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the restarts that were held back on this host, and what is to be done for it.

It is on a file system that a boot empties: after that every service runs what is installed.
"""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.errors import MaintenanceError
from .._system.files import replace
from .._system.unit_states import unit_states
from . import held, techniques
from .package_manager import PackageManager

#: The record.
RECORD = "/run/vm_preserving/held_restarts"
#: Characters of it that are read; what is larger is not ours.
_LARGEST = 1 << 20
#: The folder of the program that writes it; where the record is, programs may not be started (noexec).
FOLDER = "/var/lib/vm_preserving/system/held"


def left_over() -> list[held.Asked]:
    """What was held back and is still to be done.

    :raises MaintenanceError: code `held`: the record cannot be read.
    """
    try:
        with open(os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace") as stream:
            return held.read(stream.read(_LARGEST))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MaintenanceError(
            f"{RECORD}, the record of restarts that were held back, cannot be read ({error.strerror}); no guest was touched. Look at that file on the host; it "
            "can be removed once the services that were updated have been restarted", "held",
        ) from error


def begin(due: t.Sequence[held.Asked]) -> None:
    """Make the record, with what an earlier run left.

    :raises OSError: It cannot be written.
    """
    os.makedirs(os.path.dirname(RECORD), mode=0o755, exist_ok=True)
    replace(RECORD, "".join(map(held.line, due)).encode())


def keep(due: t.Sequence[held.Asked]) -> None:
    """Write down anew what is still to be done; nothing: the record goes.

    :raises OSError: It cannot be written.
    """
    if due:
        begin(due)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(RECORD)


def restarts(
    manager: PackageManager, asked: t.Sequence[held.Asked], rules: t.Sequence[techniques.Rule], facts: t.Container[str],
) -> list[dict[str, t.Any]]:
    """What is to be done to which unit, for a module's result; what changes nothing is left out.

    :param manager: Knows the packages of the units.
    :param asked: What was held back, or is expected to be.
    :param rules: The operator's rules.
    :param facts: Which of `techniques.FACTS` hold on the host.
    :returns: Each with `unit`, `action`, `packages` (whose scripts ask for it) and `in_pause`, whether one of them needs the pause.
    :raises MaintenanceError: systemd or the package manager does not answer.
    """
    wanted = held.held(asked)
    states = unit_states(one.unit for one in wanted)
    owners = manager.owners(sorted({state.path for state in states.values() if state.path}))
    found = []
    for one in wanted:
        state = states.get(one.unit)
        if held.needed(one, state) is None:
            continue
        names = [*one.packages, *(owners.get(state.path, ()) if state is not None else ())]
        found.append({
            "unit": one.unit, "action": one.action, "packages": list(one.packages),
            # Not for what QEMU maps: that is a matter of the guests, and not of a service.
            "in_pause": any(techniques.judge(name, rules, {}, facts).technique == "pause" for name in names),
        })
    return found


def commands(wanted: t.Sequence[t.Mapping[str, t.Any]]) -> list[list[str]]:
    """How it is done, with the units in the state in which they are now; see `held.commands`.

    :param wanted: See `restarts`.
    :raises MaintenanceError: systemd does not answer.
    """
    units = [held.Held(one["unit"], one["action"], tuple(one["packages"])) for one in wanted]
    return held.commands(units, unit_states([*(one.unit for one in units), *held.NETWORK_DAEMONS]))
