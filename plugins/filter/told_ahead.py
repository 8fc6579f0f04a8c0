# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of scheduled events."""
from __future__ import annotations

DOCUMENTATION = r"""
name: told_ahead
short_description: The hosts of the next update domain that a host announces for
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - The notice of a domain runs while the domain before it is updated. Each host of that one announces for a part of the next one's hosts.
positional: domains
options:
  _input:
    description: The host.
    type: str
    required: true
  domains:
    description: By host of the play, its C(update_domain).
    type: dict
    required: true
  order:
    description: The variable C(update_domain_order), where there is one.
    type: raw
  first:
    description: The variable C(update_domain_first), where there is one.
    type: raw
"""

EXAMPLES = r"""
- name: See for whom
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | vm_preserving.maintenance.told_ahead({'kvm1': 1, 'kvm2': 2}) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_events import told_ahead


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"told_ahead": told_ahead}
