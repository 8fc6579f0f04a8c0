# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter host_decision."""
from __future__ import annotations

DOCUMENTATION = r"""
name: host_decision
short_description: What is to be done on one host, and to which guest
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Decides which technique an update is applied by, whether there is anything to do, and which guests are paused, moved or left alone.
options:
  _input:
    description: What the operator asks for.
    type: str
    choices: [auto, live, pause, refresh, reboot]
    required: true
  update:
    description: What M(vm_preserving.maintenance.host_update_info) returned; V(null) when the update is not given as packages.
    type: dict
  something_to_do:
    description: Of an update that is not given as packages, whether there is something to do.
    type: bool
    default: true
  due:
    description: Whether the host is still to be rebooted for an earlier update.
    type: bool
    default: false
  guests:
    description: The guests, as M(vm_preserving.maintenance.guest_info) returned them.
    type: list
    elements: dict
    default: []
  names:
    description: Names or UUIDs of the guests that the update is about; empty for all.
    type: list
    elements: str
    default: []
  exclude:
    description: Names or UUIDs of guests that are left alone.
    type: list
    elements: str
    default: []
  chosen:
    description: UUIDs of the guests for which the operator's condition holds; V(null) without a condition.
    type: list
    elements: str
  stop:
    description: Names or UUIDs of the guests that may be shut down where they cannot be kept.
    type: list
    elements: str
    default: []
  stop_chosen:
    description: UUIDs of the guests for which the operator's condition for that holds.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say which technique an update needs
  ansible.builtin.debug:
    msg: "{{ ('auto' | vm_preserving.maintenance.host_decision(update=update, guests=found.guests)).technique }}"
"""

RETURN = r"""
_value:
  description: The decision.
  type: dict
  contains:
    technique:
      description: A technique, or V(refuse).
      type: str
    applies:
      description: Whether there is something to apply.
      type: bool
    needed:
      description: Whether there is anything to do; also a reboot that is due, or guests that run replaced code.
      type: bool
    pauses:
      description: Whether guests are paused while it is applied.
      type: bool
    holds:
      description: Whether packages are applied before, with the guests running and restarts held back, or an earlier run left restarts to be done.
      type: bool
    restarts_in_pause:
      description: Which of these restarts wait for the pause, as O(vm_preserving.maintenance.host_update_apply#module:restarts_in_pause).
      type: str
    whole:
      description: Whether packages are applied whole while the guests are paused, because their scripts do more than restart services.
      type: bool
    refreshes:
      description: Whether guests that run replaced code are moved to the installed QEMU at the end.
      type: bool
    reboots:
      description: Whether all guests are saved to disk, and the host is rebooted, at the end.
      type: bool
    exclude:
      description: Names and UUIDs of guests that the modules have to leave alone.
      type: list
      elements: str
    left_out:
      description: Names of the active guests among them.
      type: list
      elements: str
    left_alone:
      description: UUIDs of the guests that are not moved, whatever they run on.
      type: list
      elements: str
    stale:
      description: Names of the guests that run replaced code and are not left alone.
      type: list
      elements: str
    moved:
      description: UUIDs of the guests that would be moved. No other guest can stand in the way of that.
      type: list
      elements: str
    may_stop:
      description: UUIDs of the guests that may be shut down where they cannot be kept; the operator, or their own metadata, says so.
      type: list
      elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_decision import host_decision


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_decision": host_decision}
