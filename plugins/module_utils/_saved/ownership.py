# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else owns a guest that is about to be saved: clouds and clusters that would take it for one that was shut off."""
from __future__ import annotations

import platform
import typing as t
import xml.etree.ElementTree as ET

from .._core.errors import MaintenanceError
from .._core.guest_manager import ClusterResource, Management, cluster_resources, managed_by
from .._core.states import Blocker
from .._system import cluster
from .._system.containers import contained_libvirt

#: Seconds for Pacemaker to show its configuration.
CLUSTER_TIMEOUT = 20.0

#: What an operator says of guests that somebody else manages.
REFUSE, ACCEPT = "refuse", "accept"


class Owners:
    """Who manages the guests of this host. What they all have in common is looked up once."""

    def __init__(self) -> None:
        self._resources: list[ClusterResource] = []
        self._definitions: dict[str, str | None] = {}
        #: Why the cluster's word could not be had; empty when it could, or when there is no cluster.
        self.problem = ""
        try:
            text = cluster.configuration(CLUSTER_TIMEOUT)
            if text is not None:
                self._resources = cluster_resources(text, cluster.node_name(CLUSTER_TIMEOUT))
                self._definitions = cluster.definitions(sorted({path for one in self._resources for path in one.files}))
        except (OSError, ValueError) as error:
            self.problem = str(error)

    def of(self, xml: ET.Element) -> list[Management]:
        """Who manages a guest.

        :param xml: Its live XML.
        """
        return managed_by(ET.tostring(xml, encoding="unicode"), self._resources, self._definitions)

    def blockers(self, xml: ET.Element, reboot: bool) -> list[Blocker]:
        """Why a guest may not be saved, as far as its managers are concerned.

        :param xml: Its live XML.
        :param reboot: Whether the host is rebooted while it is saved.
        """
        found = [
            Blocker("managed", one.refusal(platform.node()))
            for one in self.of(xml) if not one.lets_go(reboot)
        ]
        if self.problem:
            found.append(Blocker("managed", f"whether a cluster manages it cannot be found out ({self.problem}); or accept that with managed_guests: accept"))
        return found


def refuse_container() -> None:
    """Refuse when the host's libvirt runs in a container: what the host has installed says nothing about its guests.

    :raises MaintenanceError: code `container`.
    """
    found = contained_libvirt()
    if found is not None:
        raise MaintenanceError(
            f"{found.name} (process {found.pid}) runs in a container, so the packages of this host are not what its guests run on; no guest was touched. "
            "Update the container's image by its own means, or give what is to be done under paused guests as commands", "container",
        )


def managed(owners: Owners, xml: ET.Element) -> list[dict[str, t.Any]]:
    """Who manages a guest, for a module's result."""
    return [{"manager": one.manager, "resource": one.resource or None, "maintenance": sorted(one.maintenance)} for one in owners.of(xml)]
