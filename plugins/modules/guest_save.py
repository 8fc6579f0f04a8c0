#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_save
short_description: Save all guests of a host to disk, so that the host can be rebooted
version_added: 0.1.0
description:
  - Saves every running guest of the host with its memory, also those that are paused and those that are transient. Persistent guests go into libvirt's managed
    save, so that nothing but their saved memory is ever started, whoever starts them; transient ones into files of our own beside the ledger.
  - The host restores them by itself when it has booted, in the order in which they were started, each running or paused as it was.
    M(vm_preserving.maintenance.guest_restore) waits for that, and does it where the host has not. Guests that libvirt starts at boot (autostart) are not
    started by libvirt this time.
  - Everything is judged before anything is touched. A guest that cannot be saved, a file or a CPU feature that its next QEMU would not find, too little room
    on the disk, too little memory for what guests grow by when they are back, or a guest that would be away for longer than O(pause_limit) make the module
    refuse. A reboot affects every guest, so none can be left out. C(docs/before_a_save.md) has all of it.
  - Before the first guest is saved, a guest of 16 MiB without disks and network is saved and restored on the installed QEMU, and thrown away, for each machine
    type in use. So an image that libvirt and the installed QEMU cannot restore is found while all guests run. It takes about 2 s, and is not done in
    check mode.
  - QEMU itself is asked whether a guest can be saved. libvirt marks the guest as tainted by that (C(custom-monitor)), also in check mode; nothing comes of it.
  - A guest that the QEMU installed by then does not take up comes back on the QEMU that it had, on either side of the boot. What that takes is kept on the
    disk. M(vm_preserving.maintenance.guest_way_back), run before packages are applied, keeps it whole.
  - Guests that the host's libvirt does not know, such as those of a user's session, or QEMUs started without libvirt, are named, and refused as well.
  - When a guest cannot be saved after all, those that were are restored at once, and the module fails.
  - Reboot the host by RV(reboot_command), which refuses when the guests are not saved any more, or when a guest runs. When the reboot does not come within
    O(pause_limit), the guard on the host brings the guests back.
  - The lock of the host's package manager is held meanwhile. 30 s are waited for somebody else who holds it; then the module refuses.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.clocks
  - vm_preserving.maintenance.maintenance.jobs
  - vm_preserving.maintenance.maintenance.managed
  - vm_preserving.maintenance.maintenance.quiesce
attributes:
  check_mode:
    support: full
    description: Judges everything, predicts for how long each guest will be away, and touches nothing but libvirt's mark that QEMU was asked.
  diff_mode:
    support: none
    description: What changes is the process of a guest, which is in the result.
  idempotent:
    support: none
    description: While guests are saved a second call is refused.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host with systemd.
options:
  first:
    description: Names or UUIDs of guests that are restored first, in this order. The others follow, in the order in which they were started.
    type: list
    elements: str
    default: []
  pause_limit:
    description:
      - Seconds that a guest may be away, from V(1) to V(7200).
      - Nothing can resume a guest while its host boots, so this limit is what the prediction is held against, and when the guard gives up waiting for the
        reboot. It cannot be enforced as that of a pause.
    type: float
    default: 900
  stopped:
    description:
      - UUIDs of guests that M(vm_preserving.maintenance.guest_stop) will have shut down by then. In check mode they are not judged.
      - Outside of check mode it is of no effect. One that still runs is judged, and refused, as any other.
    type: list
    elements: str
    default: []
  reboot_time:
    description:
      - Seconds that the reboot is taken to last, from the end of the last save to the first restore.
      - Left out, what the last one on this host lasted; before the first, V(300).
    type: float
seealso:
  - module: vm_preserving.maintenance.guest_restore
  - module: vm_preserving.maintenance.guest_refresh
  - module: vm_preserving.maintenance.guest_way_back
  - module: vm_preserving.maintenance.guest_stop
"""

EXAMPLES = r"""
- name: Save the guests
  vm_preserving.maintenance.guest_save:
  register: saved

- name: Reboot the host
  ansible.builtin.reboot:
    reboot_command: "{{ saved.reboot_command | join(' ') }}"

- name: See that they are back
  vm_preserving.maintenance.guest_restore:
    save_id: "{{ saved.save_id }}"
"""

RETURN = r"""
save_id:
  description: The id under which the guests are saved; V(null) in check mode.
  returned: success
  type: str
reboot_command:
  description: The command that reboots the host, if no guest loses its memory by that. Program and arguments, none of which holds a space.
  returned: success
  type: list
  elements: str
reboot_time:
  description: Seconds that the reboot is taken to last.
  returned: success
  type: float
guests:
  description: All guests of the host, in the order in which they are restored, also on failure.
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
    memory:
      description: V(managed), it goes into libvirt's managed save; V(copy), into a file of our own.
      type: str
    predicted:
      description: Seconds that it is predicted to be away.
      type: float
    no_way_back:
      description: Why it could not come back on the QEMU that it has, should the installed one not take it up; V(null) when it could.
      type: str
    quiesce:
      description: Whether its file systems are frozen by its agent before it is saved.
      type: bool
    files:
      description:
        - What its next QEMU will open, as C(path), C(what) it is to the guest, and C(by_name), whether QEMU looks for it by its name in several folders.
        - For M(vm_preserving.maintenance.host_update_files).
      type: list
      elements: dict
    blockers:
      description: Why it cannot be saved, each with C(code) and C(message).
      type: list
      elements: dict
    changed:
      description: Whether it was saved.
      type: bool
    outcome:
      description: V(saved); V(untouched), it runs on as before; V(restored), it was saved and is back, because another could not be. V(null) in check mode.
      type: str
    message:
      description: The outcome in words.
      type: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_save import save_guests


def main() -> None:
    """The module."""
    options = {
        "first": {"type": "list", "elements": "str", "default": []},
        "pause_limit": {"type": "float", "default": 900},
        "reboot_time": {"type": "float"},
        "stopped": {"type": "list", "elements": "str", "default": []},
    }
    _module.run({**_module.URI, **_module.CLOCKS, **_module.JOBS, **_module.MANAGED, **_module.QUIESCE, **options}, save_guests, empty={"guests": []})


if __name__ == "__main__":
    main()
