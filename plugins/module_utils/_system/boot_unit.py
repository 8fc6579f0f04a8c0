# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit that restores saved guests when the host has booted anew, whether anybody else comes or not."""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.errors import MaintenanceError
from . import host_power
from .files import sync_folder

#: Where an administrator's units are, and those that a boot starts; systemd.unit(5). A new boot reads them by itself.
UNIT = "/etc/systemd/system/vm-preserving-restore.service"
WANTED = "/etc/systemd/system/multi-user.target.wants/vm-preserving-restore.service"

_TEXT = """\
# Written by vm_preserving.maintenance before it has this host rebooted, and removed when the guests are back.
[Unit]
Description=Restores the guests that were saved for this reboot
After=libvirtd.service virtqemud.service virtnetworkd.service virtstoraged.service network.target remote-fs.target
RequiresMountsFor=/var/lib/libvirt {state}

[Service]
Type=simple
ExecStart={command}
Restart=on-failure
RestartSec=5
OOMScoreAdjust=-900
"""


def text(state: str, argv: t.Sequence[str]) -> str:
    """The unit.

    :param state: The folder of the ledger.
    :param argv: What restores the guests; no word of it may hold a space or be special to systemd.
    """
    return _TEXT.format(state=state, command=" ".join(argv))


def install(state: str, argv: t.Sequence[str]) -> None:
    """Put the unit there, on disk when this returns.

    :raises MaintenanceError: code `guard`: it cannot be written.
    """
    try:
        with open(os.open(UNIT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "w", encoding="ascii") as stream:
            stream.write(text(state, argv))
            stream.flush()
            os.fsync(stream.fileno())
        os.makedirs(os.path.dirname(WANTED), mode=0o755, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(UNIT, WANTED)
        for folder in (os.path.dirname(UNIT), os.path.dirname(WANTED)):
            sync_folder(folder)
    except OSError as error:
        raise MaintenanceError(
            f"the unit {UNIT}, which restores the guests at boot, cannot be written ({error.strerror}); no guest was saved", "guard",
        ) from error


def is_there() -> bool:
    """Whether the unit, or a part of it, is there."""
    return any(os.path.lexists(path) for path in (WANTED, UNIT))


def remove() -> None:
    """Remove the unit; nothing happens when there is none. It may be the very unit that runs us: systemd keeps what it has read."""
    there = os.path.lexists(UNIT)
    for path in (WANTED, UNIT):
        with contextlib.suppress(OSError):
            os.unlink(path)
    if there:
        # Else it would be shown as one that is there until the next boot.
        host_power.read_units_anew()
