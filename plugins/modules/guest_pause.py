#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_pause
short_description: Pause guests with their memory kept, their resume assured
version_added: 0.1.0
description:
  - Opens a pause window on a KVM/libvirt host. All guests are paused in parallel, their memory staying in RAM.
  - Before the first guest stops, the window is written to the host's ledger and a guard process is started on the host and
    seen to watch. The guard resumes the guests at the deadline, even when the controller, the SSH connection, this module or
    libvirtd have died by then.
  - A guest that is paused already, by its owner, an I/O error or anything else, is left alone, and is not resumed later.
  - Guests which cannot be paused safely (a migration, a block job, a reboot that was asked for and has not happened, ...) make
    the module refuse before anything is touched.
  - Close the window with M(vm_preserving.maintenance.guest_resume). To run commands in the shortest window, use
    M(vm_preserving.maintenance.preserved_command) instead.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.exclude
  - vm_preserving.maintenance.maintenance.limits
  - vm_preserving.maintenance.maintenance.clocks
  - vm_preserving.maintenance.maintenance.jobs
  - vm_preserving.maintenance.maintenance.writes
attributes:
  idempotent:
    support: full
    description: Called again while the window is open, it changes nothing; the deadline stays what it was.
seealso:
  - module: vm_preserving.maintenance.guest_resume
  - module: vm_preserving.maintenance.preserved_command
"""

EXAMPLES = r"""
- name: Pause all running guests of the host for at most 20 seconds
  vm_preserving.maintenance.guest_pause:
    pause_limit: 20
  register: paused

- name: Do what needs the guests to stand still
  ansible.builtin.systemd_service:
    name: openvswitch-switch
    state: restarted

- name: Let them run again
  vm_preserving.maintenance.guest_resume:
    window: "{{ paused.window.id }}"
"""

RETURN = r"""
window:
  description: The pause window, or V(null) when there was nothing to pause.
  returned: success, and on failure when a window had been opened
  type: dict
  sample:
    id: 5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55
    open: true
    opened_at: "2026-11-23T08:00:00Z"
    opened_by: root from 192.0.2.10
    closed_at: null
    closed_by: null
    pause_limit: 30.0
    paused_within: 0.004
    resumed_within: null
    seconds_left: 29.8
    expired: false
    guests: []
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
    before:
      description: C(state) and C(reason) in libvirt's words.
      type: dict
      sample: {state: running, reason: booted}
    after:
      description: The same, afterwards.
      type: dict
      sample: {state: paused, reason: user}
    changed:
      description: Whether this call paused it.
      type: bool
    message:
      description: Why it was left alone.
      returned: when it was left alone
      type: str
    error:
      description: Why it cannot be paused, as C(code) and C(message).
      returned: when it was refused
      type: dict
    blockers:
      description: All reasons, each with C(code) and C(message).
      returned: when it was refused
      type: list
      elements: dict
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_pause import pause_guests, pause_request


def _body(params: dict, check_mode: bool) -> dict:
    result = pause_guests(pause_request(params), check_mode)
    return {**result, "diff": _module.states_diff(result["guests"])}


def main() -> None:
    """The module."""
    _module.run({**_module.URI, **_module.NAME, **_module.PAUSE}, _body, empty={"guests": []})


if __name__ == "__main__":
    main()
