#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_update_info
short_description: What a package update would change on a host
version_added: 0.1.0
description:
  - Asks the host's package manager what bringing some packages to their newest (or a named) version would change.
  - Returns the commands that stage the update while guests run, and that apply it.
  - An update that would remove a package is refused.
  - Knows apt.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.reads
attributes:
  idempotent:
    support: full
    description: Changes nothing but, with O(update_cache), the package lists.
options:
  packages:
    description: Package names, or C(name=version).
    type: list
    elements: str
    required: true
  default_release:
    description: apt's target release, for example a backports suite.
    type: str
  update_cache:
    description: Read the package lists anew before. Does so in check mode, too, because the answer depends on it.
    type: bool
    default: false
requirements:
  - python >= 3.9 on the host
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See what is pending
  vm_preserving.maintenance.host_update_info:
    packages: [libvirt-daemon-system]
    update_cache: true
  register: update

- name: Download it
  ansible.builtin.command:
    argv: "{{ update.commands.stage }}"
  when: update.pending
  changed_when: true
"""

RETURN = r"""
pending:
  description: The packages that would change; empty when there is nothing to do.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The package.
      type: str
    installed:
      description: Its version now, V(null) when it is not installed.
      type: str
    candidate:
      description: Its version after the update.
      type: str
commands:
  description: Argument lists, C(stage) to be run while guests run, and C(apply).
  returned: success
  type: dict
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._packages import update_info


def main() -> None:
    """The module."""
    options = {
        "packages": {"type": "list", "elements": "str", "required": True},
        "default_release": {"type": "str"},
        "update_cache": {"type": "bool", "default": False},
    }
    _module.run(
        options, lambda params, _check_mode: update_info(params["packages"], params["default_release"], params["update_cache"]),
        needs_libvirt=False,
    )


if __name__ == "__main__":
    main()
