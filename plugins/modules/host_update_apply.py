#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_update_apply
short_description: Apply packages with the guests running, and hold back the restarts for which they have to be paused
version_added: 0.1.0
description:
  - Applies what was downloaded by the command C(stage) of M(vm_preserving.maintenance.host_update_info). What the packages' scripts would restart, start, stop
    or reload is held back meanwhile, so that the old services run on.
  - Then what needs no pause is restarted at once, and for the rest the commands are returned that M(vm_preserving.maintenance.preserved_command) runs while
    the guests are paused. A restart takes a fraction of the time that a package manager takes.
  - Each unit is restarted once, however often scripts ask for it, and systemd brings them into its order.
  - What is held back is on record in C(/run/vm_preserving/held_restarts) until it was done. A run that is cut short is carried on by the next, and after a boot
    there is nothing to do. Nothing on the host holds back the restarts of others.
  - Scripts that reach for the host's network or storage without asking systemd are not held back. See O(rules[].in_pause).
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.packages
attributes:
  check_mode:
    support: full
    description: Says whether there is something to do, and does nothing.
  diff_mode:
    support: none
    description: M(vm_preserving.maintenance.host_update_info) says which packages would change.
  idempotent:
    support: full
    description: With nothing pending and nothing held back by an earlier run, it does nothing.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
options:
  apply:
    description: Apply the packages. V(false) only does what an earlier run was cut short of.
    type: bool
    default: true
  restarts_in_pause:
    description:
      - V(needed) - those that a package asks for whose technique is V(pause), or whose unit such a package has.
      - V(all) - all of them. V(none) - none; everything is restarted at once.
    type: str
    choices: [needed, all, none]
    default: needed
  lock_timeout:
    description: Seconds to wait for another package manager to end. dnf waits as long as O(command_timeout).
    type: int
    default: 300
  command_timeout:
    description: Seconds for the package manager. Then its process group is ended.
    type: float
    default: 900
requirements:
  - python >= 3.9 on the host
  - root
  - systemd
seealso:
  - module: vm_preserving.maintenance.host_update_info
  - module: vm_preserving.maintenance.preserved_command
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Apply a new Open vSwitch while it goes on switching
  vm_preserving.maintenance.host_update_apply:
    packages: [openvswitch-switch]
  register: applied

- name: Restart it while the guests are paused
  vm_preserving.maintenance.preserved_command:
    commands: "{{ applied.commands }}"
  when: applied.commands
"""

RETURN = r"""
command:
  description: The package manager's run, with C(argv), C(rc), C(seconds), C(stdout) and C(stderr). V(null) when nothing was pending.
  returned: success, or when it failed
  type: dict
restarts:
  description: What was held back and has an effect, also by an earlier run.
  returned: success, or when the package manager failed
  type: list
  elements: dict
  contains:
    unit:
      description: The unit of systemd.
      type: str
    action:
      description: C(restart), C(try-restart) (only when it runs), C(start), C(stop) or C(reload).
      type: str
    packages:
      description: The packages whose scripts asked for it. Unknown, and so empty, where the package manager does not tell.
      type: list
      elements: str
    in_pause:
      description: Whether it is still to be done, while the guests are paused. V(false), it was done.
      type: bool
  sample:
    - {unit: openvswitch-switch.service, action: restart, packages: [openvswitch-switch], in_pause: true}
commands:
  description: What is still to be done, as argument lists. The last one removes the record of it.
  returned: success
  type: list
  elements: list
  sample:
    - [systemctl, restart, openvswitch-switch.service]
    - [rm, -f, /run/vm_preserving/held_restarts]
problems:
  description: What could not be restarted, in sentences. That did not stop the rest.
  returned: success
  type: list
  elements: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.host_update_apply import apply_update


def main() -> None:
    """The module."""
    options = {
        **_module.PACKAGES,
        "apply": {"type": "bool", "default": True},
        "restarts_in_pause": {"type": "str", "choices": ["needed", "all", "none"], "default": "needed"},
        "lock_timeout": {"type": "int", "default": 300},
        "command_timeout": {"type": "float", "default": 900},
    }
    _module.run(options, apply_update, needs_libvirt=False)


if __name__ == "__main__":
    main()
