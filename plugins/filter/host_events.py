# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: host_events
short_description: The scheduled events of a host's update
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Makes one event for each guest that is interrupted and can be told ahead.
positional: told
options:
  _input:
    description: The plan, as the filter P(vm_preserving.maintenance.host_plan#filter) made it.
    type: dict
    required: true
  told:
    description: What M(vm_preserving.maintenance.scheduled_event_info) returned.
    type: dict
    required: true
  restarts_only:
    description: Whether nothing but services are restarted while the guests are paused.
    type: bool
    default: false
  duration:
    description: Seconds that the update is expected to take while the guests are paused, V(0) when that is not known.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Announce an update
  vm_preserving.maintenance.scheduled_event:
    state: scheduled
    host: "{{ inventory_hostname }}"
    events: "{{ (host_update_plan | vm_preserving.maintenance.host_events(told)).events }}"
"""

RETURN = r"""
_value:
  description: C(events) for M(vm_preserving.maintenance.scheduled_event), and C(untold), the guests that cannot be told, with C(name) and C(why).
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import host_events


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_events": host_events}
