# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter availability_problems."""
from __future__ import annotations

DOCUMENTATION = r"""
name: availability_problems
short_description: The availability sets of which an update domain takes too many guests down at once
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - While an update domain is updated, all guests on its hosts count as down. A problem is an update domain that has all running guests of an availability
    set, or so many that fewer than C(min_available) are left.
  - Guests whose state is not V(running), and guests that are on none of the hosts, do not count as available.
  - A set of which no guest runs on these hosts has no problem.
positional: domains, availability_sets, accepted
options:
  _input:
    description:
      - By host, its guests, as M(vm_preserving.maintenance.guest_info) or M(vm_preserving.maintenance.scheduled_event_info) returns them.
      - Of each guest C(name), C(state) (a guest without one runs) and C(availability_set) are looked at.
    type: dict
    required: true
  domains:
    description: By host, its C(update_domain). All hosts need one.
    type: dict
    required: true
  availability_sets:
    description:
      - By availability set, C(min_available), how many of its guests have to run at any time (an integer from 1, by default 1), and C(guests), the names of
        its guests.
      - Without C(guests) the guests' own metadata says who is in the set. A guest that is named here is in the sets that name it, whatever its metadata says.
      - A guest whose metadata names a set that lists its guests here without that guest is an error.
    type: dict
  accepted:
    description: Availability sets whose problems are accepted. A name that is not known is an error.
    type: list
    elements: str
    default: []
seealso:
  - plugin: vm_preserving.maintenance.propose_update_domains
    plugin_type: filter
"""

EXAMPLES = r"""
# With guest_info's result of each host in the variable found.
- name: See that no update domain takes too many guests down at once
  ansible.builtin.assert:
    that: problems == []
    fail_msg: "{{ problems | map(attribute='message') | join('; ') }}"
  vars:
    placement: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, ['found', 'guests']))) }}"
    domains: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'update_domain'))) }}"
    sets: {web: {min_available: 2, guests: [web1, web2, web3]}}
    problems: "{{ placement | vm_preserving.maintenance.availability_problems(domains, sets, accepted=['web']) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The problems, in natural order of the sets and of the update domains; empty when there are none.
  type: list
  elements: dict
  contains:
    set:
      description: The availability set.
      type: str
    domain:
      description: The update domain; V(null) when too few guests of the set run before anything is updated.
      type: str
    guests:
      description: The names of the guests of the set that run there.
      type: list
      elements: str
    message:
      description: The problem in a sentence.
      type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import availability


def availability_problems(placement: t.Any, domains: t.Any, availability_sets: t.Any = None, accepted: t.Any = ()) -> list[dict[str, t.Any]]:
    """What `availability.availability_problems` finds.

    :raises AnsibleFilterError: What is given cannot be used.
    """
    try:
        return availability.availability_problems(placement, domains, availability_sets, accepted)
    except availability.AvailabilityError as error:
        raise AnsibleFilterError(f"availability_problems: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"availability_problems": availability_problems}
