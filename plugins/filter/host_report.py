# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter host_report."""
from __future__ import annotations

DOCUMENTATION = r"""
name: host_report
short_description: The report of one host's update, from what the modules returned
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Puts together, guest by guest, how long it was paused, its clock before and after, and whether its memory was kept.
  - The role P(vm_preserving.maintenance.host_update#role) leaves it in the fact C(host_update_report).
positional: update_domain
options:
  _input:
    description: The host's inventory name.
    type: str
    required: true
  update_domain:
    description: The host's update domain.
    type: str
  pending:
    description: What M(vm_preserving.maintenance.host_update_info) said was pending.
    type: list
    elements: dict
    default: []
  before:
    description: What M(vm_preserving.maintenance.guest_info) returned before the pause.
    type: dict
  window:
    description:
      - What M(vm_preserving.maintenance.preserved_command) or M(vm_preserving.maintenance.guest_resume) returned.
    type: dict
  after:
    description: What M(vm_preserving.maintenance.guest_info) returned afterwards.
    type: dict
  clocks_before:
    description: What M(vm_preserving.maintenance.guest_clock) returned before the pause.
    type: dict
  clocks_after:
    description: What M(vm_preserving.maintenance.guest_clock) returned after it.
    type: dict
  restored:
    description: What M(vm_preserving.maintenance.guest_refresh) or M(vm_preserving.maintenance.guest_restore) returned, when guests were saved and restored.
    type: dict
"""

EXAMPLES = r"""
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | vm_preserving.maintenance.host_report(update_domain, before=before, window=window, after=after) }}"
"""

RETURN = r"""
_value:
  description: The report; C(problems) is empty when every guest is what it was, and C(summary) says it in a line.
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_report": host_report}
