#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_memory
short_description: Show whether guests' memory can stay in place, and set what they need for it at their next start
version_added: 0.1.0
description:
  - M(vm_preserving.maintenance.guest_refresh) leaves the memory of a guest in place when it is shared files. This module says, for each guest whose definition
    libvirt keeps, whether that is so now and whether it will be so after its next start.
  - With O(apply) it changes the definitions of the named guests, C(<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>). NUMA cells and
    DIMMs that are private become shared, and C(discard) is removed. A running guest is not touched; the change counts from its next start (a reboot from
    inside is no start).
  - Guests with C(<hugepages/>), NVDIMMs, virtio-mem or virtio-pmem are refused, as only their owner can decide to give that up.
  - C(memory_backing_dir) in C(/etc/libvirt/qemu.conf) has to be on a RAM file system that has room for the memory of all such guests. This is checked, and
    never changed; the role P(vm_preserving.maintenance.guest_memory#role) can set it up.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
attributes:
  check_mode:
    support: full
    description: Says which definitions it would change, and changes none.
  diff_mode:
    support: full
    description: Shows what each changed definition says about memory, before and after.
  idempotent:
    support: full
    description: A definition that says what is needed is left as it is.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
options:
  uri:
    description: The libvirt URI. Only V(qemu:///system).
  name:
    description:
      - Names or UUIDs of guests that libvirt keeps a definition of, whether they run or not. Left empty, all of them; not with O(apply).
      - A name without a definition on the host is an error, and nothing is changed.
    type: list
    elements: str
    aliases: [guest]
    default: []
  apply:
    description: Change the definitions of the guests in O(name) where they do not say what is needed.
    type: bool
    default: false
seealso:
  - module: vm_preserving.maintenance.guest_refresh
  - module: vm_preserving.maintenance.guest_info
"""

EXAMPLES = r"""
- name: Which guests have memory that can stay in place
  vm_preserving.maintenance.guest_memory:
  register: memory

- name: Give one what it needs at its next start
  vm_preserving.maintenance.guest_memory:
    name: [web1]
    apply: true
"""

RETURN = r"""
guests:
  description: The guests, by name; also when refused.
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
    running:
      description: Whether it is active.
      type: bool
    now:
      description: C(qualifies), whether its memory can stay in place as it runs now; C(reason), why not. V(null) when it does not run.
      type: dict
    next_start:
      description: C(qualifies), whether it can after its next start, by its definition (in check mode, by the one that it would get); C(reason), why not.
      type: dict
    changed:
      description: Whether its definition was (in check mode, would be) changed.
      type: bool
    problem:
      description: Why its definition could not be read or cannot be changed; V(null) when there is nothing against it.
      type: str
folder:
  description:
    - Where libvirt puts memory files, C(path) (C(memory_backing_dir)), C(file_system), C(in_ram), C(dax) (it is persistent memory), C(size) in bytes.
    - C(problem), why they cannot go there and what to do about it; V(null) when they can.
  returned: when it could be found out
  type: dict
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_memory import guest_memory


def main() -> None:
    """The module."""
    _module.run({**_module.URI, **_module.NAME, "apply": {"type": "bool", "default": False}}, guest_memory, empty={"guests": []})


if __name__ == "__main__":
    main()
