# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter propose_update_domains."""
from __future__ import annotations

DOCUMENTATION = r"""
name: propose_update_domains
short_description: Update domains for hosts that keep enough guests of every availability set running
version_added: 0.1.0
author: The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Gives each host an update domain such that P(vm_preserving.maintenance.availability_problems#filter) finds no problem.
  - Hosts that have an update domain keep it, if all of them can. Otherwise as few as possible get another one.
  - The domains get as equal in size as that and the sets permit. There are O(max_domains) of them where there are as many hosts.
  - On small fleets that is the best there is. On large ones the search may end before it has looked at everything; then it is the best that was found.
  - The same input gives the same domains, whatever its order.
  - Fails when there is no solution, and says why; or when none was found before the search ended, and says that this proves nothing.
positional: availability_sets, domains, max_domains, accepted
options:
  _input:
    description: By host, its guests, as for P(vm_preserving.maintenance.availability_problems#filter).
    type: dict
    required: true
  availability_sets:
    description: As for P(vm_preserving.maintenance.availability_problems#filter).
    type: dict
  domains:
    description: By host, the C(update_domain) that it has. Hosts without one may be left out, or have an empty one. Left out, all hosts are placed anew.
    type: dict
  max_domains:
    description: How many update domains there may be.
    type: int
    default: 5
  accepted:
    description: Availability sets that are not looked at. A name that is not known is an error.
    type: list
    elements: str
    default: []
seealso:
  - plugin: vm_preserving.maintenance.availability_problems
    plugin_type: filter
"""

EXAMPLES = r"""
# With guest_info's result of each host in the variable found.
- name: Show update domains for these hosts
  ansible.builtin.debug:
    msg: "{{ placement | vm_preserving.maintenance.propose_update_domains(sets, domains, max_domains=3) }}"
  vars:
    placement: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, ['found', 'guests']))) }}"
    domains: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars) | map(attribute='update_domain', default=''))) }}"
    sets: {web: {min_available: 2, guests: [web1, web2, web3]}}
  run_once: true
"""

RETURN = r"""
_value:
  description: By host, in natural order, the name of its update domain. New ones are C(0), C(1) and so on.
  type: dict
  sample: {kvm1: "0", kvm2: "1"}
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import domain_proposal
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import AvailabilityError


def propose_update_domains(
    placement: t.Any, availability_sets: t.Any = None, domains: t.Any = None, max_domains: t.Any = domain_proposal.MAX_DOMAINS, accepted: t.Any = (),
) -> dict[str, str]:
    """What `domain_proposal.propose_update_domains` proposes.

    :raises AnsibleFilterError: What is given cannot be used, or there is nothing to propose.
    """
    try:
        return domain_proposal.propose_update_domains(placement, availability_sets, domains, max_domains, accepted)
    except (AvailabilityError, domain_proposal.NoProposal) as error:
        raise AnsibleFilterError(f"propose_update_domains: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Name and function of each filter."""
        return {"propose_update_domains": propose_update_domains}
