#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_journal
short_description: Keep the controller's journal of a rollout
version_added: 0.1.0
description:
  - A rollout is one update of the hosts of an inventory, one update domain after another. Its journal says what was done to which host, so that the playbook
    carries it on when it is run again, whatever died.
  - The journal is a file on the controller, a line of JSON for each event, on disk before anything goes on.
  - Everything happens on the controller; nothing is sent to the host of the task.
attributes:
  check_mode:
    support: full
    description: A rollout that must not be carried on is refused all the same. Nothing is written, so O(state=may_begin) does not fail.
  diff_mode:
    support: none
    description: The journal is only added to.
  idempotent:
    support: partial
    description: Every event is one more line. A rollout that is not closed is opened again as the same.
  platform:
    support: full
    platforms: posix
    description: The controller.
options:
  state:
    description:
      - V(opened) - the rollout that is not closed is carried on, or a new one is begun. Refused while ansible-playbook is at work on it, or may be, on
        another machine, and when the update domains of the inventory have changed since.
      - V(may_begin) - fails unless every host of the run in an earlier update domain is V(proved) in this run.
      - V(begun), V(done), V(failed), V(skipped), V(cleaned), V(proved) - what became of the host.
      - V(closed) - the rollout is over. Fails if a host of the run is not V(done) or V(skipped). It stays open while that is so of a host of an earlier run of
        it, which C(--limit) leaves out now.
    type: str
    choices: [opened, may_begin, begun, done, failed, skipped, cleaned, proved, closed]
    required: true
  folder:
    description: The folder of the journals of a fleet, on the controller. A place that outlives it, and that all who update the fleet share, is best.
    type: path
    required: true
  rollout:
    description: The id of the rollout, as O(state=opened) returned it.
    type: str
    default: ''
  by:
    description: For O(state=opened), who starts it, for people.
    type: str
    default: ''
  domains_changed:
    description: For O(state=opened), whether a rollout is carried on whose hosts are in other update domains by now.
    type: str
    choices: [refuse, accept]
    default: refuse
  take_over:
    description:
      - For O(state=opened), the id of a rollout that has died and is not to be carried on. Its journal is closed.
      - Refused while its ansible-playbook is seen to be at work.
    type: str
    default: ''
  update:
    description: For O(state=begun), what the update is. Equal updates have equal texts.
    type: str
    default: ''
  cleans_up:
    description: For O(state=begun), whether tasks that clean up are due once it ends, until O(state=cleaned).
    type: bool
    default: false
  window_start:
    description:
      - For O(state=opened) and O(state=may_begin), when the maintenance window begins, a date with a time in ISO 8601. Without a time zone it is the
        controller's.
      - Or a time of day C(HH:MM), with one in O(window_end), for a window of every day. It may go over midnight.
    type: str
    default: ''
  window_end:
    description: When it ends, as O(window_start).
    type: str
    default: ''
  expected:
    description: For O(state=may_begin), how many seconds the update domain is expected to last. It has to end in the window.
    type: float
    default: 0
  max_failed_hosts:
    description: For O(state=may_begin), how many hosts of the run need not be V(proved), a number or a percentage such as V("10%"). By default none.
    type: str
  max_parallel_hosts:
    description: For O(state=opened), how many hosts of an update domain have the same C(turn) in RV(hosts). By default all.
    type: str
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
seealso:
  - module: vm_preserving.maintenance.host_rollout
"""

EXAMPLES = r"""
- name: Begin a rollout, or carry on the one that was begun
  vm_preserving.maintenance.rollout_journal:
    state: opened
    folder: ~/.ansible/vm_preserving/rollouts
    by: anna@controller1
  run_once: true
  register: opened

- name: See that the update domains before are done
  vm_preserving.maintenance.rollout_journal:
    state: may_begin
    folder: ~/.ansible/vm_preserving/rollouts
    rollout: "{{ opened.rollout }}"
"""

RETURN = r"""
rollout:
  description: The id of the rollout.
  returned: O(state=opened)
  type: str
journal:
  description: The path of its journal.
  returned: O(state=opened)
  type: str
carried_on:
  description: Whether it was begun by an earlier run.
  returned: O(state=opened)
  type: bool
keeper:
  description: The first host of the fleet, which is held by every rollout.
  returned: O(state=opened)
  type: str
domains:
  description: The update domains of the fleet in their order, each with C(name) and C(hosts).
  returned: O(state=opened)
  type: list
  elements: dict
hosts:
  description: The hosts of the run in the order of their update domains, each with C(name) and C(turn), the number of its domain from 0 on.
  returned: O(state=opened)
  type: list
  elements: dict
unclean:
  description: The hosts that were V(begun) with O(cleans_up) in an earlier run, and not V(cleaned) since.
  returned: O(state=opened)
  type: list
  elements: str
left:
  description: The hosts of the run that are not done in this rollout. With O(state=closed), those of earlier runs, which keep it open.
  returned: O(state=opened) or O(state=closed)
  type: list
  elements: str
"""
