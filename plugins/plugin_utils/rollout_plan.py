# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout would do to which host and when, and why it must not begin. Pure.

All hosts are asked before the first is touched: what would stop the rollout half way is better known now.
"""
from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from .availability import availability_problems
from .update_domains import UpdateDomain, group_hosts, order_domains


def rollout_plan(
    ahead: Mapping[str, Mapping[str, t.Any]],
    domains: Mapping[str, object],
    order: object = None,
    availability_sets: Mapping[str, t.Any] | None = None,
    accepted: Sequence[str] = (),
    fleet: Sequence[str] = (),
    first: object = None,
) -> dict[str, t.Any]:
    """The plan of a rollout.

    :param ahead: By host of the run, what it said ahead of its turn (`host_update_ahead`): `refused` (why its update would be refused, or empty), `left` (an
        earlier run left something to be healed first), `plan` (`host_update_plan`; `None` with nothing to do) and `guests` (of guest_info). Empty: the host
        did not answer.
    :param domains: By host of the run, its `update_domain`.
    :param order: `update_domain_order`.
    :param availability_sets: As `availability.known_sets` takes them.
    :param accepted: Names of sets whose problems are accepted.
    :param fleet: All hosts that are in an update domain. Availability sets are checked when none of them is left out of the run.
    :param first: `update_domain_first`.
    :returns: `lines`, for people; `refused`, by host, why the rollout must not begin; `problems`, those of the availability sets, a sentence each; `domains`,
        in their order, each with `name` and `hosts`.
    :raises UpdateDomainError: The update domains cannot be used.
    :raises AvailabilityError: The availability sets cannot be used.
    """
    ordered = order_domains(group_hosts(domains), order, first)
    refused = {host: why for host in ahead if (why := _refusal(host, ahead[host]))}
    left_out = [host for host in fleet if host not in ahead]
    checks = not refused and not left_out
    problems = [one["message"] for one in availability_problems(_placement(ahead), domains, availability_sets, accepted)] if checks else []
    lines: list[str] = []
    for number, domain in enumerate(ordered, 1):
        lines.append(f"update domain {domain.name} ({number} of {len(ordered)})")
        lines += [f"  {host}: {_host(host, ahead[host])}" for host in domain.hosts]
    lines += _longest(ordered, ahead)
    if left_out:
        lines.append(f"availability sets were not checked, for the run leaves out {len(left_out)} of {len(fleet)} hosts of the fleet")
    lines += [f"availability: {problem}" for problem in problems]
    return {
        "lines": lines, "refused": refused, "problems": problems, "domains": [{"name": one.name, "hosts": list(one.hosts)} for one in ordered],
    }


def _placement(ahead: Mapping[str, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    return {host: said["guests"] for host, said in ahead.items() if said}


def _refusal(host: str, said: Mapping[str, t.Any]) -> str:
    """In one line, without the name of the host; empty if nothing stands in the way."""
    if not said:
        return "it does not answer"
    return " ".join(str(said["refused"]).split()).removeprefix(f"{host}: ")


def _host(host: str, said: Mapping[str, t.Any]) -> str:
    if why := _refusal(host, said):
        return why if why.startswith("refused") else f"refused: {why}"
    if said["left"]:
        return "what an earlier run left of its guests is put right first, then it is judged"
    plan = said["plan"]
    if plan is None:
        return "nothing is pending"
    stopped = ", ".join(guest["name"] for guest in plan["guests"] if guest["stop"])
    parts = [f"SHUT DOWN and started again: {stopped}"] if stopped else []
    parts += [_guests(plan["guests"], "pause", "paused for at most"), _guests(plan["guests"], "away", "away for about")]
    alone = [guest for guest in plan["guests"] if guest["left_alone"]]
    parts += [f"{_count(alone)} left alone"] if alone else []
    return f"{plan['technique']}; {', '.join(part for part in parts if part) or 'guests run on'}"


def _guests(guests: Sequence[Mapping[str, t.Any]], what: str, words: str) -> str:
    found = [guest[what] for guest in guests if guest[what] is not None]
    return f"{_count(found)} {words} {max(found):.1f} s" if found else ""


def _count(guests: Sequence[object]) -> str:
    return "1 guest" if len(guests) == 1 else f"{len(guests)} guests"


def _longest(domains: Sequence[UpdateDomain], ahead: Mapping[str, Mapping[str, t.Any]]) -> list[str]:
    """The guest that is expected to be away for longest."""
    found = [
        (guest["away"], guest["name"], host) for domain in domains for host in domain.hosts if (said := ahead[host]) and said["plan"]
        for guest in said["plan"]["guests"] if guest["away"] is not None
    ]
    if not found:
        return []
    seconds, guest, host = max(found)
    return [f"away for longest: guest {guest} on {host}, about {seconds:.1f} s"]
