#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_rollout
short_description: Keep a host's own record of the rollout that it is a part of
version_added: 0.1.0
description:
  - A host is held by one rollout at a time, wherever that was started. The host notes when its update began and how it ended.
  - So two rollouts of the same hosts find each other, and a controller that has lost everything reads from the hosts what was done.
  - The record is C(/var/lib/vm_preserving/rollout/rollout.json), with the latest 50 updates. It is crash-safe.
attributes:
  check_mode:
    support: full
    description: Says whether the record would change. A host that another rollout holds is refused all the same.
  diff_mode:
    support: full
    description: The record before and after, in lines.
  idempotent:
    support: partial
    description: Holding a host that is held already, ending what has ended and releasing change nothing. Every V(begun) is an update of its own.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
options:
  state:
    description:
      - V(read) - only read the record.
      - V(claimed) - the host is held by O(rollout). Refused while another rollout holds it, unless O(take_over) names that one.
      - V(begun) - its update begins. What an earlier run began and did not end is noted as C(interrupted).
      - V(done), V(failed) - its update has ended so.
      - V(released) - O(rollout) holds the host no more.
    type: str
    choices: [read, claimed, begun, done, failed, released]
    default: read
  rollout:
    description: The id of the rollout.
    type: str
    required: true
  by:
    description: For O(state=claimed), who has started it and where. For people.
    type: str
    default: ''
  take_over:
    description: For O(state=claimed), the id of a rollout that holds the host, has died, and is not to be carried on.
    type: str
    default: ''
  domain:
    description: For O(state=begun), the update domain of the host.
    type: str
    default: ''
  update:
    description: What the update is, for O(state=begun) and for RV(had). Equal updates have equal texts.
    type: str
    default: ''
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
seealso:
  - plugin: vm_preserving.maintenance.update_domain
    plugin_type: strategy
"""

EXAMPLES = r"""
- name: Hold the host
  vm_preserving.maintenance.host_rollout:
    state: claimed
    rollout: 20261127T0200-4f1c
    by: anna@controller1

- name: See what was done to it
  vm_preserving.maintenance.host_rollout:
    rollout: 20261127T0200-4f1c
"""

RETURN = r"""
claim:
  description: Who holds the host, V(null) when nobody does.
  returned: success
  type: dict
  contains:
    rollout:
      description: The id of the rollout.
      type: str
    by:
      description: Who has started it, and where.
      type: str
    since:
      description: Since when, ISO 8601 in UTC.
      type: str
last:
  description: The latest update of the host in O(rollout), V(null) when there was none.
  returned: success
  type: dict
had:
  description: Whether the host has had O(update) in O(rollout), by its latest update there, which is V(done).
  returned: success
  type: bool
longest:
  description: How many seconds the longest of RV(updates) took that ended as V(done), V(null) when there is none.
  returned: success
  type: float
updates:
  description: The updates of the host in all rollouts, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    rollout:
      description: The id of the rollout.
      type: str
    domain:
      description: The update domain of the host.
      type: str
    update:
      description: What the update was, as O(update).
      type: str
    began_at:
      description: Seconds since the epoch, by the host's clock.
      type: float
    ended_at:
      description: The same, V(null) while it goes on.
      type: float
    outcome:
      description: V(done), V(failed), V(interrupted), or V(null) while it goes on.
      type: str
error:
  description: What went wrong, as C(code) (V(claimed), V(rollout), V(ledger), V(window_busy)) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.host_rollout import host_rollout


def main() -> None:
    """The module."""
    options = {
        "state": {"type": "str", "choices": ["read", "claimed", "begun", "done", "failed", "released"], "default": "read"},
        "rollout": {"type": "str", "required": True},
        "by": {"type": "str", "default": ""},
        "take_over": {"type": "str", "default": ""},
        "domain": {"type": "str", "default": ""},
        "update": {"type": "str", "default": ""},
    }
    _module.run(options, host_rollout, needs_libvirt=False)


if __name__ == "__main__":
    main()
