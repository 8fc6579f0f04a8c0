# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: event_lines
short_description: What guests are told, in words
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - A line for each guest that is told ahead of an update, or cannot be.
positional: notice
options:
  _input:
    description: What the filter P(vm_preserving.maintenance.host_events#filter) made.
    type: dict
    required: true
  notice:
    description: Seconds of notice.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Say who is told
  ansible.builtin.debug:
    msg: "{{ events | vm_preserving.maintenance.event_lines(900) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import event_lines


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"event_lines": event_lines}
