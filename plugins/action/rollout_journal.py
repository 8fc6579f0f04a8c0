# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of rollout_journal, which is all of it: nothing is sent to the host."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import rollout_journal as journals
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import update_domains
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_files import Folder, lives, new_id, process
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_journal import JournalError
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_window import WindowError, why_not_now

OPTIONS = {
    "state": {"type": "str", "choices": ["opened", "may_begin", "begun", "done", "failed", "skipped", "cleaned", "proved", "closed"], "required": True},
    "folder": {"type": "path", "required": True},
    "rollout": {"type": "str", "default": ""},
    "by": {"type": "str", "default": ""},
    "domains_changed": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
    "take_over": {"type": "str", "default": ""},
    "update": {"type": "str", "default": ""},
    "max_failed_hosts": {"type": "str"},
    "max_parallel_hosts": {"type": "str"},
    "window_start": {"type": "str", "default": ""},
    "window_end": {"type": "str", "default": ""},
    "expected": {"type": "float", "default": 0.0},
    "cleans_up": {"type": "bool", "default": False},
}


def _outside_the_window(given: dict[str, Any]) -> str | None:
    return why_not_now(datetime.now().astimezone(), given["window_start"], given["window_end"], given["expected"])


class ActionModule(ActionBase):
    """Reads and writes the journal of a rollout."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task; raises AnsibleActionFail with one sentence."""
        super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(argument_spec=OPTIONS)
        folder = Folder(given["folder"])
        try:
            if given["state"] == "opened":
                return self._opened(folder, given, task_vars or {})
            host = (task_vars or {})["inventory_hostname"]
            if self._task.check_mode:
                # Nobody has written down what would have become of the domains before.
                return {"changed": given["state"] != "may_begin"}
            if given["state"] == "may_begin":
                journal = folder.read(given["rollout"])
                why = journals.why_not_begun(journal, host, update_domains.may_fail(given["max_failed_hosts"], len(journal.hosts)))
                if why is not None:
                    raise JournalError(f"{host}: {why}. Repair that, and run this playbook again: it goes on from there")
                why = _outside_the_window(given)
                if why is not None:
                    name = journal.domains[journal.domain_of(host)].name
                    raise JournalError(f"{host}: update domain {name} does not begin: {why}. Run this playbook again in the next window: it goes on from there")
                return {"changed": False}
            if given["state"] == "closed":
                return self._closed(folder, given["rollout"])
            more = {"update": given["update"], "cleans_up": given["cleans_up"]} if given["state"] == "begun" else {}
            folder.write(given["rollout"], {"event": given["state"], "host": host, **more})
        except (JournalError, WindowError, update_domains.UpdateDomainError) as error:
            raise AnsibleActionFail(f"{str(error).rstrip('.')}.") from None
        return {"changed": True}

    def _opened(self, folder: Folder, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        domains = self._domains(task_vars)
        hosts = list(task_vars["ansible_play_hosts_all"])
        turns = update_domains.parts(update_domains.within(domains, hosts), given["max_parallel_hosts"])
        # Nothing is touched when these cannot be used.
        update_domains.may_fail(given["max_failed_hosts"], len(hosts))
        outside = _outside_the_window(given)
        if outside is not None and not self._task.check_mode:
            raise JournalError(f"No host was touched: {outside}")
        # A task is run by a child of ansible-playbook.
        me = process(os.getppid())
        with folder.locked():
            unclosed = folder.unclosed()
            for journal in unclosed:
                alive = lives(journal.process)
                if journal.rollout == given["take_over"]:
                    why = journals.at_work(journal, me, alive)
                else:
                    why = journals.why_not_carried_on(journal, domains, me, alive, given["domains_changed"] == "accept")
                if why is not None:
                    raise JournalError(f"No host was touched: {why}. Its journal is {folder.file(journal.rollout)}")
            carried_on = next((one for one in reversed(unclosed) if one.rollout != given["take_over"]), None)
            rollout = carried_on.rollout if carried_on else new_id()
            if not self._task.check_mode:
                for journal in unclosed:
                    if journal.rollout != rollout:
                        folder.write(journal.rollout, {"event": "closed", "taken_over_by": rollout})
                listed = [{"name": domain.name, "hosts": list(domain.hosts)} for domain in domains]
                run = {"event": "run", "by": given["by"], "process": asdict(me), "hosts": hosts}
                same = carried_on is not None and not journals.changed(carried_on.domains, domains)
                folder.write(rollout, *([] if same else [{"event": "opened", "rollout": rollout, "domains": listed}]), run)
        return {
            "changed": True, "rollout": rollout, "journal": str(folder.file(rollout)), "carried_on": carried_on is not None,
            "keeper": domains[0].hosts[0],
            "hosts": [{"name": name, "turn": turn} for turn, part in enumerate(turns) for name in part.hosts],
            "left": hosts if carried_on is None else journals.left(carried_on, hosts),
            "unclean": [] if carried_on is None else sorted(carried_on.unclean),
            "domains": [{"name": domain.name, "hosts": list(domain.hosts)} for domain in domains],
        }

    def _closed(self, folder: Folder, rollout: str) -> dict[str, Any]:
        """Raises JournalError if a host of the run is not done. One of an earlier run, which --limit leaves out now, keeps the rollout open."""
        journal = folder.read(rollout)
        left = journals.left(journal, journal.hosts)
        if left:
            raise JournalError(f"Rollout {rollout} is not over, these hosts are not done: {', '.join(left)}. Run this playbook again: it goes on from there")
        left = journals.left(journal, journal.ever)
        if not left:
            folder.write(rollout, {"event": "closed"})
        return {"changed": not left, "left": left}

    def _domains(self, task_vars: dict[str, Any]) -> list[update_domains.UpdateDomain]:
        """The update domains of the whole fleet, whatever --limit says: all hosts of the inventory that are in one."""
        names: dict[str, object] = {}
        order = first = None
        for host in task_vars["groups"]["all"]:
            variables = task_vars["hostvars"][host]
            try:
                value = variables.get("update_domain")
            except AnsibleError as error:
                value = error
            if value is not None:
                names[host] = value
            if host == task_vars["inventory_hostname"]:
                order, first = variables.get("update_domain_order"), variables.get("update_domain_first")
        try:
            domains = update_domains.order_domains(update_domains.group_hosts(names), order, first)
        except update_domains.UpdateDomainError as error:
            raise JournalError(str(error).rstrip(".")) from None
        if not domains:
            raise JournalError("No host was touched: no host of the inventory has the variable update_domain")
        return domains
