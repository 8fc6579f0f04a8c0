#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_start
short_description: Start the guests again that were shut down for an update of their host
version_added: 0.1.0
description:
  - Starts the guests that M(vm_preserving.maintenance.guest_stop) has shut down, and no other, in the order in which they were started before, and sees them
    run. Those that had a guest agent have to have it connected again.
  - After a reboot the host starts them by itself; this module waits for that. A guest that somebody else has started meanwhile is left as it is. So is one
    whose definition is gone, or that its owner has saved meanwhile, and these make the module fail.
  - A guest that was asked to shut down, and has not, runs on and is left alone. Should it shut down within 10 minutes after it was asked, the host starts it.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
attributes:
  check_mode:
    support: full
    description: Says what would be started, and touches nothing.
  diff_mode:
    support: none
    description: What changes is whether a guest runs, which is in the result.
  idempotent:
    support: full
    description: With every guest started, nothing happens.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host with systemd.
options:
  stop_id:
    description:
      - The id of the record of the guests. Guests that were started already are then reported.
      - Left out, whatever is still off is started.
    type: str
  patience:
    description: Seconds to wait for the host to start them, to go on trying, and to wait for their agents.
    type: float
    default: 300
seealso:
  - module: vm_preserving.maintenance.guest_stop
"""

EXAMPLES = r"""
- name: Start what an earlier run has shut down
  vm_preserving.maintenance.guest_start:
"""

RETURN = r"""
guests:
  description: The guests, in the order in which they are started, also on failure.
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
      description: Whether it was started while this module waited (in check mode, would be).
      type: bool
    outcome:
      description:
        - V(started), it was shut down and runs again; V(running), somebody else has started it; V(untouched), it was not shut down by us; V(gone), libvirt has
          no definition of it any more; V(not_ours), its owner has saved it meanwhile. V(null) of one that is off, or that was asked to shut down and has not.
      type: str
    message:
      description: The outcome in words.
      type: str
    forced:
      description: Whether it was ended by force.
      type: bool
    away_for:
      description: Seconds from before it was asked to shut down until it was started again, by the host's own clock; V(null) when it was not.
      type: float
    agent:
      description: The agent of one that was started, V(connected), V(disconnected), or V(absent) without a channel for it. V(off) when it runs no more.
      type: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_start import start_guests


def main() -> None:
    """The module."""
    options = {"stop_id": {"type": "str"}, "patience": {"type": "float", "default": 300}}
    _module.run({**_module.URI, **options}, start_guests, empty={"guests": []})


if __name__ == "__main__":
    main()
