# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guests of a host are told of its update, and which other hosts have to tell it as well. Pure; knows no Ansible."""
from __future__ import annotations

import math
import typing as t

from .update_domains import UpdateDomainError, group_hosts, order_domains

Result = t.Mapping[str, t.Any]

#: Seconds that a guest is taken to be paused when nothing but services are restarted meanwhile: each takes a fraction of one.
RESTARTS = 5
_KEPT = "The host is updated. The virtual machine is paused meanwhile, and its memory is kept."
_STOPPED = "The host is updated. The virtual machine is shut down and started again, and its memory is lost."
_REBOOTED = "The host is updated and rebooted. The virtual machine is saved and restored, and its memory is kept."


def _duration(guest: Result, restarts_only: bool, duration: float) -> int:
    """Seconds that a guest is expected to be away, rounded up; -1 when nothing is known."""
    pause = guest["pause"]
    if pause is not None and not duration:
        # What the plan has is the limit.
        pause = RESTARTS if restarts_only else None
        if pause is None and guest["away"] is None:
            return -1
    return max(1, math.ceil((pause or 0.0) + (guest["away"] or 0.0)))


def host_events(plan: Result, told: Result, restarts_only: bool = False, duration: float = 0.0) -> dict[str, t.Any]:
    """The events of a host's update.

    :param plan: Its plan, see `host_plan`.
    :param told: What scheduled_event_info returned on it.
    :param restarts_only: Nothing but services are restarted while the guests are paused.
    :param duration: Seconds that the update is expected to take while the guests are paused; 0 when not known.
    :returns: `events`, one for each guest that is interrupted and can be told, for scheduled_event; `untold`, the others with `name` and `why`.
    """
    known = {guest["uuid"]: guest for guest in told["guests"]}
    duration = float(duration)  # older cores give templates as text
    events, untold = [], []
    for guest in plan["guests"]:
        if guest["pause"] is None and guest["away"] is None and not guest["stop"]:
            continue
        found = known.get(guest["uuid"])
        if found is None or not found["reachable"]:
            untold.append({"name": guest["name"], "why": "the host's service does not know it" if found is None else found["why_not"]})
            continue
        events.append({
            "guest": guest["uuid"], "name": guest["name"], "type": "Reboot" if guest["stop"] else "Freeze",
            # How long a guest takes to shut down and to boot is known to nobody here.
            "duration": -1 if guest["stop"] else _duration(guest, restarts_only, duration),
            "description": _STOPPED if guest["stop"] else _REBOOTED if plan["technique"] == "reboot" else _KEPT, "resource": found["resource"],
            "availability_set": found["availability_set"],
        })
    return {"events": events, "untold": untold}


def event_lines(found: Result, notice: float) -> list[str]:
    """What guests are told, in words.

    :param found: See `host_events`.
    :param notice: Seconds of notice.
    """
    return [
        *(
            f"guest {one['name']}: told {notice / 60:g} min ahead, {'that it will be shut down' if one['type'] == 'Reboot' else _expected(one['duration'])}"
            for one in found["events"]
        ),
        *(f"guest {one['name']}: cannot be told ahead ({one['why']})" for one in found["untold"]),
    ]


def _expected(duration: int) -> str:
    return "for how long it will be away is not known" if duration < 0 else f"that it will be away for {duration} s"


def sets_of(told: Result, settings: Result) -> list[str]:
    """The availability sets that have members on a host.

    :param told: What scheduled_event_info returned there; empty when it was not asked.
    :param settings: The variable `scheduled_events_guests` of that host.
    """
    found = [guest["availability_set"] for guest in told.get("guests", [])] + [one.get("availability_set") for one in settings.values()]
    return sorted({one for one in found if one})


def event_copies(announced: t.Sequence[Result], sets: t.Mapping[str, t.Sequence[str]]) -> list[dict[str, t.Any]]:
    """What other hosts have to tell their guests, because they have members of the same sets.

    :param announced: Events as scheduled_event returned them, of one host or of several.
    :param sets: By host, the sets that have members there.
    :returns: `host`, which has to tell, `of`, the host that is updated, and `events`, for scheduled_event.
    """
    found: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
    for one in announced:
        for other, theirs in sets.items():
            if other != one["host"] and one["availability_set"] in theirs and one["status"] == "Scheduled":
                found.setdefault((other, one["host"]), []).append({
                    "guest": one["guest"], "name": one["name"], "type": one["type"], "duration": one["duration"], "description": one["description"],
                    "resource": one["resources"][0], "availability_set": one["availability_set"], "id": one["id"], "not_before": one["not_before"],
                })
    return [{"host": host, "of": of, "events": events} for (host, of), events in found.items()]


def event_relatives(host: str, sets: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The other hosts that have guests of the same availability sets.

    :param host: This host.
    :param sets: By host, the sets that have members there.
    """
    return [other for other, theirs in sets.items() if other != host and set(theirs) & set(sets.get(host, ()))]


def event_approvals(results: t.Sequence[Result]) -> list[dict[str, t.Any]]:
    """The approvals that guests of other hosts have given, for scheduled_event.

    :param results: What scheduled_event returned there.
    """
    found = {
        one["id"]: {"id": one["id"], "guest": one["approved_by_guest"], "name": one["approved_by"], "at": one["approved_at"]}
        for result in results for one in result.get("events", []) if one["approved"]
    }
    return list(found.values())


def told_ahead(host: str, domains: t.Mapping[str, t.Any], order: t.Any = None, first: t.Any = None) -> list[str]:
    """The hosts of the next update domain whose guests this host has announced to: each host of a domain does so for a part of them.

    :param host: This host.
    :param domains: By host of the play, its `update_domain`.
    :param order: The variable `update_domain_order`.
    :param first: The variable `update_domain_first`.
    """
    try:
        ordered = order_domains(group_hosts(domains), order, first)
    except UpdateDomainError:  # another strategy, without domains: nothing is known of who is next
        return []
    for domain, following in zip(ordered, ordered[1:]):
        if host in domain.hosts:
            return list(following.hosts[domain.hosts.index(host)::len(domain.hosts)])
    return []
