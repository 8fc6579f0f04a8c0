# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: update_domain
short_description: Runs a play one update domain after another, and stops at a failure
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
  - With the variable C(update_domain_max_failed_hosts), a number or a percentage of the hosts of the play such as V("10%"), the next domain begins as long
    as not more hosts of the play than that failed, were unreachable or did not finish. C(ansible-playbook) ends with a non-zero exit code all the same.
  - With C(update_domain_max_parallel_hosts), a number, the hosts of a domain are worked on that many at a time, one such part after the other. A failure ends
    the domain when its part is through.
  - A host that failed and was rescued, or whose error was ignored, did not fail. That holds also for a file or a role that could not be included.
  - With the variable C(update_domain_required) set to V(false) (in the play or with C(-e)), a play none of whose hosts has an C(update_domain),
    and that has no C(update_domain_order), is run as by P(ansible.builtin.linear#strategy), failures and batches of C(serial) included, and nothing
    of what is said here holds for it. If some of its hosts have one and others have none, it is refused all the same.
  - A number above 7 is warned of, because YAML reads C(010) without quotes as 8, and C(1:30) as 90, and it cannot be seen later what was written.
    Quote the names.
  - The domains run in natural order, V(2) before V(10), or as listed in the variable C(update_domain_order) (set it in the play or with C(-e)).
    The list must name every update domain that has hosts in the play, once. It may name domains that have none.
  - C(update_domain_first) is for a trial, a list of the domains that come before all others. These follow in natural order.
  - Before any host is touched, the play is refused if a host has no usable C(update_domain), or if the order does not fit.
notes:
  - The hosts that C(ansible_play_batch) lists are those of the running domain, or of its running part. C(run_once) means once for each of these, on its first
    host, and what it registers is known to these hosts only. C(meta=end_batch) ends the domain, and the next one begins.
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

    _OF_THE_ROLLOUT = ("update_domain_order", "update_domain_first", "update_domain_max_parallel_hosts", "update_domain_max_failed_hosts")
    _failed_before_includes: frozenset[str] = frozenset()

    def run(self, iterator, play_context):
        """Run the play domain by domain; returns an exit code of the task queue manager.

        Raises AnsibleError, before any host is touched, if the hosts' variables give no order.
        """
        batch = {host.name: host for host in self._inventory.get_hosts(iterator._play.hosts)}
        rollout = self._rollout(iterator._play)
        if rollout is None:
            return super().run(iterator, play_context)
        everything, most_parallel, most_failed = rollout
        domains = update_domains.within(everything, batch)
        others = [name for domain in everything for name in domain.hosts if name not in batch]
        turns = update_domains.parts(domains, most_parallel)
        if warning := update_domains.crowded(turns, self._tqm._forks):
            display.warning(warning)
        hosts = {name for domain in everything for name in domain.hosts}

        result, batch_size = self._tqm.RUN_OK, iterator.batch_size
        for index, domain in enumerate(turns):
            # Hosts of another batch count too: the executor would start the next batch after a failure in this one.
            reasons = update_domains.down([*others, *domain.hosts], **self._failures(iterator))
            if reasons and len(self._down(iterator, hosts)) > most_failed:
                return self._stop(iterator, batch, domain, reasons, turns[index:])

            title = self._title(domains, turns, index)
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
            ended = iterator.end_play and bool(turns[index + 1:] or others)
            failures = self._failures(iterator)
            reasons = update_domains.shortfalls(domain, finished=finished, result=result, ended=ended, **failures)
            if not reasons:
                display.display(f"\n{title}: done")
                continue
            left = set(domain.hosts) - set(finished)
            failed = len(self._down(iterator, hosts) | left)
            if failed > most_failed or reasons != update_domains.shortfalls(domain, finished=finished, **failures):
                return self._stop(iterator, batch, domain, reasons, turns[index + 1:])
            for name in left:
                # The domains that follow count it, and a retry file holds it.
                iterator.mark_host_failed(batch[name])
            display.display("\n" + update_domains.goes_on_message(domain, reasons, failed, most_failed), color=C.COLOR_ERROR, stderr=True)
        return result

    def _rollout(self, play) -> tuple[list[update_domains.UpdateDomain], object, int] | None:
        """All update domains of the play in order, how many hosts of one are worked on at a time, and how many hosts may fail.

        Of all batches of the play, so that nothing is touched if a later one is not usable. None if it has no domain and needs none.
        """
        values = {name: {} for name in ("update_domain", "update_domain_required", *self._OF_THE_ROLLOUT)}
        hosts = self._inventory.get_hosts(play.hosts, ignore_restrictions=True)
        for host in hosts:
            variables = self._variable_manager.get_vars(play=play, host=host)
            for name, found in values.items():
                found[host.name] = self._boolean(name, variables) if name == "update_domain_required" else self._value(name, variables)
        names, required = values.pop("update_domain"), values.pop("update_domain_required")
        if warning := update_domains.as_numbers(names):
            display.warning(warning)
        try:
            order, first, most_parallel, most_failed = (update_domains.common_value(name, found) for name, found in values.items())
            if update_domains.as_linear(names, order=order, required=update_domains.common_value("update_domain_required", required)):
                return None
            domains = update_domains.order_domains(update_domains.group_hosts(names), order, first)
            update_domains.parts(domains, most_parallel)
            return domains, most_parallel, update_domains.may_fail(most_failed, len(hosts))
        except update_domains.UpdateDomainError as exc:
            raise AnsibleError(str(exc)) from None

    @staticmethod
    def _title(domains, turns, index: int) -> str:
        name = turns[index].name
        number = [domain.name for domain in domains].index(name) + 1
        same = [turn for turn, part in enumerate(turns) if part.name == name]
        part = f", part {same.index(index) + 1} of {len(same)}" if len(same) > 1 else ""
        return f"update domain {name} ({number} of {len(domains)}{part})"

    def _down(self, iterator, hosts: set[str]) -> set[str]:
        return hosts.intersection(set().union(*self._failures(iterator).values()))

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
