# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`note: {what: begin}` writes "begin: HOST" to the file $LOG, at the moment at which the task runs; it needs no connection."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        text = self._task.args["what"] + (" (check)" if self._task.check_mode else "")
        # One write of one line: those of hosts that work in parallel do not mix.
        with open(os.environ["LOG"], "a", encoding="utf-8") as log:
            log.write(f"{text}: {task_vars['inventory_hostname']}\n")
        return {**result, "changed": True}
