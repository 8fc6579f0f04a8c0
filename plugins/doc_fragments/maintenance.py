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

    LIMITS = r"""
options:
  exclude:
    description:
      - Names or UUIDs of guests that are left running. Names that do not exist on the host are of no consequence.
      - The owner of a guest can keep it out as well, by an element in its libvirt metadata,
        C(virsh metadata GUEST --live --config --uri urn:vm_preserving:maintenance:policy --key policy --set '<policy pause="never"/>').
    type: list
    elements: str
    default: []
  pause_limit:
    description:
      - Seconds that a guest may be paused, from V(1) to V(600).
      - The guard on the host resumes the guests so that they run again by then, whatever has died in between.
    type: float
    default: 30
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
