#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: scheduled_event
short_description: Tell guests of an update ahead, wait until they are ready, and say when it begins and is over
version_added: 0.1.0
description:
  - Announces events to the guests of a host, in the words of Azure's Scheduled Events. The service that P(vm_preserving.maintenance.scheduled_events#role)
    sets up shows them to each guest and to the others of its availability set, and takes approvals.
  - The guests of a set on other hosts see an event when it is announced there as well, with the same O(events[].id) and O(events[].not_before).
  - An event goes with all that was said of it when it is over or cancelled. One that nobody started is not shown any more an hour after its notice.
  - Nothing is lost when this module, the service or the host ends at any moment.
attributes:
  check_mode:
    support: full
    description: Says whether something would change, with ids that are not used, and waits for nobody.
  diff_mode:
    support: full
    description: The events of O(host) before and after.
  idempotent:
    support: full
    description: An event of the same guest and type that waits already is kept, with its id, its time and its approval.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
options:
  state:
    description:
      - V(scheduled) - O(events) are announced. Other events of O(host) are over, also those that an earlier run has started and not ended.
      - V(started) - they begin.
      - V(completed) - they are over. Each guest still sees its event for ten seconds, for it may have been paused itself.
      - V(cancelled) - they do not come. One that has begun is over. Where nothing is set up, neither this nor V(completed) has anything to do.
    type: str
    choices: [scheduled, started, completed, cancelled]
    required: true
  host:
    description: The inventory name of the host that is updated. It need not be the one on which this runs.
    type: str
    required: true
  id:
    description: Ids of the events. Left out, all of O(host). Not for O(state=scheduled).
    type: list
    elements: str
  events:
    description: For O(state=scheduled), one event for each guest.
    type: list
    elements: dict
    default: []
    suboptions:
      guest:
        description: The guest's UUID.
        type: str
        required: true
      name:
        description: libvirt's name of the guest.
        type: str
        required: true
      type:
        description: V(Freeze) when its memory is kept, V(Reboot) when it is lost. The others are as Azure has them.
        type: str
        choices: [Freeze, Reboot, Redeploy, Preempt, Terminate]
        default: Freeze
      duration:
        description: Seconds that it is expected to be away; V(-1) when that is not known.
        type: int
        default: -1
      description:
        description: A sentence for the guest's users.
        type: str
        default: ""
      resource:
        description: The name that guests know it by. Left out, what the settings of the service or the guest's metadata say, else O(events[].name).
        type: str
      availability_set:
        description: Its availability set. Left out, what the settings or its metadata say, else it has none.
        type: str
      id:
        description: The id that the event has on another host already.
        type: str
      not_before:
        description: What it was announced with there, seconds since the epoch.
        type: int
  source:
    description: V(User) when an operator of the guest has asked for it.
    type: str
    choices: [Platform, User]
    default: Platform
  notice:
    description: Seconds of notice for events that are new. Azure gives 15 minutes.
    type: int
    default: 900
  approved:
    description: Approvals that were given on other hosts, to be noted here as well.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The event.
        type: str
        required: true
      guest:
        description: The UUID of the guest that has approved it.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
      at:
        description: When, seconds since the epoch.
        type: float
        required: true
  wait:
    description: Seconds to wait until all of the events may begin, because they were approved or their notice is over. It is no failure when they may not yet.
    type: float
    default: 0
requirements:
  - python >= 3.9 on the host
  - root
seealso:
  - module: vm_preserving.maintenance.scheduled_event_info
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Tell a guest that it will be paused for five seconds in a quarter of an hour
  vm_preserving.maintenance.scheduled_event:
    state: scheduled
    host: "{{ inventory_hostname }}"
    events:
      - guest: 6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab
        name: web1
        duration: 5
        description: The host is updated, and the virtual machine is paused meanwhile.

- name: Wait until it is ready, or its notice is over
  vm_preserving.maintenance.scheduled_event:
    state: scheduled
    host: "{{ inventory_hostname }}"
    events: "{{ announced }}"
    wait: 60
  register: events
  until: events.due
  retries: 20
  delay: 0

- name: Say that it begins
  vm_preserving.maintenance.scheduled_event:
    state: started
    host: "{{ inventory_hostname }}"

- name: Say that it is over
  vm_preserving.maintenance.scheduled_event:
    state: completed
    host: "{{ inventory_hostname }}"
"""

RETURN = r"""
events:
  description: The events of O(host) that this was about, as they are now; not those that are gone.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: A GUID in upper case, the same from the announcement to the end.
      type: str
    guest:
      description: The guest's UUID.
      type: str
    name:
      description: libvirt's name of the guest.
      type: str
    resources:
      description: The names that guests know it by.
      type: list
      elements: str
    availability_set:
      description: The set whose other guests see the event, too; V(null) without one.
      type: str
    type:
      description: C(Freeze), C(Reboot) or another of Azure's types.
      type: str
    status:
      description: C(Scheduled), C(Started) or, for ten seconds after it was over, C(Completed).
      type: str
    host:
      description: The inventory name of the host that is updated.
      type: str
    not_before:
      description: When it begins at the earliest unless it is approved, seconds since the epoch.
      type: int
    notice:
      description: Seconds that were promised.
      type: int
    duration:
      description: Seconds that the guest is expected to be away; V(-1) when that is not known.
      type: int
    description:
      description: A sentence for the guest's users.
      type: str
    approved:
      description: Whether a guest has said that it may begin at once.
      type: bool
    approved_by:
      description: libvirt's name of that guest, or V(null).
      type: str
    approved_by_guest:
      description: Its UUID, or V(null).
      type: str
    approved_at:
      description: When, seconds since the epoch, or V(null).
      type: float
    given:
      description: Seconds of notice that there were when it began; V(null) before.
      type: float
    seconds_left:
      description: Seconds of the notice that are left, by a clock that nobody sets.
      type: float
    due:
      description: Whether it may begin.
      type: bool
all_approved:
  description: Whether all of RV(events) are approved.
  returned: success
  type: bool
due:
  description: Whether all of RV(events) may begin.
  returned: success
  type: bool
error:
  description: What went wrong, as C(code) (V(not_installed), V(spool), V(event), V(limit)) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_event import announce


def main() -> None:
    """The module."""
    events = {
        "guest": {"type": "str", "required": True}, "name": {"type": "str", "required": True},
        "type": {"type": "str", "choices": ["Freeze", "Reboot", "Redeploy", "Preempt", "Terminate"], "default": "Freeze"},
        "duration": {"type": "int", "default": -1}, "description": {"type": "str", "default": ""}, "resource": {"type": "str"},
        "availability_set": {"type": "str"}, "id": {"type": "str"}, "not_before": {"type": "int"},
    }
    approved = {
        "id": {"type": "str", "required": True}, "guest": {"type": "str", "required": True}, "name": {"type": "str", "required": True},
        "at": {"type": "float", "required": True},
    }
    options = {
        "state": {"type": "str", "choices": ["scheduled", "started", "completed", "cancelled"], "required": True},
        "host": {"type": "str", "required": True},
        "id": {"type": "list", "elements": "str"},
        "events": {"type": "list", "elements": "dict", "default": [], "options": events},
        "source": {"type": "str", "choices": ["Platform", "User"], "default": "Platform"},
        "notice": {"type": "int", "default": 900},
        "approved": {"type": "list", "elements": "dict", "default": [], "options": approved},
        "wait": {"type": "float", "default": 0},
    }
    _module.run(options, announce, needs_libvirt=False)


if __name__ == "__main__":
    main()
