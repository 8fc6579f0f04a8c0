#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_way_back
short_description: Keep the QEMU that running guests have, before another one is installed
version_added: 0.1.0
description:
  - A newer QEMU can refuse the state of a guest that an older one has saved, and no version tells so beforehand. With the older one kept,
    M(vm_preserving.maintenance.guest_refresh), the guard on the host and the restore at boot bring such a guest back on it.
  - Run this before the packages are applied. What is kept is the program, its modules, its firmware and ROMs, and the libraries that it has loaded, once per
    build, in C(/var/lib/vm_preserving/qemu), by shared blocks or second names where the file system allows it, else by copy.
  - libvirt is asked whether it can start the guest's machine with what is kept.
  - What no guest needs any more, running or saved, is removed, by this module and whenever a refresh or reboot is finished.
  - M(vm_preserving.maintenance.guest_refresh) and M(vm_preserving.maintenance.guest_save) do this, too. Of a QEMU that was replaced by then, modules that the
    guest has not loaded cannot be had any more.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.exclude
attributes:
  check_mode:
    support: full
    description: Says of which guests the QEMU would be kept, and touches nothing.
  diff_mode:
    support: none
    description: What is kept is in the result.
  idempotent:
    support: full
    description: What is kept is not kept anew.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
seealso:
  - module: vm_preserving.maintenance.guest_refresh
  - module: vm_preserving.maintenance.guest_save
"""

EXAMPLES = r"""
- name: Keep the QEMU that the guests have
  vm_preserving.maintenance.guest_way_back:

- name: Install another one
  ansible.builtin.apt:
    name: qemu-system-x86
    state: latest

- name: Move the guests to it
  vm_preserving.maintenance.guest_refresh:
"""

RETURN = r"""
removed:
  description: The builds (build ids) of QEMU that no guest needed any more.
  returned: success
  type: list
  elements: str
guests:
  description: All guests that were looked at, also on failure.
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
    changed:
      description: Whether something of its QEMU was kept that had not been.
      type: bool
    kept:
      description: What starts the kept QEMU; V(null) when none is kept.
      type: str
    no_way_back:
      description: Why it could not come back on the QEMU that it has; V(null) when it could.
      type: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_way_back import keep_ways_back


def main() -> None:
    """The module."""
    _module.run({**_module.URI, **_module.NAME, **_module.EXCLUDE}, keep_ways_back, empty={"guests": []})


if __name__ == "__main__":
    main()
