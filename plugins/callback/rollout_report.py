# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_report
type: notification
short_description: Writes a report of every run that updates hosts
version_added: 0.1.0
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - Collects what the modules of this collection, and the facts C(host_update_plan) and C(host_update_report) of the role
    P(vm_preserving.maintenance.host_update#role), say of hosts and guests. Writes them as events, and at the end of the run as one HTML page.
  - The events are a file with a line of JSON for each. An event is on disk before the next task ends, so they are there also of a run that was killed.
  - The page is one file that asks for nothing else and runs nothing. It has the update domains and hosts over the time, each guest's interruption against its
    limit and what was in it, the clocks before and after with their bounds, notices and approvals, refusals, failures with what to do next, and what was
    planned. C(docs/evidence.md) says how to read it.
  - A run without anything of this collection in it writes nothing.
  - What C(no_log) hides is not written, and is counted. The output of commands and the arguments of other modules are never written. The arguments of the
    commands that run while guests are paused are, and so are messages of failures; keep secrets out of both, or set C(no_log).
  - It never changes how a run ends. What goes wrong in it is one warning.
requirements:
  - Enable it with C(callbacks_enabled = vm_preserving.maintenance.rollout_report) in C(ansible.cfg), or C(ANSIBLE_CALLBACKS_ENABLED).
options:
  folder:
    description:
      - The folder for the reports, on the controller. Two files are written for each run, C(<time>-<id>.jsonl) and C(<time>-<id>.html), which only their
        owner can read. Nothing is removed.
    type: path
    default: ~/.ansible/vm_preserving/reports
    env:
      - name: VM_PRESERVING_REPORT_FOLDER
    ini:
      - section: callback_vm_preserving_rollout_report
        key: folder
    vars:
      - name: rollout_report_folder
notes:
  - The variable is that of the first play that updates hosts, or C(-e). It is not templated, and variables of hosts and groups are not looked at.
seealso:
  - module: vm_preserving.maintenance.report_check
"""

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_callback import RunCallback
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_file import EventsFile, write_page
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story, totals
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_page import page


class CallbackModule(RunCallback):
    """Writes the events, and the page at the end."""

    CALLBACK_NAME = "vm_preserving.maintenance.rollout_report"
    ENDS_HERE = "the report of this run ends here"
    _file = None

    def happened(self, events):
        if self._file is None:
            self._file = EventsFile(self.get_option("folder"), events[0]["run"])
        self._file.write(events)

    def over(self):
        self.events[-1]["totals"] = totals(story(self.events))
        self._file.write(self.events[-1:])
        path = self._file.path.with_suffix(".html")
        write_page(path, page(story(self.events), self._file.path.name, self._file.digest()))
        self._file.close()
        self._display.display(f"\nreport of this run: {path}")
