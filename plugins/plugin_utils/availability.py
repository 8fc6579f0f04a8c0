# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests form an availability set, and which update domains would take too many of them down at once. Pure.

While an update domain is updated, all guests on its hosts count as down: each of them is paused or moved at some moment, and nothing says that it is not the
same moment.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from .update_domains import domain_name, natural_key

#: Guests that have to be left of a set for which nothing is said.
MIN_AVAILABLE = 1
_SETTINGS = ("min_available", "guests")


class AvailabilityError(ValueError):
    """The guests, the availability sets or the names that are accepted cannot be used; the text is for the operator."""


class Member(t.NamedTuple):
    """A running guest of an availability set, and where it runs."""

    host: str
    guest: str

    def __str__(self) -> str:
        return f"{self.guest} on {self.host}"


@dataclass(frozen=True)
class AvailabilitySet:
    """Guests that serve the same purpose and must not all be down at once.

    :ivar min_available: How many of them have to run at any time, at least 1.
    :ivar members: Those that run, in natural order of their names.
    :ivar not_running: The names of those that the inventory lists and that do not run on any of the hosts.
    """

    name: str
    min_available: int
    members: tuple[Member, ...]
    not_running: tuple[str, ...] = ()

    @property
    def spare(self) -> int:
        """How many of the running members may be down at the same time; not positive if none may."""
        return len(self.members) - self.min_available

    def on(self, hosts: t.Container[str]) -> tuple[Member, ...]:
        """The running members on some hosts."""
        return tuple(member for member in self.members if member.host in hosts)


def listed(members: t.Iterable[Member]) -> str:
    """Members, as a sentence has them."""
    return ", ".join(map(str, members))


def known_sets(placement: object, inventory: object = None) -> list[AvailabilitySet]:
    """The availability sets that have a running member on the hosts, or that the inventory names; in natural order.

    The inventory's word comes before a guest's own: a guest that it lists in a set is in the inventory's sets alone.

    :param placement: By host, its guests, as guest_info or scheduled_event_info returns them: `name`, and where known `state` (without one it runs) and
        `availability_set`, the set that the guest's metadata names.
    :param inventory: By set, `min_available` (default 1) and `guests`, the names of its members; without `guests` the metadata says who they are.
    :raises AvailabilityError: One of the two has another form, or they contradict each other.
    """
    guests = _guests(placement)
    settings = _settings(inventory)
    sets_of: dict[str, list[str]] = {}
    for name, one in settings.items():
        for guest in one.get("guests", ()):
            sets_of.setdefault(guest, []).append(name)
    members: dict[str, list[Member]] = {name: [] for name in settings}
    for host, guest, runs, said in guests:
        if guest not in sets_of and said in settings and "guests" in settings[said]:
            raise AvailabilityError(
                f"guest {guest} on host {host} is said to be in availability set {said}, whose guests availability_sets lists without it: add it to "
                "that list, or take availability_set out of the guest's metadata"
            )
        for name in sets_of.get(guest, [said] if said else []):
            if runs:
                members.setdefault(name, []).append(Member(host, guest))
    _refuse_doubles(sets_of, guests)
    found = []
    for name in sorted(members, key=natural_key):
        running = {member.guest for member in members[name]}
        found.append(AvailabilitySet(
            name, settings.get(name, {}).get("min_available", MIN_AVAILABLE), tuple(sorted(members[name], key=_order)),
            tuple(sorted((guest for guest in settings.get(name, {}).get("guests", ()) if guest not in running), key=natural_key)),
        ))
    return found


def _order(member: Member) -> t.Any:
    return natural_key(member.guest), natural_key(member.host)


def _refuse_doubles(sets_of: Mapping[str, t.Sequence[str]], guests: t.Iterable[tuple[str, str, bool, str]]) -> None:
    """A name in the inventory has to mean one guest: libvirt keeps names apart on one host only."""
    where: dict[str, str] = {}
    for host, guest, runs, _said in guests:
        if runs and guest in sets_of and where.setdefault(guest, host) != host:
            first, second = sorted((where[guest], host), key=natural_key)
            raise AvailabilityError(
                f"guest {guest} of availability set {sets_of[guest][0]} runs on host {first} and on host {second}: availability_sets cannot tell them apart, "
                "so rename one, or name the set in the metadata of each instead"
            )


def _guests(placement: object) -> list[tuple[str, str, bool, str]]:
    """Host, name, whether it runs, and its own word for its set (else empty), of each guest; independent of the order of the hosts."""
    if not isinstance(placement, Mapping):
        raise AvailabilityError("the guests must be given as a dictionary of hosts, each with the list of guests that guest_info returns")
    found = []
    for host in sorted(placement, key=str):
        guests = placement[host]
        if not isinstance(guests, (list, tuple)):
            raise AvailabilityError(f"the guests of host {host} must be a list, as guest_info returns it: see whether guest_info failed there")
        for number, guest in enumerate(guests, 1):
            found.append((str(host), *_guest(guest, f"host {host}", number)))
    return found


def _guest(guest: object, where: str, number: int) -> tuple[str, bool, str]:
    if not isinstance(guest, Mapping) or not isinstance(guest.get("name"), str) or not guest["name"]:
        raise AvailabilityError(f"guest {number} of {where} must be a dictionary with its name, as guest_info returns it")
    name = str(guest["name"])
    if guest.get("error"):
        raise AvailabilityError(f"guest {name} on {where} did not answer guest_info, so its availability set is not known: repair it and look again")
    state, said = guest.get("state", "running"), guest.get("availability_set")
    if not isinstance(state, str):
        raise AvailabilityError(f"the state of guest {name} on {where} must be libvirt's word for it, for example running")
    if said is not None and not isinstance(said, str):
        raise AvailabilityError(f"the availability_set of guest {name} on {where} must be the name of one set: put the name in quotes")
    return name, state == "running", str(said or "")


def _settings(inventory: object) -> dict[str, dict[str, t.Any]]:
    """The variable `availability_sets`, checked."""
    if inventory is None:
        return {}
    if not isinstance(inventory, Mapping):
        raise AvailabilityError("availability_sets must be a dictionary, for example {web: {min_available: 2, guests: [web1, web2, web3]}}")
    return {str(name): _setting(name, one) for name, one in inventory.items()}


def _setting(name: object, one: object) -> dict[str, t.Any]:
    if not isinstance(name, str) or not name:
        raise AvailabilityError(f"availability_sets has a set with the name {name!r}: its name must be a text, so put it in quotes")
    if not isinstance(one, Mapping):
        raise AvailabilityError(f"availability set {name} must be a dictionary, for example {{min_available: 2, guests: [web1, web2, web3]}}")
    unknown = [str(key) for key in one if key not in _SETTINGS]
    if unknown:
        raise AvailabilityError(f"availability set {name} has {', '.join(unknown)}, which is not known: it may have {' and '.join(_SETTINGS)}")
    found = dict(one)
    least = found.get("min_available", MIN_AVAILABLE)
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise AvailabilityError(
            f"min_available of availability set {name} must be a whole number from 1: to allow that all its guests are down, accept the set by name"
        )
    guests = found.get("guests", [])
    if not isinstance(guests, (list, tuple)) or not all(isinstance(guest, str) and guest for guest in guests):
        raise AvailabilityError(f"guests of availability set {name} must be a list of names: put names that are numbers in quotes")
    twice = sorted({guest for guest in guests if guests.count(guest) > 1}, key=natural_key)
    if twice:
        raise AvailabilityError(f"availability set {name} lists more than once: {', '.join(twice)}: list each guest once")
    if "guests" in found and least > len(guests):
        raise AvailabilityError(f"min_available of availability set {name} is {least}, and it lists only {len(guests)} guests: lower it, or list the others")
    return found


def not_accepted(sets: t.Iterable[AvailabilitySet], accepted: object = ()) -> list[AvailabilitySet]:
    """The sets without those whose problems the operator accepts.

    :param accepted: Names of sets.
    :raises AvailabilityError: It is no list of names, or names a set that does not exist.
    """
    sets = list(sets)
    if not isinstance(accepted, (list, tuple)) or not all(isinstance(name, str) for name in accepted):
        raise AvailabilityError("accepted must be a list of names of availability sets, for example [web]")
    known = [one.name for one in sets]
    unknown = [name for name in accepted if name not in known]
    if unknown:
        raise AvailabilityError(
            f"accepted names availability set {', '.join(unknown)}, which does not exist: correct the name or leave it out; there is "
            f"{', '.join(known) or 'none'}"
        )
    return [one for one in sets if one.name not in accepted]


def named_domains(placement: Mapping[str, object], domains: object) -> dict[str, str]:
    """By host, the name of its update domain, empty where it has none.

    :param domains: By host, its `update_domain`.
    :raises AvailabilityError: It has another form, or a host whose guests are not known.
    """
    if not isinstance(domains, Mapping):
        raise AvailabilityError("the update domains must be given as a dictionary of hosts, each with its update_domain")
    unseen = [str(host) for host in domains if host not in placement]
    if unseen:
        raise AvailabilityError(f"the guests of host {', '.join(unseen)} are not known: run guest_info there, too, or leave it out of the update domains")
    found = {}
    for host in placement:
        try:
            found[str(host)] = domain_name(domains.get(host))
        except TypeError as exc:
            raise AvailabilityError(f"update_domain of host {host} is of type {exc}: give it a string or an integer") from None
    return found


def availability_problems(
    placement: Mapping[str, t.Sequence[Mapping[str, t.Any]]], domains: Mapping[str, object], availability_sets: Mapping[str, t.Any] | None = None,
    accepted: t.Sequence[str] = (),
) -> list[dict[str, t.Any]]:
    """Where an update domain takes too many guests of an availability set down at once; empty if none does.

    A set without a running guest on these hosts has no problem: updating them takes nothing away from it.

    :param placement: See `known_sets`.
    :param domains: By host, its `update_domain`.
    :param availability_sets: See `known_sets`.
    :param accepted: Names of sets whose problems are accepted.
    :returns: For each problem `set`; `domain`, `None` when too few run before anything is updated; `guests`, the names of its guests that run there;
        `message`, a sentence. In natural order of the sets, then of the domains.
    :raises AvailabilityError: What is given cannot be used.
    """
    sets = not_accepted(known_sets(placement, availability_sets), accepted)
    names = named_domains(placement, domains)
    without = [host for host, name in names.items() if not name]
    if without:
        raise AvailabilityError(f"the variable update_domain is not set or empty for host {', '.join(without)}: give it the name of its update domain")
    hosts: dict[str, list[str]] = {}
    for host, name in names.items():
        hosts.setdefault(name, []).append(host)
    return [problem for one in sets if one.members for problem in _problems(one, hosts)]


def _problems(one: AvailabilitySet, hosts: Mapping[str, t.Sequence[str]]) -> list[dict[str, t.Any]]:
    """The problems of a set that has running members.

    :param hosts: By update domain.
    """
    if one.spare < 0:
        return [_problem(one, None, one.members, (
            f"fewer guests of availability set {one.name} run ({len(one.members)}: {listed(one.members)}) than its min_available of {one.min_available}, "
            "before anything is updated"
        ))]
    found = []
    for domain in sorted(hosts, key=natural_key):
        there = one.on(hosts[domain])
        left = len(one.members) - len(there)
        if there and not left:
            found.append(_problem(one, domain, there, (
                f"update domain {domain} has all running guests of availability set {one.name} ({listed(there)}): none is left while it is updated"
            )))
        elif there and left < one.min_available:
            found.append(_problem(one, domain, there, (
                f"update domain {domain} has {len(there)} of the {len(one.members)} running guests of availability set {one.name} ({listed(there)}): "
                f"{left} would be left while it is updated, and min_available is {one.min_available}"
            )))
    return found


def _problem(one: AvailabilitySet, domain: str | None, guests: t.Iterable[Member], what: str) -> dict[str, t.Any]:
    missing = f" (not running on these hosts: {', '.join(one.not_running)})" if one.not_running else ""
    return {"set": one.name, "domain": domain, "guests": [member.guest for member in guests], "message": f"{what}{missing}"}
