# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that all modules share."""
from __future__ import annotations


class ModuleDocFragment:
    """The common options and attributes."""

    DOCUMENTATION = r"""
options:
  uri:
    description:
      - The libvirt URI of the host's own guests, V(qemu:///system) or V(qemu:///session).
      - Remote URIs are refused, as the guard has to run on the host whose guests it resumes.
    type: str
    default: qemu:///system
requirements:
  - python >= 3.9 on the host
  - python3-libvirt on the host, as the distribution ships it
  - root for V(qemu:///system)
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
attributes:
  action_group:
    description: Use C(group/vm_preserving.maintenance.maintenance) in C(module_defaults) to set O(uri) for all modules that have it.
    support: full
    membership: [vm_preserving.maintenance.maintenance]
"""

    NAMES = r"""
options:
  name:
    description:
      - Names or UUIDs of the guests, in the order in which they are served. Left empty, all running guests of the host.
      - A name that is no running guest of the host is an error, and nothing is touched.
    type: list
    elements: str
    aliases: [guest]
    default: []
"""

    SECOND_LOOK = r"""
options:
  second_look:
    description:
      - Seconds after the resume at which the guests are looked at once more. A guest whose storage has gone stops only with its next
        write; the module then fails and names it.
    type: float
    default: 2
"""

    EXCLUDE = r"""
options:
  exclude:
    description:
      - Names or UUIDs of guests that are left running. Names that do not exist on the host are of no consequence.
      - The owner of a guest can keep it out as well, by an element in its libvirt metadata,
        C(virsh metadata GUEST --live --config --uri urn:vm_preserving:maintenance:policy --key policy --set '<policy pause="never"/>').
    type: list
    elements: str
    default: []
"""

    CLOCKS = r"""
options:
  correct_clocks:
    description:
      - Whether the clock of each guest that was paused or saved is put right as soon as the guest runs again, by whoever resumes it, the guard on the
        host included. Only clocks that are proved to be wrong by more than O(clock_tolerance) are set. V(false) only measures them.
    type: bool
    default: true
  clock_tolerance:
    description: Seconds by which these clocks may differ from the host's.
    type: float
    default: 0.1
  target_offsets:
    description:
      - Seconds that a guest's clock should be ahead of the host's, by name or UUID of the guest. All others should be at V(0).
      - For guests that are off on purpose. Names that do not exist on the host are of no consequence.
    type: dict
    default: {}
"""

    JOBS = r"""
options:
  wait_for_jobs:
    description:
      - Seconds to wait for jobs on the guests to end, such as a backup or a block job, before anything is touched. A guest whose job goes on is refused.
      - At most V(86400), a day.
    type: float
    default: 0
"""

    QUIESCE = r"""
options:
  quiesce:
    description:
      - Names or UUIDs of guests whose file systems are frozen by their agent before they are saved, with the hooks that their owners have put there
        (C(fsfreeze-hook)), and thawed when they run again. Names that do not exist on the host are of no consequence.
      - The owner of a guest can ask for it as well, by C(<policy quiesce="yes"/>) in its libvirt metadata.
      - A guest whose agent cannot do that is refused. Whoever brings the guest back thaws it, the guard on the host included.
    type: list
    elements: str
    default: []
"""

    MANAGED = r"""
options:
  managed_guests:
    description:
      - What is done about guests that somebody else manages, such as OpenStack (nova), oVirt, OpenNebula, KubeVirt, CloudStack, ZStack or a Pacemaker cluster.
        To them a saved guest looks shut off. It is stopped, deleted in the books, or started anew while its memory lies on the disk. A pause is safe.
      - V(refuse) refuses such a guest before anything is touched, unless its manager is seen to be in its maintenance mode, and says how to put it there.
      - V(accept) leaves that to you.
    type: str
    choices: [refuse, accept]
    default: refuse
"""

    LIMITS = r"""
options:
  pause_limit:
    description:
      - Seconds that a guest may be paused, from V(1) to V(600).
      - The guard on the host resumes the guests so that they run again by then, whatever has died in between.
    type: float
    default: 30
  fallback:
    description:
      - What is done about a guest that only libvirt could resume, should libvirtd be gone at the deadline. That is a guest with leases under a lock manager
        (virtlockd, sanlock), which must not run without them, and one whose QEMU monitor cannot be reached.
      - V(required) refuses it before anything is touched.
      - V(preferred) pauses it all the same. Without libvirtd it stays paused past its deadline, until libvirtd is back.
    type: str
    choices: [required, preferred]
    default: required
  pause_budget:
    description:
      - Seconds within which all guests must have been paused, at most V(10). When one takes longer, all are resumed and the module fails.
    type: float
    default: 5
"""

    WRITES = r"""
attributes:
  check_mode:
    support: full
    description: Judges everything, says what it would do, and touches nothing.
  diff_mode:
    support: full
    description: Shows the state of each guest before and after.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
"""

    READS = r"""
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to show.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
"""

    FILE = r"""
attributes:
  check_mode:
    support: full
    description: Says what it would do, and touches nothing.
  diff_mode:
    support: none
    description: The file is a program in a zip; there is nothing to read in a difference.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host.
"""

    PACKAGES = r"""
options:
  packages:
    description:
      - Package names, or C(name=version), to be brought to their newest (or the named) version.
      - V(*) alone, or left empty, everything that is pending on the host. Packages that an upgrade needs are installed, and what could be upgraded only
        by removing a package is left as it is.
    type: list
    elements: str
    default: []
  only_upgrade:
    description:
      - Leave out which of O(packages) are not installed on the host, as a kernel's flavour on a fleet that has several. They are listed in C(not_installed).
      - V(false) installs them.
    type: bool
    default: true
  default_release:
    description: apt's target release, for example a backports suite. Not for dnf.
    type: str
  rules:
    description:
      - Which technique updates of some packages need. These rules come before the collection's own table, the first that matches wins,
        and what it says is final, also for code that a guest's QEMU runs.
      - The table is in C(docs/techniques.md).
    type: list
    elements: dict
    default: []
    suboptions:
      packages:
        description: Globs of package names, without an architecture. One glob may be given as a text.
        type: list
        elements: str
        required: true
      technique:
        description:
          - V(live) - the guests run on.
          - V(pause) - the guests' vCPUs are stopped meanwhile.
          - V(refresh) - the guests' QEMU is replaced by save and restore.
          - V(reboot) - the host is rebooted.
          - V(refuse) - not by this collection.
        type: str
        choices: [live, pause, refresh, reboot, refuse]
        required: true
      reason:
        description: Why, for whoever reads the result.
        type: str
        required: true
      in_pause:
        description:
          - Of V(pause), what has to be done while the guests are paused.
          - V(restarts) - the restarts of its services, which are held back until then. V(package) - all of it, because its scripts touch the guests' network
            or storage without asking systemd.
        type: str
        choices: [restarts, package]
        default: restarts
"""
