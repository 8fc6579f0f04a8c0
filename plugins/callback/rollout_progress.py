# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_progress
type: notification
short_description: Shows how far an update of hosts is, and a table at its end
version_added: 0.1.0
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Shows a line for each step that says something of hosts and guests - the plan of a host, its guests' approvals, the packages, each interruption against its
    limit, how it ended, how many hosts are done and for how long it will still go on.
  - An interruption that took more than half of its limit stands out, with why, as far as the host tells it. A failure comes with the state of the
    guests, the next command, and the command that shows the host's log.
  - The last lines of a run are a table of all guests, or of all hosts when there are more than 60 guests.
  - It works beside any stdout callback. A run without anything of this collection in it shows nothing. It never changes how a run ends.
requirements:
  - Enable it with C(callbacks_enabled = vm_preserving.maintenance.rollout_progress) in C(ansible.cfg), or C(ANSIBLE_CALLBACKS_ENABLED). Name it last, so
    that its table is the last that is shown.
options:
  show:
    description:
      - Whether lines are shown while the run goes on. The table at its end is always shown.
      - With V(auto), when the output is a terminal. A log of a CI job then has the table alone.
    type: str
    choices: [auto, always, never]
    default: auto
    env:
      - name: VM_PRESERVING_PROGRESS
    ini:
      - section: callback_vm_preserving_rollout_progress
        key: show
    vars:
      - name: rollout_progress_show
notes:
  - The time that is left is told from the second update domain on, by how long the ones before took.
  - When an update domain begins and ends, and why a rollout stops, is shown by the strategy P(vm_preserving.maintenance.update_domain#strategy).
seealso:
  - plugin: vm_preserving.maintenance.rollout_report
    plugin_type: callback
"""

import sys

from ansible import constants as C

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.progress_lines import Progress
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.progress_table import table
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_callback import RunCallback
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story


class CallbackModule(RunCallback):
    """Shows the lines, and the table at the end."""

    CALLBACK_NAME = "vm_preserving.maintenance.rollout_progress"
    ENDS_HERE = "the progress of this run is not shown any more"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._progress = Progress()

    def happened(self, events):
        lines = self._progress.lines(events)
        if self.get_option("show") == "always" or (self.get_option("show") == "auto" and sys.stdout.isatty()):
            colours = {"good": C.COLOR_OK, "long": C.COLOR_WARN, "failed": C.COLOR_ERROR, "": None}
            for line in lines:
                self._display.display(line.text, color=colours[line.kind])

    def over(self):
        self._display.display("\n" + "\n".join(table(story(self.events))))
