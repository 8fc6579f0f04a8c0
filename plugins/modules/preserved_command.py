#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preserved_command
short_description: Run commands on a host while its guests are paused, in the shortest window
version_added: 0.1.0
description:
  - Pauses the guests as M(vm_preserving.maintenance.guest_pause) does, runs commands one after another, and resumes the guests as
    M(vm_preserving.maintenance.guest_resume) does, in one process on the host, so that nothing but the commands is inside the pause.
  - The first command that fails is the last. The guests are resumed in any case, and before anything else is done.
  - When the deadline comes before the end of the commands, the guests are resumed on time and the module fails.
  - With no guest to pause, the commands are run all the same.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.exclude
  - vm_preserving.maintenance.maintenance.limits
  - vm_preserving.maintenance.maintenance.clocks
  - vm_preserving.maintenance.maintenance.jobs
  - vm_preserving.maintenance.maintenance.second_look
  - vm_preserving.maintenance.maintenance.writes
attributes:
  idempotent:
    support: none
    description: The commands are run each time.
options:
  commands:
    description:
      - The commands, each a list of the program and its arguments. There is no shell; who needs one names it,
        as in V([sh, -c, "..."]).
      - Their environment is the task's C(environment).
    type: list
    elements: raw
    required: true
  command_timeout:
    description: Seconds for each command. Then its process group is ended.
    type: float
    default: 900
  on_deadline:
    description:
      - What becomes of the command that still runs when the guests have to be resumed.
      - V(leave) lets it go on to its end (or to O(command_timeout)) with the guests running, and then reports it. Right for
        package managers, which should not be interrupted.
      - V(kill) ends its process group.
      - In both cases no further command is started.
    type: str
    choices: [leave, kill]
    default: leave
  package_lock:
    description:
      - Hold the lock of the host's package manager until the guests run again, so that nobody applies packages under paused guests. So many seconds are waited
        for somebody else who holds it, before the pause; then the module fails.
      - Left out, the lock is not taken. It must be left out where one of O(commands) is a package manager itself.
    type: float
seealso:
  - module: vm_preserving.maintenance.guest_pause
"""

EXAMPLES = r"""
- name: Restart the switch under paused guests
  vm_preserving.maintenance.preserved_command:
    pause_limit: 15
    on_deadline: kill
    commands:
      - [systemctl, restart, openvswitch-switch]
      - [ovs-vsctl, show]
"""

RETURN = r"""
commands:
  description: The commands and what became of them, also on failure.
  returned: always
  type: list
  elements: dict
  contains:
    argv:
      description: The program and its arguments.
      type: list
      elements: str
    state:
      description: V(finished) (with any exit code), V(timed_out), V(killed), V(unstartable) or V(not_started).
      type: str
    rc:
      description: Exit code; negative is the signal that ended it; V(null) when there is none.
      type: int
    seconds:
      description: How long it ran.
      type: float
    stdout:
      description: Its output; of a long one the first and the last 32 KiB, with a mark in between.
      type: str
    stderr:
      description: The same of its error output.
      type: str
    message:
      description: Why it could not be started.
      type: str
deadline_missed:
  description: Whether the guests had to be resumed before the commands had ended.
  returned: always
  type: bool
window:
  description: The pause window, closed; V(null) when there was nothing to pause.
  returned: always
  type: dict
guests:
  description: The guests, also on failure.
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
      description: State and reason before.
      type: dict
    after:
      description: State and reason afterwards.
      type: dict
    changed:
      description: Whether it was paused.
      type: bool
    outcome:
      description:
        - V(resumed), V(running), V(gone) or V(not_ours), as in M(vm_preserving.maintenance.guest_resume).
        - V(null) for a guest that was left alone; its C(message) says why.
      type: str
    paused_for:
      description: Seconds from before the suspend until it ran again, which is the longest that the pause can have been.
      type: float
    resumed_by:
      description: V(module), V(guard) or V(owner).
      type: str
    ended:
      description: libvirt's reason why a guest that is V(gone) has ended, as its log of the guest says; V(null) for all others.
      type: str
      sample: migrated
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
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.preserved_command import preserved_command


def _body(params: dict, check_mode: bool) -> dict:
    result = preserved_command(params, check_mode)
    return {**result, "diff": _module.states_diff(result["guests"])}


def main() -> None:
    """The module."""
    options = {
        "commands": {"type": "list", "elements": "raw", "required": True},
        "command_timeout": {"type": "float", "default": 900},
        "on_deadline": {"type": "str", "choices": ["leave", "kill"], "default": "leave"},
        "package_lock": {"type": "float"},
    }
    _module.run(
        {**_module.URI, **_module.NAME, **_module.PAUSE, **_module.SECOND_LOOK, **options}, _body,
        empty={"guests": [], "commands": [], "window": None, "deadline_missed": False},
    )


if __name__ == "__main__":
    main()
