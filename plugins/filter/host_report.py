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
  - Puts together, guest by guest, how long it was paused, its clock before and after, and whether its memory was kept, and whether the update is done.
  - A guest is the business of this collection from the pause (or save) until it is given back. What its owner does with it before and after is noted, and no
    problem. What an owner does not do, as a pause by an I/O error, is one.
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
    description: What M(vm_preserving.maintenance.host_update_info) said was pending, before the update.
    type: list
    elements: dict
    default: []
  before:
    description: What M(vm_preserving.maintenance.guest_info) returned before the update.
    type: dict
  window:
    description:
      - What M(vm_preserving.maintenance.preserved_command) or M(vm_preserving.maintenance.guest_resume) returned, when guests were paused.
    type: dict
  refresh:
    description: What M(vm_preserving.maintenance.guest_refresh) returned, when guests were moved to another QEMU.
    type: dict
  reboot:
    description: What M(vm_preserving.maintenance.guest_restore) returned, when the host was rebooted.
    type: dict
  after:
    description: What M(vm_preserving.maintenance.guest_info) returned afterwards.
    type: dict
  clocks_before:
    description: What M(vm_preserving.maintenance.guest_clock) returned before the update.
    type: dict
  clocks_after:
    description: What M(vm_preserving.maintenance.guest_clock) returned at the end, when there were clocks to be put right.
    type: dict
  decision:
    description: What the filter P(vm_preserving.maintenance.host_decision#filter) decided; without it nothing is said of whether the update is done.
    type: dict
  update:
    description: What M(vm_preserving.maintenance.host_update_info) returned afterwards, without reading the package lists anew.
    type: dict
  still_something_to_do:
    description: Whether the operator's own command says afterwards that there still is something to do.
    type: bool
    default: false
  applied:
    description: What M(vm_preserving.maintenance.host_update_apply) returned; V(null) when no restart was held back.
    type: dict
  events:
    description: What M(vm_preserving.maintenance.scheduled_event) returned when the update began.
    type: list
    elements: dict
    default: []
  untold:
    description: Guests that could not be told ahead, with C(name) and C(why).
    type: list
    elements: dict
    default: []
  stopped:
    description: What M(vm_preserving.maintenance.guest_start) returned, when guests were shut down.
    type: dict
"""

EXAMPLES = r"""
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | vm_preserving.maintenance.host_report(update_domain, before=before, window=window, after=after) }}"
"""

RETURN = r"""
_value:
  description: The report. Beside what is listed here it has the C(host), its C(update_domain), whether it was C(updated), and what was C(pending).
  type: dict
  contains:
    restarts:
      description: The restarts that were held back, as in RV(vm_preserving.maintenance.host_update_apply#module:restarts).
      type: list
      elements: dict
    guests:
      description:
        - The guests that there were before. C(pauses) has each single interruption with its C(kind) (V(pause), V(refresh) or V(reboot)), C(paused_for) and
          C(limit), in seconds, and C(resumed_by); C(paused_for) of the guest itself is the longest of them.
        - C(clock_before_pause), C(clock_after_pause) and C(clock_now) are its clock against its host's; C(clock_verdict) is V(null) for a guest that was not
          ours; C(clock_set_after) are the seconds from its resume until its clock was put right, where that is known.
      type: list
      elements: dict
    events:
      description:
        - What guests were told ahead. C(notice) are the seconds that were promised and C(given) those that there were, C(approved_by) and C(approved_at) say
          which guest has let it begin, and when.
      type: list
      elements: dict
    untold:
      description: Guests that could not be told, with C(name) and C(why).
      type: list
      elements: dict
    problems:
      description: Empty when the update is done and every guest is what it was.
      type: list
      elements: str
    notes:
      description: What owners did with guests that were not ours at that time, and what else is worth knowing and no problem.
      type: list
      elements: str
    summary:
      description: All of it in a line.
      type: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_report import host_report


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_report": host_report}
