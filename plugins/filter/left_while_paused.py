# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter left_while_paused."""
from __future__ import annotations

DOCUMENTATION = r"""
name: left_while_paused
short_description: The guests that had gone from their hosts when they were to be resumed
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Chooses the guests of the hosts' last pause windows that we had paused, and that did not exist on their host any more when they were to be resumed.
  - An owner who migrates a guest while it is paused finds it paused at its target. With this list M(vm_preserving.maintenance.guest_resume) resumes it there.
options:
  _input:
    description: What M(vm_preserving.maintenance.guest_info) returned on each host.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Resume guests that were migrated to this host while they were paused on another
  vm_preserving.maintenance.guest_resume:
    arrived: "{{ ansible_play_hosts_all | map('extract', hostvars, 'ledger') | vm_preserving.maintenance.left_while_paused }}"
"""

RETURN = r"""
_value:
  description: For each guest C(window), the id of the pause window, C(uuid), and C(clock_target) if its clock was to be set.
  type: list
  elements: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.ours import left_while_paused


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"left_while_paused": left_while_paused}
