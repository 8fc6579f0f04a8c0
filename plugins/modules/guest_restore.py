#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_restore
short_description: See that the guests saved for a reboot are back
version_added: 0.1.0
description:
  - After a reboot the host restores the guests that M(vm_preserving.maintenance.guest_save) saved by itself. This module waits for that, restores what is not
    back, and says how long each guest was away.
  - On a host that was not rebooted, it brings the guests back, too.
  - No guest is ever started but from its saved memory. One that somebody started anew meanwhile is left as it is, and makes the module fail.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
attributes:
  check_mode:
    support: full
    description: Says what would be restored, and touches nothing.
  diff_mode:
    support: none
    description: What changes is the process of a guest, which is in the result.
  idempotent:
    support: full
    description: With every guest back, nothing happens.
  platform:
    support: full
    platforms: linux
    description: A KVM/libvirt host with systemd.
options:
  save_id:
    description:
      - The id under which the guests were saved. Guests that are back already are then reported.
      - Left out, whatever is still saved for a reboot is brought back.
    type: str
  patience:
    description: Seconds to wait for the host to restore them, and to go on trying.
    type: float
    default: 900
seealso:
  - module: vm_preserving.maintenance.guest_save
"""

EXAMPLES = r"""
- name: See that they are back
  vm_preserving.maintenance.guest_restore:
    save_id: "{{ saved.save_id }}"
"""

RETURN = r"""
rebooted:
  description: Whether the host has booted since the guests were saved; V(null) when none are known.
  returned: success
  type: bool
reboot_took:
  description:
    - Seconds from the moment when the host was ordered to reboot until the first guest was being restored, by the host's own clock; V(null) when not known.
  returned: success
  type: float
pause_limit:
  description: Seconds that a guest may be away, as it was asked for.
  returned: success
  type: float
guests:
  description: The guests, in the order in which they are restored, also on failure.
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
    memory:
      description: V(managed) or V(copy), where its memory was.
      type: str
    changed:
      description: Whether it came back while this module waited (in check mode, would).
      type: bool
    outcome:
      description:
        - V(restored), it is back on the installed QEMU; V(returned), on the QEMU that it had, because the installed one did not take it up, which makes the
          module fail; V(untouched), it was never saved; V(gone), it has ended, or its saved state is not whole; V(not_ours),
          somebody started it anew meanwhile. V(null) while it is saved.
      type: str
    message:
      description: The outcome in words.
      type: str
    paused_for:
      description: Seconds from before the save until it was back, by the host's own clock.
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
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_restore import restore_guests


def main() -> None:
    """The module."""
    options = {"save_id": {"type": "str"}, "patience": {"type": "float", "default": 900}}
    _module.run({**_module.URI, **options}, restore_guests, empty={"guests": []})


if __name__ == "__main__":
    main()
