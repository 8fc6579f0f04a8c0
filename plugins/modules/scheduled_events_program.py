#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: scheduled_events_program
short_description: Keep the program of scheduled events on a host
version_added: 0.1.0
description:
  - Writes the program to a file on the host that P(vm_preserving.maintenance.scheduled_events#role) runs there as two services. C(python3 PATH serve) answers
    guests, C(python3 PATH watch) sees which there are, and C(python3 PATH clear) removes the addresses and rules that C(watch) has made.
  - Everybody on the host may read it.
options:
  path:
    description: Where to put it. The folder has to exist.
    type: path
    required: true
  state:
    description: Whether it should be there.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - python >= 3.9 on the host
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.file
attributes:
  idempotent:
    support: full
    description: A program that is there already is not written again.
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Keep the program on the host
  vm_preserving.maintenance.scheduled_events_program:
    path: /usr/local/lib/vm_preserving/scheduled_events.pyz
"""

RETURN = r"""
path:
  description: Where it is, or was.
  returned: success
  type: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_events_program import keep_program


def main() -> None:
    """The module."""
    options = {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    _module.run(
        options, lambda params, check_mode: keep_program(params["path"], params["state"] == "present", check_mode), needs_libvirt=False,
    )


if __name__ == "__main__":
    main()
