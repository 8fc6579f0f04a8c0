# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: update_domain
short_description: Runs a play one update domain after another, and stops at the first failure
version_added: 0.1.0
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
description:
  - An update domain is a set of hosts that may be updated at the same time. Each host names its domain in the variable C(update_domain),
    a string or an integer.
  - The whole play, from gathering facts to the last handler, runs on all hosts of one domain, task by task as with
    P(ansible.builtin.linear#strategy). The next domain begins when all hosts of the one before are through.
  - If a host of a domain failed, was unreachable or did not finish, no other domain is started, nor any later batch of C(serial), nor any
    later play, and C(ansible-playbook) ends with a non-zero exit code. The hosts of the domains that were not started count as failed, so that a
    retry file holds all that is left to do.
  - A host that failed and was rescued, or whose error was ignored, did not fail. That holds also for a file or a role that could not be included.
  - With the variable C(update_domain_required) set to V(false) (in the play or with C(-e)), a play none of whose hosts has an C(update_domain),
    and that has no C(update_domain_order), is run as by P(ansible.builtin.linear#strategy), failures and batches of C(serial) included, and nothing
    of what is said here holds for it. If some of its hosts have one and others have none, it is refused all the same.
  - A number above 7 is warned of, because YAML reads C(010) without quotes as 8, and C(1:30) as 90, and it cannot be seen later what was written.
    Quote the names.
  - The domains run in natural order, V(2) before V(10), or as listed in the variable C(update_domain_order) (set it in the play or with C(-e)).
    The list must name every update domain that has hosts in the play, once. It may name domains that have none.
  - Before any host is touched, the play is refused if a host has no usable C(update_domain), or if the order does not fit.
notes:
  - The hosts that C(ansible_play_batch) lists are those of the running domain. C(run_once) means once for each domain, on its first host,
    and what it registers is known to that domain's hosts only. C(meta=end_batch) ends the domain, and the next one begins.
  - C(meta=end_host) is the way to say that a host is done. C(meta=end_play) stops the rollout like a failure, unless nothing is left to do.
    C(meta=clear_host_errors) forgives what happened in the running domain, also to a host that did not do the rest of its tasks. Do not use it in
    a rollout.
  - C(any_errors_fatal) and C(max_fail_percentage) only make a domain end sooner. With C(max_fail_percentage), the percentage is of the domain.
    Neither lets the next domain begin after a failure.
  - A task with C(run_once) or C(any_errors_fatal) that fails, fails the other hosts of its domain too. Since ansible-core 2.17 they count as
    failed in a block with C(rescue) as well, whatever the rescue does, and the rollout stops.
  - A task with C(async) and C(poll=0) is not waited for at the end of the domain. Wait for it in the play.
  - With C(serial), the order holds within each batch. Set it to at least the number of hosts, or do not set it.
  - If a host of the play had failed or was unreachable in an earlier play, the rollout stops before its domain.
  - A play whose C(hosts) matches nothing ends well, without asking any strategy. Check for it in an earlier play.
  - Strategy plugins outside of ansible-core are deprecated since ansible-core 2.19 and still work, with no date of removal. ansible-core
    2.19 and later print a deprecation warning.
seealso:
  - plugin: ansible.builtin.linear
    plugin_type: strategy
"""

EXAMPLES = r"""
- name: Update the hosts, one update domain after another
  hosts: kvm
  strategy: vm_preserving.maintenance.update_domain
  vars:
    # Only if natural order does not fit.
    update_domain_order: [rack2, rack10, rack1]
  roles:
    - vm_preserving.maintenance.host_update
"""

from contextlib import contextmanager

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.executor.play_iterator import IteratingStates
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.strategy.linear import StrategyModule as LinearStrategyModule
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import update_domains

display = Display()


class StrategyModule(LinearStrategyModule):
    """Core's linear strategy, run once for each update domain."""

    _failed_before_includes: frozenset[str] = frozenset()

    def run(self, iterator, play_context):
        """Run the play domain by domain; returns an exit code of the task queue manager.

        Raises AnsibleError, before any host is touched, if the hosts' variables give no order.
        """
        batch = {host.name: host for host in self._inventory.get_hosts(iterator._play.hosts)}
        everything = self._domains(iterator._play)
        if everything is None:
            return super().run(iterator, play_context)
        domains = update_domains.within(everything, batch)
        others = [name for domain in everything for name in domain.hosts if name not in batch]
        if warning := update_domains.crowded(domains, self._tqm._forks):
            display.warning(warning)

        result, batch_size = self._tqm.RUN_OK, iterator.batch_size
        for index, domain in enumerate(domains):
            # Hosts of another batch count too: the executor would start the next batch after a failure in this one.
            if reasons := update_domains.down([*others, *domain.hosts], **self._failures(iterator)):
                return self._stop(iterator, batch, domain, reasons, domains[index:])

            title = f"update domain {domain.name} ({index + 1} of {len(domains)})"
            display.display(f"\n{title}: {', '.join(domain.hosts)}")
            try:
                self._inventory.restrict_to_hosts([batch[name] for name in domain.hosts])
                iterator.batch_size = len(domain.hosts)
                with self._forgiving_rescued_includes(iterator):
                    result = super().run(iterator, play_context)
            finally:
                self._inventory.restrict_to_hosts(list(batch.values()))
                iterator.batch_size = batch_size

            finished = [name for name in domain.hosts if iterator.get_state_for_host(name).run_state == IteratingStates.COMPLETE]
            ended = iterator.end_play and bool(domains[index + 1:] or others)
            if reasons := update_domains.shortfalls(domain, finished=finished, result=result, ended=ended, **self._failures(iterator)):
                return self._stop(iterator, batch, domain, reasons, domains[index + 1:])
            display.display(f"\n{title}: done")
        return result

    def _domains(self, play) -> list[update_domains.UpdateDomain] | None:
        """All update domains of the play in order: of all its batches, so that nothing is touched if a later one is not usable.

        None if it has none and needs none.
        """
        names, orders, required = {}, {}, {}
        for host in self._inventory.get_hosts(play.hosts, ignore_restrictions=True):
            variables = self._variable_manager.get_vars(play=play, host=host)
            names[host.name] = self._value("update_domain", variables)
            orders[host.name] = self._value("update_domain_order", variables)
            required[host.name] = self._boolean("update_domain_required", variables)
        if warning := update_domains.as_numbers(names):
            display.warning(warning)
        try:
            order = update_domains.common_value("update_domain_order", orders)
            if update_domains.as_linear(names, order=order, required=update_domains.common_value("update_domain_required", required)):
                return None
            return update_domains.order_domains(update_domains.group_hosts(names), order)
        except update_domains.UpdateDomainError as exc:
            raise AnsibleError(str(exc)) from None

    def _value(self, name: str, variables: dict) -> object:
        try:
            return Templar(loader=self._loader, variables=variables).template(variables.get(name))
        except AnsibleError as exc:
            return exc

    def _boolean(self, name: str, variables: dict) -> object:
        value = self._value(name, variables)
        try:
            return boolean(value)  # -e makes a string of it
        except TypeError:
            return value

    def update_active_connections(self, results):
        """Core calls this with the results of each task, before it includes what they ask for."""
        super().update_active_connections(results)
        self._failed_before_includes = frozenset(self._tqm._failed_hosts)

    @contextmanager
    def _forgiving_rescued_includes(self, iterator):
        """Make an include that fails count as a task that fails does: not, if a rescue is ahead.

        Core counts its hosts as failed for good: of a file or a role that is not there, and whatever the rescue does. They would be left out of
        `ansible_play_hosts`, would add to `max_fail_percentage`, and would stop the rollout. Between that and the next thing that core does
        with the hosts that failed, it adds the tasks of the other includes: here is the only place to put it right.
        """
        add_tasks = iterator.add_tasks

        def forgive_and_add_tasks(host, blocks):
            for name in set(self._tqm._failed_hosts) - self._failed_before_includes:
                state = iterator.get_state_for_host(name)
                if iterator.get_active_state(state).run_state == IteratingStates.RESCUE or iterator.is_any_block_rescuing(state):
                    del self._tqm._failed_hosts[name]
                    iterator._play._removed_hosts.remove(name)
            add_tasks(host, blocks)

        iterator.add_tasks = forgive_and_add_tasks
        try:
            yield
        finally:
            iterator.add_tasks = add_tasks

    def _failures(self, iterator) -> dict[str, set[str]]:
        # The iterator misses hosts that any_errors_fatal failed, the task queue manager hosts that fail again in a rescue.
        return {"failed": {*iterator.get_failed_hosts(), *self._tqm._failed_hosts}, "unreachable": set(self._tqm._unreachable_hosts)}

    def _stop(self, iterator, batch, domain, reasons, not_started) -> int:
        display.display("\n" + update_domains.stop_message(domain, reasons, not_started), color=C.COLOR_ERROR, stderr=True)
        # Failed, so that the next batch sees it, and a retry file holds them.
        for name in (name for rest in not_started for name in rest.hosts):
            iterator.mark_host_failed(batch[name])
        # Else the executor takes the play for well ended, and goes on with the next one.
        iterator.end_play = False
        return self._tqm.RUN_FAILED_BREAK_PLAY
