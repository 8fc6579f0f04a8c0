# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: event_copies
short_description: What other hosts have to tell their guests
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - The guests of an availability set see its events on whichever host they run.
positional: sets
options:
  _input:
    description: The events, as M(vm_preserving.maintenance.scheduled_event) returned them.
    type: list
    elements: dict
    required: true
  sets:
    description: By host, the sets that have members there.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See who else has to tell
  ansible.builtin.debug:
    msg: "{{ told.events | vm_preserving.maintenance.event_copies({'kvm2': ['web']}) }}"
"""

RETURN = r"""
_value:
  description: For each such host C(host), C(of), the host that is updated, and C(events).
  type: list
  elements: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import event_copies


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"event_copies": event_copies}
