#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_stop
short_description: Shut guests down for an update of their host that they cannot be kept through
version_added: 0.1.0
description:
  - Has the guests that are named, and no other, shut down by their agent or by ACPI, one after another, and waits until each is off. Their memory is lost. This
    is the last resort, for guests that can be neither moved nor saved, for example those with a device of the host.
  - M(vm_preserving.maintenance.guest_start) starts them again, in the order in which they were started before. They are shut down in the reverse of it.
  - Which guests are off is in the host's own record, so that they are started again whatever dies. The next run of the role
    P(vm_preserving.maintenance.host_update#role) does that, C(recover.yml) does, and a host that boots meanwhile does it by itself, after it has restored the
    guests that are saved. Guests that libvirt starts at boot (autostart) are not started by libvirt meanwhile.
  - Everything is judged before anything is touched. A guest that could not be started again as it was makes the module refuse, such as a transient one, or one
    with devices that its definition does not have. So does one with a job, and one that a cloud or a cluster manages.
  - Nothing is forced, unless O(force=true). When a guest has not shut down in time, those that have are started again at once, and the module fails. That guest
    runs on. Should it shut down within 10 minutes after it was asked, the host starts it again.
  - This module asks nobody. Whether a guest may be shut down is for whoever names it. The role asks the operator's variables and the guests' own metadata.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.managed
attributes:
  check_mode:
    support: full
    description: Judges everything, and touches nothing.
  diff_mode:
    support: none
    description: What changes is whether a guest runs, which is in the result.
  idempotent:
    support: none
    description: While guests are off a second call is refused.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host with systemd.
options:
  name:
    description: Names or UUIDs of the guests.
    type: list
    elements: str
    required: true
    aliases: [guest]
  timeout:
    description: Seconds that each guest has to shut down, from V(1) to V(7200).
    type: float
    default: 300
  force:
    description: Whether a guest that has not shut down by then is ended at once, as if its power failed. What it had not written to its disks is lost.
    type: bool
    default: false
seealso:
  - module: vm_preserving.maintenance.guest_start
  - module: vm_preserving.maintenance.guest_save
"""

EXAMPLES = r"""
- name: Shut down the guest with the graphics card
  vm_preserving.maintenance.guest_stop:
    name: [gpu1]
  register: stopped

- name: Update the host
  ansible.builtin.include_tasks: update.yml

- name: Start it again
  vm_preserving.maintenance.guest_start:
    stop_id: "{{ stopped.stop_id }}"
"""

RETURN = r"""
stop_id:
  description: The id of the record of the guests; V(null) in check mode.
  returned: success
  type: str
guests:
  description: The guests, in the order in which they are started again, also on failure.
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
    before:
      description: State and reason before this call.
      type: dict
    blockers:
      description: Why it cannot be shut down and started again, each with C(code) and C(message).
      type: list
      elements: dict
    changed:
      description: Whether it is off.
      type: bool
    outcome:
      description: V(stopped); V(started), it was shut down and runs again, because another did not shut down; V(untouched), it was not asked. V(null) in check
        mode, and of one that was asked and has not shut down.
      type: str
    message:
      description: The outcome in words.
      type: str
    forced:
      description: Whether it was ended by force.
      type: bool
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_stop import stop_guests


def main() -> None:
    """The module."""
    options = {
        "name": {"type": "list", "elements": "str", "aliases": ["guest"], "required": True},
        "timeout": {"type": "float", "default": 300},
        "force": {"type": "bool", "default": False},
    }
    _module.run({**_module.URI, **_module.MANAGED, **options}, stop_guests, empty={"guests": []})


if __name__ == "__main__":
    main()
