# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: event_approvals
short_description: The approvals that were given on other hosts
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - For the option C(approved) of M(vm_preserving.maintenance.scheduled_event).
options:
  _input:
    description: What M(vm_preserving.maintenance.scheduled_event) returned on these hosts.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Carry approvals over
  vm_preserving.maintenance.scheduled_event:
    state: scheduled
    host: "{{ inventory_hostname }}"
    events: "{{ events }}"
    approved: "{{ peers.results | vm_preserving.maintenance.event_approvals }}"
"""

RETURN = r"""
_value:
  description: Each with C(id), C(guest), C(name) and C(at).
  type: list
  elements: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import event_approvals


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"event_approvals": event_approvals}
