# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where scheduled events live on a host."""
from __future__ import annotations

import os
import typing as t

#: The group of the service that answers guests. It reads what Ansible writes.
GROUP = "vm-preserving-events"


class EventPlaces(t.NamedTuple):
    """The files of scheduled events.

    :ivar root: Folder that all of them are below.
    """

    root: str = "/"

    def _at(self, path: str) -> str:
        return os.path.join(self.root, path)

    @property
    def spool(self) -> str:
        """The folder of what is announced, of root alone; the group may read it."""
        return self._at("var/lib/vm_preserving/scheduled_events")

    @property
    def events(self) -> str:
        """What is announced. Written by Ansible."""
        return os.path.join(self.spool, "events.json")

    @property
    def lock(self) -> str:
        """The lock around its changes."""
        return os.path.join(self.spool, "lock")

    @property
    def approvals(self) -> str:
        """The folder of approvals, a file for each event: made by Ansible, overwritten in place by the service."""
        return os.path.join(self.spool, "approvals")

    @property
    def settings(self) -> str:
        """How the service is set. Written by the role."""
        return self._at("etc/vm_preserving/scheduled_events.json")

    @property
    def guests(self) -> str:
        """The running guests. Written by the watcher of the host."""
        return self._at("run/vm_preserving/scheduled_events/guests.json")

    @property
    def health(self) -> str:
        """The socket on which the service says how it is."""
        return self._at("run/vm_preserving_events/health.sock")

    @property
    def program(self) -> str:
        """The program of both, a zip that Python runs."""
        return self._at("usr/local/lib/vm_preserving/scheduled_events.pyz")
