#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: scheduled_event_info
short_description: Tell what is announced to the guests of a host, and which of them can learn of it
version_added: 0.1.0
description:
  - Returns the events that M(vm_preserving.maintenance.scheduled_event) has announced on a host, which guests have approved them, and how the service is that
    shows them to guests.
  - Asks libvirt nothing, and answers also when libvirt does not.
options:
  wait:
    description:
      - Seconds to wait until the service answers, V(86400) at the most. With V(0) it is asked once.
      - That it does not answer then is no failure; RV(service) says it. Where nothing is set up, nothing is waited for.
    type: float
    default: 0
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.reads
attributes:
  idempotent:
    support: full
    description: Changes nothing.
requirements:
  - python >= 3.9 on the host
  - root
seealso:
  - module: vm_preserving.maintenance.scheduled_event
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See who can be told
  vm_preserving.maintenance.scheduled_event_info:
  register: told

- name: Name the guests that cannot
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.why_not }}"
  loop: "{{ told.guests | rejectattr('reachable') }}"
  loop_control:
    label: "{{ item.name }}"

- name: Give the service a moment, for it was just started
  vm_preserving.maintenance.scheduled_event_info:
    wait: 10
"""

RETURN = r"""
installed:
  description: Whether scheduled events are set up on the host. Without them all lists are empty.
  returned: success
  type: bool
service:
  description:
    - What the service says of itself, V(null) when it does not answer. C(pid), C(started) (seconds since the epoch), C(listening) (bridges), C(deaf) (why
      not at others), C(asked) (by UUID, when a guest last asked, seconds since the epoch), C(waiting) (events whose approval could not be written yet) and
      C(trouble) (what it cannot read).
  returned: success
  type: dict
events:
  description: What is announced.
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
guests:
  description: The running guests.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: libvirt's name.
      type: str
    uuid:
      description: libvirt's UUID.
      type: str
    resource:
      description: The name that guests know it by.
      type: str
    availability_set:
      description: Its availability set, or V(null).
      type: str
    reachable:
      description: Whether it can ask. Whether anything in it does is told by RV(guests[].asked_at).
      type: bool
    why_not:
      description: Why it cannot, or V(null).
      type: str
    asked_at:
      description: When it last asked, seconds since the epoch; V(null) when it has not since the service was started.
      type: float
error:
  description: What went wrong, as C(code) (V(spool), V(limit)) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_event_info import info


def main() -> None:
    """The module."""
    _module.run({"wait": {"type": "float", "default": 0}}, lambda params, _check_mode: info(params["wait"]), needs_libvirt=False)


if __name__ == "__main__":
    main()
