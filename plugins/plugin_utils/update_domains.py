# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts form an update domain, in which order the domains are updated, and when a rollout has to stop.

Pure decisions on host names and variable values: nothing here knows Ansible, so that the strategy plugin and the filters
decide alike and a table can test it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

# The bits of ansible-playbook's result that only repeat what the lists of failed (2) and unreachable (4) hosts say.
_HOSTS_FAILED_OR_UNREACHABLE = 2 | 4

_NEXT = (
    "What to do next: the messages above say why; repair it. If guests may be left paused, run the playbook "
    "vm_preserving.maintenance.recover (the guard on each host resumes them at their deadline). Then run this playbook again."
)


class UpdateDomainError(ValueError):
    """The variables `update_domain` or `update_domain_order` cannot be used; the text is for the operator."""


@dataclass(frozen=True)
class UpdateDomain:
    """Hosts that may be updated at the same time, in inventory order."""

    name: str
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.hosts)})"


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts `2` before `10` and `rack2` before `rack10`; different names never compare equal."""
    # Splitting at the digits makes text and numbers alternate, so that a number is never compared with text. A number is
    # compared by its length first: no int(), which refuses thousands of digits.
    parts = [(len(part), part) if index % 2 else (0, part) for index, part in enumerate(_text_and_numbers(name))]
    return parts, name


def _text_and_numbers(name: str) -> list[str]:
    return [part.lstrip("0") if index % 2 else part for index, part in enumerate(re.split("([0-9]+)", name))]


def domain_name(value: object) -> str:
    """The name that a value of `update_domain` stands for; empty if it is not set.

    An integer is the same as its digits in a string: INI inventories make integers where YAML inventories have strings.
    Raises TypeError, with the name of the type, for everything that is neither.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(_type_name(value))
    name = str(value)
    return name if name.strip() else ""


def as_numbers(values: Mapping[str, object]) -> str | None:
    """A warning if `values` (host name: its `update_domain`) has numbers that may have been written otherwise than they are read; else None.

    YAML reads `010` as 8, `0x10` as 16 and `1:30` as 90, and does not say so. Up to 7 no domain can be taken for another by that.
    """
    groups: dict[int, list[str]] = {}
    for host, value in values.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 7:
            groups.setdefault(value, []).append(host)
    if not groups:
        return None
    named = ", ".join(f"{number} ({', '.join(hosts)})" for number, hosts in sorted(groups.items()))
    return (
        f"These update domains are numbers in the inventory, not texts: {named}. YAML reads 010 as 8, and 1:30 as 90. If that is not what is written there, "
        "stop, and put the name in quotes: update_domain: \"010\"."
    )


def _type_name(value: object) -> str:
    # Ansible hands out subclasses with names such as _AnsibleLazyTemplateDict.
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str), ("dict", Mapping), ("list", (list, tuple))):
        if isinstance(value, kind):
            return name
    return type(value).__name__


def group_hosts(values: Mapping[str, object]) -> list[UpdateDomain]:
    """The update domains of `values` (host name: its `update_domain`), in the order in which they first appear.

    An exception as a value says why it could not be read. Raises UpdateDomainError that names every host without a usable
    value, so that an operator repairs the inventory once.
    """
    groups: dict[str, list[str]] = {}
    missing, wrong = [], []
    for host, value in values.items():
        try:
            if isinstance(value, Exception):
                wrong.append(f"{host} (cannot be templated: {_one_line(value)})")
            elif name := domain_name(value):
                groups.setdefault(name, []).append(host)
            else:
                missing.append(host)
        except TypeError as exc:
            wrong.append(f"{host} ({exc})")

    problems = []
    if missing:
        problems.append(f"the variable update_domain is not set or empty for {', '.join(missing)}")
    if wrong:
        problems.append(f"the variable update_domain is not a string or an integer for {', '.join(wrong)}")
    if problems:
        raise UpdateDomainError(
            f"No host was touched: {'; and '.join(problems)}: give every host of this play the name of its update domain "
            "in the inventory, for example 'update_domain: \"2\"'."
        )
    return [UpdateDomain(name, tuple(hosts)) for name, hosts in groups.items()]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def common_value(variable: str, values: Mapping[str, object]) -> object:
    """The one value of `variable` that all hosts see (host name: value).

    Raises UpdateDomainError if the hosts do not agree, or if an exception stands for a value that could not be read.
    """
    first_host, first = "", None
    for number, (host, value) in enumerate(values.items()):
        if isinstance(value, Exception):
            raise UpdateDomainError(f"No host was touched: {variable} of {host} cannot be templated: {_one_line(value)}.")
        if number == 0:
            first_host, first = host, value
        elif value != first:
            raise UpdateDomainError(
                f"No host was touched: {first_host} and {host} see different values of {variable}: set it once, "
                "as a variable of the play or with -e."
            )
    return first


def as_linear(values: Mapping[str, object], *, order: object, required: object) -> bool:
    """Whether there is nothing to order: `required` is false, there is no `order`, and no host of `values` (host name: its `update_domain`) has a domain.

    Raises UpdateDomainError if `required` is neither unset (None, which is true) nor a boolean.
    """
    if required is not None and not isinstance(required, bool):
        raise UpdateDomainError(f"No host was touched: update_domain_required must be true or false, not of type {_type_name(required)}.")
    unset = all(value is None or (isinstance(value, str) and not value.strip()) for value in values.values())
    return required is False and order is None and unset


def order_domains(domains: Iterable[UpdateDomain], order: object = None, first: object = None) -> list[UpdateDomain]:
    """The domains in the order in which they are to be updated: as listed in `order`; else those of `first` as listed, and the others in natural order.

    Both may name domains that have no host here (a run with --limit). Raises UpdateDomainError if one is not a list of names or names a domain twice, if both
    are given, or if `order` leaves out a domain that has hosts.
    """
    domains = sorted(domains, key=lambda domain: natural_key(domain.name))
    if order is not None and first is not None:
        raise UpdateDomainError("No host was touched: update_domain_order and update_domain_first are both set: leave one out.")
    if order is None:
        begin = [] if first is None else _names("update_domain_first", first)
        # Sorting is stable: the others stay in natural order.
        return sorted(domains, key=lambda domain: begin.index(domain.name) if domain.name in begin else len(begin))

    names = _names("update_domain_order", order)
    unnamed = [domain for domain in domains if domain.name not in names]
    if unnamed:
        raise UpdateDomainError(
            f"No host was touched: update_domain_order ({', '.join(names)}) does not name update domain "
            f"{', '.join(map(str, unnamed))}: add it where its turn is, or correct the hosts' update_domain."
        )
    return sorted(domains, key=lambda domain: names.index(domain.name))


def _names(variable: str, value: object) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise UpdateDomainError(
            f"No host was touched: {variable} must be a list of update domains, not of type {_type_name(value)}: "
            f"on the command line, write -e '{{\"{variable}\": [\"2\", \"10\"]}}'."
        )
    names = []
    for entry in value:
        try:
            name = domain_name(entry)
        except TypeError as exc:
            raise UpdateDomainError(f"No host was touched: {variable} holds a value of type {exc}: it takes strings and integers.") from None
        if not name:
            raise UpdateDomainError(f"No host was touched: {variable} holds an empty name.")
        names.append(name)
    twice = sorted({name for name in names if names.count(name) > 1}, key=natural_key)
    if twice:
        raise UpdateDomainError(f"No host was touched: {variable} names more than once: {', '.join(twice)}.")
    return names


def parts(domains: Iterable[UpdateDomain], most: object = None) -> list[UpdateDomain]:
    """The domains in parts of at most `most` hosts, which are updated one after the other; each has its domain's name.

    Raises UpdateDomainError if `most` is neither unset (None) nor a whole number from 1.
    """
    if most is None:
        return list(domains)
    size = _whole("update_domain_max_parallel_hosts", most, 1)
    return [UpdateDomain(domain.name, domain.hosts[begin:begin + size]) for domain in domains for begin in range(0, len(domain.hosts), size)]


def may_fail(value: object, hosts: int) -> int:
    """How many of so many hosts of a rollout may fail without its end: `value` is unset (None, which is 0), a whole number, or a percentage as `"10%"`.

    A percentage is rounded down. Raises UpdateDomainError for everything else.
    """
    if value is None:
        return 0
    if isinstance(value, str) and (found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%", value.strip())) and float(found[1]) <= 100:
        return int(hosts * float(found[1]) / 100)
    return _whole("update_domain_max_failed_hosts", value, 0, ', or a percentage of the hosts as "10%"')


def _whole(variable: str, value: object, least: int, or_else: str = "") -> int:
    # -e makes a string of a number.
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise UpdateDomainError(f"No host was touched: {variable} must be a whole number from {least}{or_else}.")
    return number


def within(domains: Iterable[UpdateDomain], hosts: Collection[str]) -> list[UpdateDomain]:
    """The domains with only those of their hosts that are in `hosts`; a domain without any is left out."""
    kept = (UpdateDomain(domain.name, tuple(host for host in domain.hosts if host in hosts)) for domain in domains)
    return [domain for domain in kept if domain.hosts]


def down(hosts: Iterable[str], *, failed: Collection[str], unreachable: Collection[str]) -> list[str]:
    """What went wrong earlier with any of `hosts`, as phrases; empty if nothing did. Other failed hosts do not matter."""
    hosts = list(hosts)
    return _phrases(
        # The strategy marks hosts of domains that it did not start as failed.
        ("failed or not started", [host for host in hosts if host in failed and host not in unreachable]),
        ("unreachable", [host for host in hosts if host in unreachable]),
    )


def shortfalls(
    domain: UpdateDomain,
    *,
    failed: Collection[str],
    unreachable: Collection[str],
    finished: Collection[str],
    result: int = 0,
    ended: bool = False,
) -> list[str]:
    """Why the next update domain must not start after `domain` was worked on, as phrases; empty if it may.

    `failed` and `unreachable` may hold hosts of other domains and plays: they do not count. `finished` are the hosts with
    no task left. `result` is what the run of the domain returned. `ended` says that the play was ordered to end.
    """
    known = {*failed, *unreachable}
    reasons = _phrases(
        ("failed", [host for host in domain.hosts if host in failed and host not in unreachable]),
        ("unreachable", [host for host in domain.hosts if host in unreachable]),
        ("not finished", [host for host in domain.hosts if host not in finished and host not in known]),
    )
    if ended:
        reasons.append("the play was ended early (meta: end_play)")
    # A failed host of another play makes the result non-zero for all that follows; no failed host at all does not.
    explained = _HOSTS_FAILED_OR_UNREACHABLE if known else 0
    if not reasons and result & ~explained:
        reasons.append(f"its run ended with result {result}")
    return reasons


def goes_on_message(domain: UpdateDomain, reasons: Iterable[str], failed: int, most: int) -> str:
    """What an operator reads when hosts of `domain` failed, and not more than may. failed: of the whole rollout so far. most: how many may."""
    why = f"{failed} of its hosts failed, and {most} may (update_domain_max_failed_hosts)"
    return f"update domain {domain.name}: {'; '.join(reasons)}. The rollout goes on: {why}"


def _phrases(*states: tuple[str, list[str]]) -> list[str]:
    return [f"{state}: {', '.join(hosts)}" for state, hosts in states if hosts]


def stop_message(domain: UpdateDomain, reasons: Iterable[str], not_started: Collection[UpdateDomain]) -> str:
    """What an operator reads when the rollout stops at `domain`."""
    if domain in not_started:
        headline = f"The rollout stops before update domain {domain.name}, because of an earlier play or batch: {'; '.join(reasons)}."
    else:
        headline = f"The rollout stops at update domain {domain.name}: {'; '.join(reasons)}."
    hosts: dict[str, list[str]] = {}
    for part in not_started:
        hosts.setdefault(part.name, []).extend(part.hosts)
    rest = ", ".join(str(UpdateDomain(name, tuple(names))) for name, names in hosts.items())
    return "\n".join([headline, f"Update domains not started: {rest}." if rest else "No update domain was left to start.", _NEXT])


def crowded(domains: Iterable[UpdateDomain], forks: int) -> str | None:
    """A warning if a domain has more hosts than Ansible works on at a time; else None."""
    largest = max(domains, key=lambda domain: len(domain.hosts), default=None)
    if largest is None or len(largest.hosts) <= forks:
        return None
    return (
        f"Update domain {largest.name} has {len(largest.hosts)} hosts, more than forks ({forks}): each task runs on them in waves, and a pause window "
        f"that is made of several tasks lasts longer. Run with --forks {len(largest.hosts)} or more."
    )
