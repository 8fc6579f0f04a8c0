# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: sets_of
short_description: The availability sets that have members on a host
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - From what the host's service knows, and from the inventory.
positional: settings
options:
  _input:
    description: What M(vm_preserving.maintenance.scheduled_event_info) returned; empty when it was not asked.
    type: dict
    required: true
  settings:
    description: The variable C(scheduled_events_guests) of that host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Note the sets of this host
  ansible.builtin.set_fact:
    sets: "{{ told | vm_preserving.maintenance.sets_of({}) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import sets_of


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"sets_of": sets_of}
