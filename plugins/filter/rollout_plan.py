# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter rollout_plan."""
from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_plan
short_description: What a rollout would do to which host and when, and why it must not begin
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Puts together what all hosts said before the first is touched. The playbook P(vm_preserving.maintenance.plan#playbook) uses it.
positional: domains, order, availability_sets, accepted, fleet, first
options:
  _input:
    description:
      - By host of the run, the fact C(host_update_ahead) of role C(host_update). Empty for a host that did not answer.
    type: dict
    required: true
  domains:
    description: By host of the run, its C(update_domain).
    type: dict
    required: true
  order:
    description: The variable C(update_domain_order).
    type: list
    elements: str
  availability_sets:
    description: As in P(vm_preserving.maintenance.availability_problems#filter).
    type: dict
  accepted:
    description: Availability sets whose problems are accepted.
    type: list
    elements: str
    default: []
  fleet:
    description: All hosts that are in an update domain. Availability sets are checked when the run leaves none of them out.
    type: list
    elements: str
    default: []
  first:
    description: The variable C(update_domain_first).
    type: list
    elements: str
seealso:
  - plugin: vm_preserving.maintenance.availability_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say what would be done
  ansible.builtin.debug:
    msg: "{{ (ahead | vm_preserving.maintenance.rollout_plan(domains)).lines }}"
  vars:
    domains: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'update_domain'))) }}"
    ahead: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars) | map(attribute='host_update_ahead', default={}))) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    lines:
      description: The plan for people.
      type: list
      elements: str
    refused:
      description: By host, why the rollout must not begin; empty when it may.
      type: dict
    problems:
      description: The problems of the availability sets, a sentence each.
      type: list
      elements: str
    error:
      description: Why there is no plan, for what is given cannot be used; else empty.
      type: str
    domains:
      description: The update domains in their order, each with C(name) and C(hosts).
      type: list
      elements: dict
"""

import typing as t

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import rollout_plan as plans
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import AvailabilityError
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.update_domains import UpdateDomainError


def rollout_plan(
    ahead: t.Any, domains: t.Any, order: t.Any = None, availability_sets: t.Any = None, accepted: t.Any = (), fleet: t.Any = (), first: t.Any = None,
) -> dict[str, t.Any]:
    """What `rollout_plan.rollout_plan` says."""
    try:
        return {**plans.rollout_plan(ahead, domains, order, availability_sets, accepted, fleet, first), "error": ""}
    except (AvailabilityError, UpdateDomainError) as error:
        return {"lines": [], "refused": {}, "problems": [], "domains": [], "error": str(error)}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"rollout_plan": rollout_plan}
