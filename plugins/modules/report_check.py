#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_check
short_description: Check the report of a rollout against its own claims
version_added: 0.1.0
description:
  - Reads the events that the callback P(vm_preserving.maintenance.rollout_report#callback) has written, and fails with everything that does not hold.
  - Every interruption of a guest was within its limit, and the guest was given back. No two update domains were worked on at the same time. The clock of each
    guest that was interrupted was measured to be within its tolerance, its bound counted against it. Who was interrupted was planned to be. What the host's
    report says of its guests is what the modules said. The totals are those of the events, no event is missing, and the page is the one that the events make.
  - It can find a report that is wrong, or was changed without care. Whoever may write both files can make a pair that holds; keep a copy of the events where
    they cannot.
  - Everything happens on the controller; nothing is sent to the host of the task.
attributes:
  check_mode:
    support: full
    description: No page is made.
  diff_mode:
    support: none
    description: Nothing but a missing page is ever written.
  idempotent:
    support: full
    description: A page that is there is left as it is.
  platform:
    support: full
    platforms: posix
    description: The controller.
options:
  path:
    description: The events' file, the page beside it, or the folder of the reports, of which the newest is taken.
    type: path
    required: true
  make_page:
    description: Make the page when it is not there, as of a run that was killed.
    type: bool
    default: false
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
seealso:
  - plugin: vm_preserving.maintenance.rollout_report
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Check the newest report
  vm_preserving.maintenance.report_check:
    path: ~/.ansible/vm_preserving/reports
"""

RETURN = r"""
path:
  description: The events' file.
  returned: always, when it could be read
  type: str
sha256:
  description: SHA-256 of that file.
  returned: always, when it could be read
  type: str
faults:
  description: What does not hold, in sentences.
  returned: always, when it could be read
  type: list
  elements: str
unproved:
  description: What nobody can know from the report, such as the clock of a guest without an agent. Not a fault.
  returned: always, when it could be read
  type: list
  elements: str
totals:
  description: The totals, counted once more from the events.
  returned: always, when it could be read
  type: dict
"""
