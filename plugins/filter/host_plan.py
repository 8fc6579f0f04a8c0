# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter host_plan."""
from __future__ import annotations

DOCUMENTATION = r"""
name: host_plan
short_description: What would be done on one host, from what the modules said in check mode
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Puts together the technique and, guest by guest, for how long it would be paused or away.
  - The role P(vm_preserving.maintenance.host_update#role) leaves it in the fact C(host_update_plan), also in check mode.
positional: technique
options:
  _input:
    description: The host's inventory name.
    type: str
    required: true
  technique:
    description: The technique of the whole update.
    type: str
    choices: [live, pause, refresh, reboot]
    required: true
  pending:
    description: What M(vm_preserving.maintenance.host_update_info) said was pending.
    type: list
    elements: dict
    default: []
  pause:
    description: What M(vm_preserving.maintenance.guest_pause) said in check mode, when guests are paused.
    type: dict
  refresh:
    description: What M(vm_preserving.maintenance.guest_refresh) said in check mode, when guests are moved to another QEMU.
    type: dict
  moved:
    description: UUIDs of the guests that are moved.
    type: list
    elements: str
    default: []
  reboot:
    description: What M(vm_preserving.maintenance.guest_save) said in check mode, when the host is rebooted.
    type: dict
  duration:
    description: Seconds that the update is expected to take while the guests are paused; V(0) when not known.
    type: float
    default: 0
  pause_limit:
    description: Seconds that a guest may be paused.
    type: float
    default: 30
  due:
    description: Whether the host is still to be rebooted for an earlier update.
    type: bool
    default: false
  applies:
    description: Whether there is something to apply; otherwise only guests that run an old QEMU are moved, or a reboot that is due is done.
    type: bool
    default: true
  restarts:
    description: What M(vm_preserving.maintenance.host_update_info) said is going to be restarted.
    type: list
    elements: dict
    default: []
  holds:
    description: Whether packages are applied with restarts held back.
    type: bool
    default: false
  whole:
    description: Whether packages are applied whole while the guests are paused.
    type: bool
    default: false
  restarts_in_pause:
    description: Which restarts wait for the pause.
    type: str
    choices: [needed, all, none]
    default: none
  stop:
    description: The guests that are shut down and started again, from P(vm_preserving.maintenance.guests_to_stop#filter).
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ (inventory_hostname | vm_preserving.maintenance.host_plan('refresh', pending=update.pending, refresh=judged, moved=decision.moved)).lines }}"
"""

RETURN = r"""
_value:
  description: The plan; C(lines) says it in words.
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_plan import host_plan


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_plan": host_plan}
