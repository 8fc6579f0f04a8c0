# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter guest_select."""
from __future__ import annotations

DOCUMENTATION = r"""
name: guest_select
short_description: The UUIDs of the guests that a JMESPath expression chooses
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Chooses among the guests that M(vm_preserving.maintenance.guest_info) returned.
  - The expression is the condition of a JMESPath filter, evaluated for each guest.
positional: condition
options:
  _input:
    description: The guests, as M(vm_preserving.maintenance.guest_info) returns them.
    type: list
    elements: dict
    required: true
  condition:
    description: A JMESPath expression that is true for the guests to choose.
    type: str
    required: true
requirements:
  - jmespath on the controller
"""

EXAMPLES = r"""
- name: All guests but the transient ones, and none above 64 GiB
  ansible.builtin.set_fact:
    chosen: "{{ found.guests | vm_preserving.maintenance.guest_select('persistent && memory < `68719476736`') }}"

- name: All guests whose name begins with web
  ansible.builtin.set_fact:
    chosen: "{{ found.guests | vm_preserving.maintenance.guest_select(\"starts_with(name, 'web')\") }}"
"""

RETURN = r"""
_value:
  description: The UUIDs of the chosen guests, in the order in which they came.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

try:
    import jmespath
except ImportError:
    jmespath = None


def _holds(value: t.Any) -> bool:
    # JMESPath's own truth: everything but null, false and what is empty; 0 is true.
    return not (value is None or value is False or value in ("", [], {}))


def guest_select(guests: t.Any, condition: t.Any) -> list[str]:
    """The UUIDs of the guests for which a JMESPath expression is true.

    :raises AnsibleFilterError: No jmespath, no list of guests, or no valid expression.
    """
    if jmespath is None:
        raise AnsibleFilterError("guest_select needs the Python package jmespath on the controller; install it and run again")
    if not isinstance(guests, list) or not all(isinstance(guest, dict) and "uuid" in guest for guest in guests):
        raise AnsibleFilterError("guest_select needs the list of guests that guest_info returns")
    try:
        # Each guest by itself: a condition that is a list or a string of its own must not change the shape of the answer.
        expression = jmespath.compile(str(condition))
        return [str(guest["uuid"]) for guest in guests if _holds(expression.search(dict(guest)))]
    except jmespath.exceptions.JMESPathError as error:
        raise AnsibleFilterError(f"guest_select: {condition!r} is no condition of JMESPath for these guests: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"guest_select": guest_select}
