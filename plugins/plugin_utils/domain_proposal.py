# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host could be in which update domain, so that no domain takes too many guests of an availability set down. Pure.

That is the colouring of a graph, with sizes: two hosts with a guest each of a pair of guests need different colours, and of a larger set a domain may have so
many guests as the set can spare. Finding out can take for ever, so the search has an end; what it says depends on what is given alone, never on time or order.
"""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Mapping

from .availability import AvailabilityError, AvailabilitySet, known_sets, listed, named_domains, not_accepted
from .update_domains import natural_key

#: Azure's number, too.
MAX_DOMAINS = 5
#: How many times a search puts a host into a domain, at most.
STEPS = 20_000

#: So many sets are named in a sentence.
_NAMED = 10
_NEXT = "move guests to other hosts, start more of them, lower min_available, raise max_domains, or accept the set by name"
#: Hosts that are not in the domain that they have now, and the sum of the squares of the domains' sizes, which is least when they are equal.
_Cost = tuple[int, int]


class NoProposal(ValueError):
    """There are no update domains to propose; the text is for the operator.

    :ivar proved: There is no solution. Otherwise none was found before the search had to end.
    """

    def __init__(self, message: str, proved: bool) -> None:
        super().__init__(message)
        self.proved = proved


def propose_update_domains(
    placement: Mapping[str, t.Sequence[Mapping[str, t.Any]]], availability_sets: Mapping[str, t.Any] | None = None,
    domains: Mapping[str, object] | None = None, max_domains: int = MAX_DOMAINS, accepted: t.Sequence[str] = (),
) -> dict[str, str]:
    """An update domain for each host, such that `availability.availability_problems` finds no problem but those that are accepted.

    All hosts that have an update domain keep it, if that is possible. Otherwise as few as possible get another, then the sizes of the domains are as equal
    as possible (the sum of their squares is the least); both as far as the search gets, and to the end on small fleets. `max_domains` domains are used where
    there are as many hosts, so that each is small; fewer where keeping what is there leaves no choice.

    :param placement: By host, its guests; see `availability.known_sets`.
    :param availability_sets: See `availability.known_sets`.
    :param domains: By host, the `update_domain` that it has; hosts without one may be left out.
    :param max_domains: How many domains there may be, from 1.
    :param accepted: Names of sets that are not looked at.
    :returns: By host, in natural order, the name of its domain; new ones are `0`, `1` and so on.
    :raises AvailabilityError: What is given cannot be used.
    :raises NoProposal: There is none, or none was found.
    """
    if isinstance(max_domains, bool) or not isinstance(max_domains, int) or max_domains < 1:
        raise AvailabilityError("max_domains must be a whole number from 1")
    sets = [one for one in not_accepted(known_sets(placement, availability_sets), accepted) if one.members]
    present = named_domains(placement, {} if domains is None else domains)
    hosts = sorted(present, key=natural_key)
    reasons = [reason for one in sets for reason in _impossible(one, max_domains)]
    if reasons:
        raise NoProposal(f"there is no solution: {'; '.join(reasons)}: {_NEXT}", proved=True)

    wishes = {host: name for host, name in present.items() if name}
    most = min(max_domains, len(hosts))
    names = _names(set(wishes.values()), most)
    # First nobody moves. The last way is the quickest to show that there is no solution, since one name is as good to it as another.
    ways: list[tuple[dict[str, str], bool]] = [(wishes, True), (wishes, False)] if wishes else []
    for wanted, binding in [*ways, ({}, False)]:
        found, complete = _Search(hosts, sets, names, wanted, binding, most).run()
        if found is not None:
            return {host: found[host] for host in hosts}
        if complete and not binding:
            which = ", ".join(one.name for one in sets) if len(sets) <= _NAMED else f"{len(sets)} in number"
            raise NoProposal(
                f"there is no solution: no way to put these hosts into {max_domains} update domains keeps min_available of all availability sets ({which}): "
                f"{_NEXT}", proved=True,
            )
    raise NoProposal(f"none was found in a search of {STEPS} steps, and whether there is a solution is not known: {_NEXT}", proved=False)


def _names(present: set[str], count: int) -> list[str]:
    """The names that domains may have: those that are there, and new ones up to a number."""
    new = (name for name in map(str, itertools.count()) if name not in present)
    return [*sorted(present, key=natural_key), *itertools.islice(new, max(0, count - len(present)))]


def _impossible(one: AvailabilitySet, max_domains: int) -> list[str]:
    """Why no domains can be right for a set, as far as that is seen without a search."""
    running, spare = len(one.members), one.spare
    if spare < 1:
        return [
            f"availability set {one.name} has min_available {one.min_available} and {running} running ({listed(one.members)}), "
            "so none of their hosts may be updated"
        ]
    there = [(host, one.on([host])) for host in sorted({member.host for member in one.members}, key=natural_key)]
    crowded = [
        f"host {host} alone has {len(members)} of the {running} running guests of availability set {one.name} ({listed(members)}), and with min_available "
        f"{one.min_available} only {spare} may be down at once" for host, members in there if len(members) > spare
    ]
    needed = -(-running // spare)
    if not crowded and needed > max_domains:
        return [
            f"availability set {one.name} needs {needed} update domains and {max_domains} are allowed: of its {running} running guests only {spare} may be "
            f"down at once, with min_available {one.min_available}"
        ]
    return crowded


class _Search:
    """Puts host after host into a domain, the one with the least choice first, and goes back where there is none; then looks for something better.

    :param hosts: All hosts, in natural order.
    :param sets: Those with running members.
    :param names: Those that a domain may have.
    :param wishes: By host, the name of the domain that it should be in.
    :param binding: Whether it has to be in that one.
    :param most: How many domains may be used.
    """

    def __init__(
        self, hosts: t.Sequence[str], sets: t.Sequence[AvailabilitySet], names: t.Sequence[str], wishes: Mapping[str, str], binding: bool, most: int,
    ) -> None:
        self._names, self._most = names, most
        self._wish = {host: names.index(name) for host, name in wishes.items()}
        self._wished = set(self._wish.values())
        # By host, how many guests of each set it has; by set, which hosts have some.
        self._weight: dict[str, dict[int, int]] = {host: {} for host in hosts}
        for number, one in enumerate(sets):
            for member in one.members:
                self._weight[member.host][number] = self._weight[member.host].get(number, 0) + 1
        self._hosts_of = [[host for host in hosts if number in self._weight[host]] for number in range(len(sets))]
        self._spare = [one.spare for one in sets]
        # By domain, how many hosts it has, and how many guests of each set.
        self._size = [0] * len(names)
        self._load = [[0] * len(sets) for _name in names]
        # By host and domain, how many sets forbid it; by host, how many domains none forbids.
        self._forbidden = {host: [0] * len(names) for host in hosts}
        self._room = dict.fromkeys(hosts, len(names))
        self._domain: dict[str, int] = {}
        self._moved = 0

        pinned = [host for host in hosts if binding and host in wishes]
        self._possible = not binding or len(set(wishes.values())) <= most
        for host in pinned:
            self._possible = self._possible and not self._forbidden[host][self._wish[host]]
            self._put(host, self._wish[host])
        # Hosts without a guest that matters and without a wish fit in anywhere: they make the sizes equal at the end.
        self._fill = [host for host in hosts if not self._weight[host] and host not in self._wish]
        self._order = sorted(set(hosts).difference(pinned, self._fill), key=self._rank)

    def _rank(self, host: str) -> t.Any:
        return host not in self._wish, -sum(count / self._spare[number] for number, count in self._weight[host].items()), natural_key(host)

    def run(self) -> tuple[dict[str, str] | None, bool]:
        """The best domains that were found, or `None`, and whether the search came to its end."""
        if not self._possible:
            return None, True
        floor = self._bound()
        if not self._order:
            return self._result(), True
        best: dict[str, str] | None = None
        cost, steps = floor, 0
        stack = [self._choices()]
        while stack:
            host, choices = stack[-1]
            if host in self._domain:
                self._take(host)
            if not choices:
                stack.pop()
                continue
            if steps == STEPS:
                return best, False
            steps += 1
            self._put(host, choices.pop())
            bound = self._bound()
            if best is not None and bound >= cost:
                continue
            if len(stack) < len(self._order):
                stack.append(self._choices())
                continue
            best, cost = self._result(), bound
            if cost == floor:
                break
        return best, True

    def _choices(self) -> tuple[str, list[int]]:
        """The next host, and the domains that it can be put into, the best one last."""
        host = min((host for host in self._order if host not in self._domain), key=self._room.__getitem__)
        wish, empty = self._wish.get(host), self._empty()
        found = [domain for domain, sets in enumerate(self._forbidden[host]) if not sets and (self._size[domain] or domain in empty)]
        return host, sorted(found, key=lambda domain: (domain == wish, -self._size[domain], -domain))

    def _empty(self) -> list[int]:
        """The empty domains that a host may be put into. Of those that no host wishes for one is as good as the other."""
        empty = [domain for domain, size in enumerate(self._size) if not size]
        if len(self._names) - len(empty) == self._most:
            return []
        wished = [domain for domain in empty if domain in self._wished]
        return [*wished, *[domain for domain in empty if domain not in self._wished][:1]]

    def _put(self, host: str, domain: int) -> None:
        self._domain[host] = domain
        self._changed(host, domain, 1)

    def _take(self, host: str) -> None:
        self._changed(host, self._domain.pop(host), -1)

    def _changed(self, host: str, domain: int, sign: int) -> None:
        """Count a host in a domain, or no longer.

        :param sign: 1 or -1.
        """
        self._size[domain] += sign
        self._moved += sign * (self._wish.get(host, domain) != domain)
        for number, count in self._weight[host].items():
            before, spare = self._load[domain][number], self._spare[number]
            after = self._load[domain][number] = before + sign * count
            for other in self._hosts_of[number]:
                weight = self._weight[other][number]
                if (before + weight > spare) != (after + weight > spare):
                    forbidden = self._forbidden[other]
                    self._room[other] -= not forbidden[domain]
                    forbidden[domain] += sign
                    self._room[other] += not forbidden[domain]

    def _bound(self) -> _Cost:
        """What the domains cost at the least, whatever becomes of the hosts that are in none yet; when only those to fill up with are left, what they cost."""
        used = [size for size in self._size if size]
        return self._moved, least_squares([*used, *[0] * (self._most - len(used))], len(self._room) - len(self._domain))

    def _result(self) -> dict[str, str]:
        size = list(self._size)
        unused = [domain for domain, hosts in enumerate(size) if not hosts][self._most - sum(map(bool, size)):]
        allowed = [domain for domain in range(len(size)) if domain not in unused]
        found = {host: self._names[domain] for host, domain in self._domain.items()}
        for host in self._fill:
            domain = min(allowed, key=size.__getitem__)
            size[domain] += 1
            found[host] = self._names[domain]
        return found


def least_squares(sizes: t.Iterable[int], more: int) -> int:
    """The least sum of the squares of the domains' sizes after more hosts have been added, each wherever one likes.

    :param sizes: None only without hosts.
    """
    sizes = sorted(sizes)
    total = more
    for count, size in enumerate(sizes, 1):
        total += size
        # The smallest are filled up to one level, as water would.
        if count == len(sizes) or total <= sizes[count] * count:
            level, above = divmod(total, count)
            return above * (level + 1) ** 2 + (count - above) * level ** 2 + sum(other ** 2 for other in sizes[count:])
    return 0
