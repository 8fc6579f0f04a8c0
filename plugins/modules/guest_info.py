#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_info
short_description: What is known of the guests of a host, and what blocks their pause or their refresh
version_added: 0.1.0
description:
  - Returns the active guests of a KVM/libvirt host with their state, the identity of their QEMU process, their agent, and everything that
    forbids pausing them, or moving them to another QEMU.
  - Also returns the pause window in the host's ledger, open or closed.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.reads
attributes:
  idempotent:
    support: full
    description: Changes nothing.
options:
  boot_id:
    description:
      - Ask the agent of each running guest for its operating system and, unless that is Windows, for the boot id of Linux, which changes when the
        guest is rebooted. Windows has nothing like it that an agent can read.
      - libvirt notes the use of a raw agent command in its log of the guest.
    type: bool
    default: false
  agent_timeout:
    description: Seconds for each answer of a guest agent.
    type: int
    default: 5
  expect_agents:
    description:
      - Names or UUIDs of guests whose agents answered before. With O(boot_id) those that run and do not answer are asked again for up to 30 seconds, because
        a guest that its owner has just rebooted needs a while.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at the guests
  vm_preserving.maintenance.guest_info:
  register: found

- name: Show what blocks a pause
  ansible.builtin.debug:
    msg: "{{ found.guests | selectattr('blockers.pause') | map(attribute='name') | list }}"
"""

RETURN = r"""
guests:
  description: The active guests, paused ones included, by name; also on failure.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: libvirt's name.
      type: str
    uuid:
      description: libvirt's UUID.
      type: str
    id:
      description: libvirt's id of this run of the guest.
      type: int
    state:
      description: libvirt's word.
      type: str
      sample: running
    reason:
      description: libvirt's reason of the state.
      type: str
      sample: booted
    persistent:
      description: Whether libvirt keeps its definition when it ends.
      type: bool
    memory:
      description: Its memory in bytes.
      type: int
    agent:
      description: V(connected), V(disconnected), or V(absent) without a channel for it.
      type: str
    availability_set:
      description:
        - The availability set that its own libvirt metadata names, V(null) without one. What the inventory says is not looked at here.
      type: str
      sample: web
    stop_allowed:
      description:
        - Whether its own libvirt metadata lets it be shut down for its host's update where it cannot be kept (C(stop="allowed") of its policy), see
          M(vm_preserving.maintenance.guest_stop).
      type: bool
    managed_by:
      description:
        - Who else manages the guest and watches its state, such as a cloud or a cluster; empty when nothing does. For each C(manager), C(resource) (what
          Pacemaker calls the guest) and C(maintenance), the kinds of maintenance mode that it is seen to be in.
      type: list
      elements: dict
      sample: [{manager: pacemaker, resource: vm_web1, maintenance: [resource]}]
    fallback:
      description:
        - Why only libvirt could resume it after a pause, as C(code) and C(message), see O(vm_preserving.maintenance.guest_pause#module:fallback).
        - V(null) when QEMU's own monitor can be used.
      type: dict
    process:
      description: C(pid) and C(start_time) (clock ticks since boot) of its QEMU, V(null) when unknown.
      type: dict
    os:
      description: What its agent calls its operating system, V(null) when O(boot_id) is false or it is not available. Not to be trusted.
      type: str
      sample: mswindows
    boot_id:
      description: Its boot id, V(null) when not asked for or not available.
      type: str
    memory_in_place:
      description:
        - C(qualifies), whether M(vm_preserving.maintenance.guest_refresh) can leave its memory in place; C(reason), why not, V(null) when it can.
        - C(folder), the C(memory_backing_dir) that its memory files are under, V(null) when it has none there.
        - M(vm_preserving.maintenance.guest_memory) says whether it qualifies after its next start.
      type: dict
      sample: {"qualifies": true, "reason": null, "folder": "/dev/shm"}
    blockers:
      description:
        - Under C(pause), everything that forbids pausing it; under C(refresh), everything about the guest itself that keeps
          M(vm_preserving.maintenance.guest_refresh) from moving it to another QEMU. Each with C(code) and C(message).
        - Which QEMU is installed, what the running one says, how long a guest would be away and whether the host has the memory for a copy is not judged
          here; guest_refresh in check mode does.
      type: dict
    error:
      description: Why the rest is missing, as C(code) and C(message).
      returned: when it did not answer
      type: dict
inactive:
  description: The guests that are defined on the host and do not run, with libvirt's reason why.
  returned: success
  type: list
  elements: dict
  sample: [{name: web2, uuid: 2b7d5f0e-1d7c-4a53-9c58-0b6d7f7f9f10, state: shutoff, reason: shutdown}]
window:
  description: The last pause window in the ledger, V(null) when there never was one.
  returned: success
  type: dict
saved:
  description:
    - The guests that were saved last on this host, by M(vm_preserving.maintenance.guest_refresh) or M(vm_preserving.maintenance.guest_save); V(null) when
      there never were any.
    - While its C(open) is true a guest may be saved and not back; M(vm_preserving.maintenance.guest_resume) brings it back.
  returned: success
  type: dict
stopped:
  description:
    - The guests that were shut down last on this host by M(vm_preserving.maintenance.guest_stop); V(null) when there never were any.
    - While its C(open) is true a guest may be off; M(vm_preserving.maintenance.guest_start) starts it.
  returned: success
  type: dict
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_info import guest_info


def main() -> None:
    """The module."""
    options = {
        "boot_id": {"type": "bool", "default": False},
        "agent_timeout": {"type": "int", "default": 5},
        "expect_agents": {"type": "list", "elements": "str", "default": []},
    }
    _module.run({**_module.URI, **_module.NAME, **options}, lambda params, _check_mode: guest_info(params), empty={"guests": []})


if __name__ == "__main__":
    main()
