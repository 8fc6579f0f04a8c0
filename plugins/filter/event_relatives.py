# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: event_relatives
short_description: The other hosts that have guests of the same availability sets
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - They tell their guests of an update of this host, too.
positional: sets
options:
  _input:
    description: The host.
    type: str
    required: true
  sets:
    description: By host, the sets that have members there.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See who else has to tell
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | vm_preserving.maintenance.event_relatives({'kvm1': ['web'], 'kvm2': ['web']}) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import event_relatives


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"event_relatives": event_relatives}
