# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter guests_to_stop."""
from __future__ import annotations

DOCUMENTATION = r"""
name: guests_to_stop
short_description: The guests that have to be shut down for an update of their host, and may be
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Chooses the guests that can be neither moved nor saved, for a reason that does not pass and that a start from their definition does not have, such as a
    device of the host, and that may be shut down. A guest that only a running job keeps from being saved is not among them.
positional: may_stop, moved
options:
  _input:
    description: What M(vm_preserving.maintenance.guest_save) or M(vm_preserving.maintenance.guest_refresh) said in check mode, also where it refused.
    type: dict
    required: true
  may_stop:
    description: UUIDs of the guests that may be shut down, C(may_stop) of P(vm_preserving.maintenance.host_decision#filter).
    type: list
    elements: str
    required: true
  moved:
    description: UUIDs of the guests that the update is about; left out, all.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Note who has to be shut down
  ansible.builtin.set_fact:
    to_stop: "{{ judged | vm_preserving.maintenance.guests_to_stop(decision.may_stop) }}"
"""

RETURN = r"""
_value:
  description: For each guest C(name), C(uuid), C(why) in words, and C(files), what its next QEMU opens.
  type: list
  elements: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_stop import guests_to_stop


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"guests_to_stop": guests_to_stop}
