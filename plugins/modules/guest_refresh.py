#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_refresh
short_description: Move running guests to the QEMU that is installed, with their memory kept
version_added: 0.1.0
description:
  - A guest goes on in the QEMU with which it was started, whatever is installed since. This module moves those that run another QEMU than the installed
    one, each by a save and a restore on the same host, in the state in which it was (running or paused).
  - Where the memory of a guest is a shared file it stays in place. Nothing of it is saved, only the state of the devices, and the pause hardly grows with the
    memory. The memory of all other guests is copied, through RAM.
  - The kernel takes its memory from the old QEMU page by page when that ends, which a large guest has to wait for. So before its pause, while it runs, memory
    that stays in place is gathered into pages of 2 MiB where that takes 0.1 s or more off the pause (from 1 to 2 GiB on). That takes a core of the host
    for as long as it takes to copy that memory, and no memory. No huge pages have to be set up for it. It needs Linux 6.1.
  - Everything is judged before anything is touched. A guest that cannot be saved, a file or a CPU feature that its next QEMU would not find, a QEMU that is
    older than the running one, a libvirt that does not understand the installed QEMU, too little memory for the copy, or a pause that is predicted to be
    longer than O(pause_limit) make the module refuse. C(docs/before_a_save.md) has all of it.
  - Before the first guest is saved, a guest of 16 MiB without disks and network is saved and restored on the installed QEMU, and thrown away, for each machine
    type in use. So an image that libvirt and the installed QEMU cannot restore is found while all guests run. It takes about 2 s, and is not done in
    check mode.
  - QEMU itself is asked whether a guest can be saved. libvirt marks the guest as tainted by that (C(custom-monitor)), also in check mode; nothing comes of it.
  - Before the first guest is saved, the host's ledger says which guests are moved and where their memory is, and a guard process on the host watches. When this
    module dies, the guard brings back every guest that was left saved. M(vm_preserving.maintenance.guest_resume) does so, too.
  - A save that takes too long is given up, and the guest runs on as before.
  - A guest that the installed QEMU does not take up comes back on the QEMU that it had, within O(pause_limit) where there is time for that. It counts as not
    moved, the next ones are not begun, and the message quotes the installed QEMU. M(vm_preserving.maintenance.guest_way_back), run before the packages are
    applied, keeps what that takes.
  - A guest moved in place shows a few additions to its command line in its live XML until its next normal start. They do nothing.
  - The lock of the host's package manager is held meanwhile. 30 s are waited for somebody else who holds it; then the module refuses.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.exclude
  - vm_preserving.maintenance.maintenance.clocks
  - vm_preserving.maintenance.maintenance.jobs
  - vm_preserving.maintenance.maintenance.managed
  - vm_preserving.maintenance.maintenance.quiesce
attributes:
  check_mode:
    support: full
    description: Judges everything, predicts the pause of each guest, and touches nothing but libvirt's mark that QEMU was asked.
  diff_mode:
    support: none
    description: What changes is the process of a guest, which is in the result.
  idempotent:
    support: full
    description: A guest that runs the installed QEMU is left alone.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
options:
  memory:
    description:
      - V(in_place), the memory of each guest has to stay in place, else it is refused.
      - V(copy), it is copied for all.
      - V(auto), in place where the guest qualifies, else by copy.
      - A guest qualifies when it was started with C(<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>), without C(<discard/>), with
        C(memory_backing_dir) in C(qemu.conf) on a RAM file system, and when no SELinux confines its QEMU. AppArmor is told what the new QEMU is handed, for
        just that guest and until it is back. Several NUMA cells and DIMMs are fine, C(<hugepages/>) and other memory devices are not.
        M(vm_preserving.maintenance.guest_memory) says which do, and sets what is needed.
    type: str
    choices: [auto, in_place, copy]
    default: auto
  pause_limit:
    description: Seconds that a guest may be away, from V(1) to V(600).
    type: float
    default: 30
  parallel:
    description: How many guests are moved at once. Less, when the host has no memory for that many copies.
    type: int
    default: 1
  on_blocked:
    description:
      - What is done when a guest that is to be moved cannot be.
      - V(refuse), nobody is moved, and the module fails with the reasons.
      - V(skip), the others are moved. It runs on its old QEMU, and RV(guests[].skipped) and RV(guests[].message) say so.
    type: str
    choices: [refuse, skip]
    default: refuse
  folder:
    description: A folder of our own for the images, on a RAM file system. It is made when it is missing.
    type: path
    default: /dev/shm/vm_preserving
seealso:
  - module: vm_preserving.maintenance.host_update_info
  - module: vm_preserving.maintenance.guest_resume
  - module: vm_preserving.maintenance.guest_memory
  - module: vm_preserving.maintenance.guest_way_back
"""

EXAMPLES = r"""
- name: See which guests run an old QEMU, and for how long each would be away
  vm_preserving.maintenance.guest_refresh:
  check_mode: true
  register: plan

- name: Move them, two at a time
  vm_preserving.maintenance.guest_refresh:
    parallel: 2
    pause_limit: 10
"""

RETURN = r"""
parallel:
  description: How many guests were moved at once.
  returned: success
  type: int
pause_limit:
  description: Seconds that a guest may be away, as it was asked for.
  returned: success
  type: float
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
    stale:
      description: Whether its QEMU ran (or in check mode, runs) code that is not what is installed, and it is not left alone.
      type: bool
    memory:
      description: V(in_place) or V(copy), how it was moved, or would be.
      type: str
    why_copy:
      description: Why its memory cannot stay in place; V(null) when it can.
      type: str
    predicted:
      description:
        - Seconds that it is predicted to be away when it is moved.
        - In place, from how fast this host takes ordinary pages, and pages that were gathered, from a process that ends. Huge pages cost nothing.
      type: float
    gathered:
      description: How much of its memory was gathered into pages of 2 MiB before its pause, bytes.
      type: int
    no_way_back:
      description: Why it could not come back (within O(pause_limit)) on the QEMU that it has, should the installed one not take it up; V(null) when it could.
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
      description:
        - Why it cannot be moved, each with C(code) and C(message). Also given for a guest that is not stale (yet); only those of stale guests are an error.
      type: list
      elements: dict
    live_xml_additions:
      description:
        - What the restore of a guest that was moved in place has added to C(qemu:commandline) in its live XML.
        - It does nothing, and is gone with the next normal start.
        - Empty when nothing was added.
      type: list
      elements: str
    changed:
      description: Whether it was moved.
      type: bool
    skipped:
      description: Whether it was to be moved, cannot be, and was left on its old QEMU, as O(on_blocked=skip) says.
      type: bool
    outcome:
      description:
        - V(restored), it is back on the installed QEMU; V(returned), it is back on the QEMU that it had; V(untouched), it runs on as before;
          V(gone), it has ended; V(not_ours), somebody started it anew meanwhile.
        - V(null) when it was not to be moved, or is not back yet.
      type: str
    message:
      description: The outcome in words.
      type: str
    paused_for:
      description: Seconds from before the save until it was back, which is the longest that the pause can have been.
      type: float
    clock:
      description:
        - What became of its clock after it ran again. C(verdict) as in M(vm_preserving.maintenance.guest_clock), C(before) and C(after) the correction
          (C(offset) and C(bound) in seconds), C(changed), C(error), C(reference) (what it was held
          against, in words) and C(set_after), the seconds from its own resume to the end of the check.
        - V(null) when its clock was not our business, or it has not been looked at yet.
      type: dict
      sample: {verdict: in_sync, before: {offset: -2.01, bound: 0.0004}, after: {offset: 0.0001, bound: 0.0004}, changed: true, set_after: 0.031,
        reference: a host clock that is synchronized (within 0.021 s), error: null}
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_refresh import DEFAULT_FOLDER, ON_BLOCKED, REFUSE_ALL, refresh_guests


def main() -> None:
    """The module."""
    options = {
        "memory": {"type": "str", "choices": ["auto", "in_place", "copy"], "default": "auto"},
        "parallel": {"type": "int", "default": 1},
        "on_blocked": {"type": "str", "choices": list(ON_BLOCKED), "default": REFUSE_ALL},
        "folder": {"type": "path", "default": DEFAULT_FOLDER},
    }
    common = {**_module.URI, **_module.NAME, **_module.EXCLUDE, **_module.PAUSE_LIMIT, **_module.CLOCKS, **_module.JOBS, **_module.MANAGED, **_module.QUIESCE}
    _module.run({**common, **options}, refresh_guests, empty={"guests": []})


if __name__ == "__main__":
    main()
