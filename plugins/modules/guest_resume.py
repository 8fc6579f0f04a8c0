#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_resume
short_description: Resume the guests that we paused, and no other
version_added: 0.1.0
description:
  - Closes the pause window which M(vm_preserving.maintenance.guest_pause) opened, or which an earlier run left open.
  - Resumes exactly the guests in the host's ledger that are still paused by us. A guest that was destroyed, started anew,
    resumed or paused by somebody else in the meantime is left as it is, and reported.
  - Without O(window), guests that an interrupted M(vm_preserving.maintenance.guest_refresh) or M(vm_preserving.maintenance.guest_save) left saved are brought
    back with their memory, too.
  - With nothing in the ledger, nothing happens.
  - When libvirtd does not answer, the guests are resumed through QEMU's own monitor.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.second_look
  - vm_preserving.maintenance.maintenance.writes
attributes:
  idempotent:
    support: full
    description: A closed window stays as it is.
options:
  window:
    description:
      - Id of the window to close. Another open window is then an error. A window that is closed already, by the guard for
        example, is reported and not changed.
      - Left out, whichever window is open is closed.
    type: str
  patience:
    description:
      - Seconds to go on trying until every guest runs. After that the module fails, and the guard goes on.
    type: float
    default: 20
  arrived:
    description:
      - Guests that have gone from other hosts in a pause window of ours, each with C(window) (the window's id) and C(uuid), as the ledgers of these hosts say
        (RV(vm_preserving.maintenance.guest_info#module:window)), and with C(clock_target), the seconds that its clock should be ahead of the host's. Without
        the latter its clock is left alone.
      - A guest that its owner has migrated while it was paused arrives paused. Those of them that are found here, paused and with the mark of that window,
        are resumed. A guest with a mark that neither this host nor this list knows is left as it is, and makes the module fail.
      - Left out, such guests are not looked for. Not used with O(window).
    type: list
    elements: dict
seealso:
  - module: vm_preserving.maintenance.guest_pause
"""

EXAMPLES = r"""
- name: Resume what an earlier run left paused on this host
  vm_preserving.maintenance.guest_resume:
  register: healed

- name: Say how long each guest stood still
  ansible.builtin.debug:
    msg: "{{ item.name }} was paused for {{ item.paused_for }} s"
  loop: "{{ healed.guests }}"
"""

RETURN = r"""
window:
  description:
    - The window that was closed; V(null) when none was open.
    - Its C(closed_by) is V(guard) when the deadline came first.
  returned: always
  type: dict
guests:
  description: The guests of the window, also on failure.
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
    after:
      description: State and reason after it.
      type: dict
    changed:
      description: Whether this call resumed it.
      type: bool
    outcome:
      description:
        - V(resumed) by us; V(running), it ran already; V(gone), it does not run any more; V(not_ours), left as it is.
        - V(null) while it is not settled.
      type: str
    message:
      description: The outcome in words.
      type: str
    paused_for:
      description: Seconds from before the suspend until it ran again, which is the longest that the pause can have been.
      type: float
    resumed_by:
      description: V(module), V(guard) or V(owner).
      type: str
    was_paused:
      description: Whether we had paused it, whatever became of it then.
      type: bool
    problem:
      description: What could not be given back to it, such as a network device that has gone, in words; empty when it has everything.
      type: str
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
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_resume import resume_left


def _body(params: dict, check_mode: bool) -> dict:
    result = resume_left(params, check_mode)
    return {**result, "diff": _module.states_diff(result["guests"])}


def main() -> None:
    """The module."""
    options = {
        "window": {"type": "str"},
        "patience": {"type": "float", "default": 20},
        "arrived": {"type": "list", "elements": "dict"},
    }
    _module.run({**_module.URI, **_module.SECOND_LOOK, **options}, _body, empty={"guests": [], "window": None})


if __name__ == "__main__":
    main()
