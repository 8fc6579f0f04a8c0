# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter clocks_due."""
from __future__ import annotations

DOCUMENTATION = r"""
name: clocks_due
short_description: The guests whose clocks are ours to be put right
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Chooses the guests that were paused or saved by this collection last, run again, and whose clocks have not been proved to be right since.
  - Clocks of other guests are their owners' affair. The role P(vm_preserving.maintenance.host_update#role) and the playbook C(recover.yml) set none of them.
  - An empty list means that no clock is to be set. For M(vm_preserving.maintenance.guest_clock) an empty O(vm_preserving.maintenance.guest_clock#module:name)
    means all guests; do not run it then.
options:
  _input:
    description: What M(vm_preserving.maintenance.guest_info) returned.
    type: dict
    required: true
  earlier:
    description:
      - The same, before the caller touched anything. A clock that could not be verified by then is not looked at again.
    type: dict
"""

EXAMPLES = r"""
- name: Look at the guests, and at what the host's ledger says of them
  vm_preserving.maintenance.guest_info:
  register: found

- name: Put the clocks right that are ours to be put right
  vm_preserving.maintenance.guest_clock:
    name: "{{ found | vm_preserving.maintenance.clocks_due }}"
  when: found | vm_preserving.maintenance.clocks_due | length > 0
"""

RETURN = r"""
_value:
  description: Their UUIDs.
  type: list
  elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.ours import clocks_due


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"clocks_due": clocks_due}
