# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units that give guests back when the host has booted anew, whether anybody else comes or not."""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.errors import MaintenanceError
from . import host_power
from .files import sync_folder

#: Where an administrator's units are, and those that a boot starts; systemd.unit(5). A new boot reads them by itself.
UNITS = "/etc/systemd/system"

_TEXT = """\
# Written by vm_preserving.maintenance before {before}, and removed when the guests are back.
[Unit]
Description={description}
After=libvirtd.service virtqemud.service virtnetworkd.service virtstoraged.service network.target remote-fs.target
RequiresMountsFor=/var/lib/libvirt {state}

[Service]
Type=simple
ExecStart={command}
Restart=on-failure
RestartSec=5
OOMScoreAdjust=-900
"""


class BootUnit:
    """A unit that is there for the next boot.

    :param name: Its name, without the suffix.
    :param description: What it does, in words.
    :param before: Before what it is written, in words.
    :param untouched: What has not been done yet where it cannot be written, in words.
    :ivar unit: The file that defines it.
    :ivar wanted: What has a boot start it.
    """

    def __init__(self, name: str, description: str, before: str, untouched: str) -> None:
        self.name = name
        self.unit = f"{UNITS}/{name}.service"
        self.wanted = f"{UNITS}/multi-user.target.wants/{name}.service"
        self._description = description
        self._before = before
        self._untouched = untouched

    def text(self, state: str, argv: t.Sequence[str]) -> str:
        """The unit.

        :param state: The folder of the ledger.
        :param argv: What gives the guests back; no word of it may hold a space or be special to systemd.
        """
        return _TEXT.format(before=self._before, description=self._description, state=state, command=" ".join(argv))

    def install(self, state: str, argv: t.Sequence[str]) -> None:
        """Put the unit there, on disk when this returns.

        :raises MaintenanceError: code `guard`: it cannot be written.
        """
        try:
            with open(os.open(self.unit, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "w", encoding="ascii") as stream:
                stream.write(self.text(state, argv))
                stream.flush()
                os.fsync(stream.fileno())
            os.makedirs(os.path.dirname(self.wanted), mode=0o755, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(self.unit, self.wanted)
            for folder in (os.path.dirname(self.unit), os.path.dirname(self.wanted)):
                sync_folder(folder)
        except OSError as error:
            raise MaintenanceError(
                f"the unit {self.unit}, which gives the guests back at boot, cannot be written ({error.strerror}); {self._untouched}", "guard",
            ) from error

    def is_there(self) -> bool:
        """Whether the unit, or a part of it, is there."""
        return any(os.path.lexists(path) for path in (self.wanted, self.unit))

    def remove(self) -> None:
        """Remove the unit; nothing happens when there is none. It may be the very unit that runs us: systemd keeps what it has read."""
        there = os.path.lexists(self.unit)
        for path in (self.wanted, self.unit):
            with contextlib.suppress(OSError):
                os.unlink(path)
        if there:
            # Else it would be shown as one that is there until the next boot.
            host_power.read_units_anew()

    def begin(self) -> str:
        """Have systemd start it now.

        :returns: Why it does not; empty when it does.
        """
        host_power.read_units_anew()
        return host_power.start_unit(self.name)


RESTORE = BootUnit(
    "vm-preserving-restore", "Restores the guests that were saved for this reboot", "it has this host rebooted", "no guest was saved",
)
START = BootUnit(
    "vm-preserving-start", "Starts the guests that were shut down while this host was updated", "it shuts guests down", "no guest was shut down",
)
