# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's journal of a rollout: what its lines say, whether it is carried on, and whether the next update domain may begin.

Pure: nothing here knows Ansible or the disk. A journal is a list of events, each an object with `event` and `at` (ISO 8601 in UTC):

`opened`    first, and again where changed domains were accepted: `rollout` (its id), `domains` (of the whole fleet in their order, each `name` and `hosts`)
`run`       each time that the playbook is started for it: `by`, `process` (of ansible-playbook) and `hosts` (that it is limited to)
`begun`     a host is in work: `host`, `update`, `cleans_up` (whether the operator's tasks that clean up are due once it ends)
`done`, `failed`, `skipped`  how that ended: `host`
`cleaned`   the operator's tasks that clean up were run: `host`
`proved`    the host was looked at afterwards and is as it has to be: `host`
`closed`    nothing is left to do
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .update_domains import UpdateDomain

ENDED = ("done", "failed", "skipped")


class JournalError(ValueError):
    """The journal cannot be used, or says that the rollout must not go on; the text is for the operator."""


@dataclass(frozen=True)
class Process:
    """A process of ansible-playbook, so that it is known again: on which machine, since which boot, its pid and when it was started (clock ticks)."""

    node: str
    boot: str
    pid: int
    started: int


@dataclass
class Journal:
    """What a journal says, event by event.

    rollout: its id. domains: of the fleet, in their order. closed: nothing is left to do. by, process, hosts: of the latest run. since: when the rollout was
    opened. ever: hosts of any run. in_work: hosts whose update began and did not end, in any run. outcome: host name: how its last update ended. failed,
    proved: hosts, in the latest run. unclean: hosts that the operator's tasks have not cleaned up after, in any run.
    """

    rollout: str = ""
    since: str = ""
    domains: list[UpdateDomain] = field(default_factory=list)
    closed: bool = False
    by: str = ""
    process: Process | None = None
    hosts: list[str] = field(default_factory=list)
    ever: set[str] = field(default_factory=set)
    in_work: set[str] = field(default_factory=set)
    outcome: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    proved: set[str] = field(default_factory=set)
    unclean: set[str] = field(default_factory=set)

    def domain_of(self, host: str) -> int:
        """The position of a host's update domain. Raises JournalError for a host that the rollout does not know."""
        for number, domain in enumerate(self.domains):
            if host in domain.hosts:
                return number
        raise JournalError(f"{host} is in no update domain of rollout {self.rollout}")


def read(events: Iterable[Any]) -> Journal:
    """The journal of these events, the oldest first. Raises JournalError if they are not what this collection writes."""
    journal = Journal()
    try:
        for event in events:
            _apply(journal, event)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(f"it has an event that is none ({type(error).__name__}: {error})") from None
    if not journal.rollout:
        raise JournalError("it does not begin with the event 'opened'")
    return journal


def _apply(journal: Journal, event: Mapping[str, Any]) -> None:
    kind = event["event"]
    if kind == "opened":
        journal.rollout, journal.since = str(event["rollout"]), journal.since or str(event["at"])
        journal.domains = [UpdateDomain(str(one["name"]), tuple(map(str, one["hosts"]))) for one in event["domains"]]
    elif kind == "run":
        journal.by, journal.process, journal.hosts = str(event["by"]), Process(**event["process"]), list(map(str, event["hosts"]))
        journal.ever.update(journal.hosts)
        journal.proved, journal.failed = set(), set()
    elif kind == "begun":
        journal.in_work.add(event["host"])
        journal.outcome.pop(event["host"], None)
        if event.get("cleans_up", False):
            journal.unclean.add(event["host"])
    elif kind == "cleaned":
        journal.unclean.discard(event["host"])
    elif kind in ENDED:
        journal.in_work.discard(event["host"])
        journal.outcome[event["host"]] = kind
        if kind == "failed":
            journal.failed.add(event["host"])
    elif kind == "proved":
        journal.proved.add(event["host"])
    elif kind == "closed":
        journal.closed = True


def _head(journal: Journal) -> str:
    return f"rollout {journal.rollout}, begun at {journal.since}, last run by {journal.by}"


def _node(journal: Journal) -> str:
    return journal.process.node if journal.process else "another machine"


def at_work(journal: Journal, me: Process, lives: bool | None) -> str | None:
    """Why nobody else may have to do with a rollout now, not even to take its place: its process lives. None if that is not known."""
    if lives and journal.process is not None and journal.process != me:
        return f"{_head(journal)}, is at work: process {journal.process.pid} on {_node(journal)}. Wait for it to end"
    return None


def why_not_carried_on(journal: Journal, domains: Sequence[UpdateDomain], me: Process, lives: bool | None, accept_changes: bool) -> str | None:
    """Why a run must not carry on a rollout that is not closed, or None if it may.

    domains: of the inventory as it is now. lives: whether the process of its latest run still does; None if that is not to be seen from here. accept_changes:
    the operator has looked at what has changed in the inventory.
    """
    if (why := at_work(journal, me, lives)) is not None:
        return why
    if lives is None and journal.in_work:
        return (
            f"{_head(journal)} on {_node(journal)}, may still be at work on {', '.join(sorted(journal.in_work))}. Wait for it to end. If it has died, take its "
            f"place with -e rollout_take_over={journal.rollout}"
        )
    if changes := changed(journal.domains, domains):
        if not accept_changes:
            return f"{_head(journal)}, had other update domains: {'; '.join(changes)}. If that is right, run again with -e rollout_domains_changed=accept"
    return None


def changed(before: Sequence[UpdateDomain], after: Sequence[UpdateDomain]) -> list[str]:
    """What has changed between two lists of update domains, as phrases; their order counts."""
    was = {host: domain.name for domain in before for host in domain.hosts}
    now = {host: domain.name for domain in after for host in domain.hosts}
    phrases = [f"{host} was in {was[host]} and is in {now[host]}" for host in was if host in now and now[host] != was[host]]
    phrases += [f"{host} was in {was[host]} and is in none" for host in was if host not in now]
    phrases += [f"{host} is new in {now[host]}" for host in now if host not in was]
    both = {domain.name for domain in before} & {domain.name for domain in after}
    if not phrases and [one.name for one in before if one.name in both] != [one.name for one in after if one.name in both]:
        phrases.append(f"their order was {', '.join(one.name for one in before)} and is {', '.join(one.name for one in after)}")
    return phrases


def why_not_begun(journal: Journal, host: str, may_fail: int = 0) -> str | None:
    """Why a host must not begin in the latest run, or None if it may.

    It may when every host of the run in an earlier update domain is proved, and none of its own failed. may_fail: of so many hosts that need not be so.
    """
    mine = journal.domain_of(host)
    earlier = [name for domain in journal.domains[:mine] for name in domain.hosts if name in journal.hosts]
    # Of its own domain only a part may be worked on at a time. What failed in an earlier run is tried again now.
    own = [name for name in journal.domains[mine].hosts if name in journal.failed and name != host]
    failed = [*(name for name in earlier if journal.outcome.get(name) == "failed"), *own]
    open_ = [name for name in earlier if name not in journal.proved and name not in failed]
    if len(failed) + len(open_) <= may_fail:
        return None
    reasons = [f"{what}: {', '.join(names)}" for what, names in (("failed", failed), ("not done, or not seen to be in order in this run", open_)) if names]
    allowed = f", and only {may_fail} may (update_domain_max_failed_hosts)" if may_fail else ""
    return f"update domain {journal.domains[mine].name} does not begin, or not go on, because of other hosts: {'; '.join(reasons)}{allowed}"


def left(journal: Journal, hosts: Collection[str]) -> list[str]:
    """The hosts of a run that are not done in their rollout, in the order of their domains."""
    return [name for domain in journal.domains for name in domain.hosts if name in hosts and journal.outcome.get(name) not in ("done", "skipped")]
