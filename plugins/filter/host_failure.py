# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter host_failure."""
from __future__ import annotations

DOCUMENTATION = r"""
name: host_failure
short_description: Why a host is refused or has failed, as a sentence for operators
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Makes the sentences with which the role P(vm_preserving.maintenance.host_update#role) fails. Each kind takes the facts that it is about.
positional: kind
options:
  _input:
    description: The host's inventory name.
    type: str
    required: true
  kind:
    description:
      - V(python), its Python is too old (O(python), O(oldest)). V(ways), the update is not given in exactly one way, and V(lists), a text was given for a
        list (O(given)).
        V(window), another run has guests paused (O(window)).
      - V(technique), a package is refused (O(pending)). V(duration), the update is known to last too long (O(duration), O(limit)). V(refresh), guests cannot be
        moved (O(guests)). V(reboot), guests are left out of a reboot (O(names)).
      - V(no_events), scheduled events are not set up on it, and V(unserved), their service does not answer.
      - V(files), the update takes away files that guests need (O(lost), O(guests)).
      - V(stage), the packages could not be downloaded (O(result)). V(update), the update failed with the guests running (O(result), O(timeout)).
        V(connection), the connection was lost in the pause, and V(deadline), the guard had to resume the guests (O(limit)). V(away), the host does not answer
        after a reboot. V(not_rebooted), it was not rebooted.
    type: str
    choices:
      [python, ways, lists, window, technique, duration, refresh, reboot, stage, files, no_events, unserved, update, connection, deadline, away, not_rebooted]
    required: true
  python:
    description: The fact C(ansible_python).
    type: dict
  oldest:
    description: The oldest version of Python that will do.
    type: str
  given:
    description: Values by the names of the role's variables.
    type: dict
  window:
    description: The pause window, as M(vm_preserving.maintenance.guest_info) returned it.
    type: dict
  pending:
    description: What M(vm_preserving.maintenance.host_update_info) said was pending.
    type: list
    elements: dict
  duration:
    description: Seconds.
    type: float
  limit:
    description: Seconds that a guest may be paused.
    type: float
  lost:
    description: The files, as M(vm_preserving.maintenance.host_update_files) returned them.
    type: list
    elements: dict
  guests:
    description: Guests with their blockers and their files, as M(vm_preserving.maintenance.guest_refresh) returned them.
    type: list
    elements: dict
  names:
    description: Names of guests.
    type: list
    elements: str
  result:
    description: The result of the task that failed.
    type: dict
  timeout:
    description: Seconds that a command may last.
    type: float
"""

EXAMPLES = r"""
- name: Refuse the host
  ansible.builtin.fail:
    msg: "{{ inventory_hostname | vm_preserving.maintenance.host_failure('reboot', names=['web']) }}"
"""

RETURN = r"""
_value:
  description: The sentence. It says what, on which host and with which guest, in what state it was left, and what to do next.
  type: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_failure import host_failure


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"host_failure": host_failure}
