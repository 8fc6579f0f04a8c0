#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: persistent_memory_info
short_description: Tell which RAM of a host can be set aside for guests, and whether it is
version_added: 0.1.0
description:
  - The kernel parameter C(memmap=SIZE!START) sets a range of RAM aside as persistent memory. What is in it stays when another kernel is started by kexec with
    the same parameter.
  - This module tells which range that is on a host, refuses what is not possible, and says whether the running kernel has set it aside and whether each
    kernel that the boot loader can start will. The role P(vm_preserving.maintenance.persistent_memory#role) sets it up.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.reads
attributes:
  idempotent:
    support: full
    description: Changes nothing.
options:
  size:
    description:
      - How much RAM is to be set aside, for example V(200G); a multiple of 128 MiB. Left empty, only what the boot loader's configuration says is returned.
      - It has to be in one piece of RAM above 4 GiB and in one NUMA node, and leave 1 GiB to the host.
    type: str
    default: ""
  start:
    description: Its physical address, for example V(4G). Left empty, the lowest at which it is possible.
    type: str
    default: ""
requirements:
  - python >= 3.9 on the host
  - root
  - x86_64, and update-grub (Debian, Ubuntu) or grubby (RHEL family)
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Which RAM would be set aside
  vm_preserving.maintenance.persistent_memory_info:
    size: 200G
  register: memory
"""

RETURN = r"""
boot_loader:
  description: What its configuration is changed with, V(grub) (update-grub) or V(grubby).
  returned: success
  type: str
kernels:
  description: The file names of the kernels that it can start.
  returned: success
  type: list
  elements: str
arguments:
  description: The kernel parameters of these that set persistent memory aside.
  returned: success
  type: list
  elements: str
reservation:
  description: The range.
  returned: with O(size)
  type: dict
  contains:
    argument:
      description: The kernel parameter.
      type: str
    start:
      description: Its first byte.
      type: int
    size:
      description: Its bytes.
      type: int
    node:
      description: The NUMA node that it is in, by the host's firmware; V(null) when that tells of none.
      type: int
    left:
      description: The RAM that is left to the host, bytes.
      type: int
    device:
      description: The device that the running kernel has made of exactly this range; V(null) when there is none.
      type: str
    effective:
      description: Whether the running kernel was told to set it aside, and did.
      type: bool
    missing:
      description: The kernels that are not told so at their next start.
      type: list
      elements: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.persistent_memory_info import persistent_memory_info


def main() -> None:
    """The module."""
    _module.run({"size": {"type": "str", "default": ""}, "start": {"type": "str", "default": ""}}, persistent_memory_info, needs_libvirt=False)


if __name__ == "__main__":
    main()
