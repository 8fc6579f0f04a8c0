# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a report holds against its own claims: everything is counted and compared once more, from the events. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .report_model import NOT_BACK, Event, Guest, Host, Story, story, totals
from .report_text import offset, seconds, visible

#: Seconds by which two accounts of the same pause may differ: both are rounded.
_ROUNDED = 0.011


class Verdict(t.NamedTuple):
    """What a check found.

    :ivar faults: What is not as the report claims, or as it is promised, in sentences.
    :ivar unproved: What the report does not claim, and nobody can know from it.
    :ivar counted: The totals, counted once more.
    """

    faults: list[str]
    unproved: list[str]
    counted: Event


def check(events: t.Sequence[Event], page: str | None = None, digest: str = "", rendered: str | None = None) -> Verdict:
    """Check a report.

    :param events: What its file has, see `report_file.read_events`.
    :param page: Its page; `None` when it is not there.
    :param digest: SHA-256 of the file.
    :param rendered: The page that this release makes of the events.
    """
    found = story(events)
    faults = [*_order(events), *_overlaps(found)]
    unproved: list[str] = []
    for host in found.hosts.values():
        for guest in host.guests.values():
            faults += _within_limits(host, guest)
            wrong, unknown = _clock(host, guest)
            faults += wrong
            unproved += unknown
            faults += _as_planned(host, guest)
            faults += _as_reported(host, guest)
        if host.withheld:
            unproved.append(f"{_name(host.name)}: {host.withheld} results were withheld by no_log")
    counted = totals(found)
    if found.end is None:
        unproved.append("the run did not end, or was killed: what came after the last event is not known")
    else:
        # What has been through JSON, as the claim has.
        faults += [f"the report claims {key} {visible(claim)}, and its events make {visible(counted.get(key))}"
                   for key, claim in sorted((found.end.get("totals") or {}).items()) if claim != counted.get(key)]
        faults += [] if found.end.get("totals") else ["the last event has no totals"]
    faults += _page(page, digest, rendered, found)
    return Verdict(faults, unproved, counted)


def _name(text: str) -> str:
    return visible(text)


def _order(events: t.Sequence[Event]) -> list[str]:
    """Nothing is missing in the middle, and nothing was put in."""
    wrong = [(number, event.get("n")) for number, event in enumerate(events) if event.get("n") != number]
    faults = [f"event {number} has the number {visible(said)}: something was taken out or put in" for number, said in wrong[:1]]
    faults += [f"event {number} is older than the one before" for number in range(1, len(events)) if events[number]["t"] < events[number - 1]["t"]][:1]
    if any(event["event"] == "end" for event in events[:-1]):
        faults.append("there are events after the end")
    return faults


def _overlaps(found: Story) -> list[str]:
    """No two update domains were worked on at the same time."""
    spans = []
    for name, hosts in found.domains:
        times = [host.touched for host in hosts if host.touched]
        if name and times:
            spans.append((min(began for began, _ended in times), max(ended for _began, ended in times), name))
    spans.sort()
    return [
        f"update domains {_name(one[2])} and {_name(other[2])} were worked on at the same time: until {seconds(one[1])} and from {seconds(other[0])}"
        for one, other in zip(spans, spans[1:]) if other[0] < one[1]
    ]


def _within_limits(host: Host, guest: Guest) -> list[str]:
    faults = []
    for pause in guest.pauses:
        who = f"{_name(host.name)}: guest {_name(guest.name)}"
        if pause.outcome in NOT_BACK:
            faults.append(f"{who} was not given back ({pause.outcome}): {visible(pause.message)}")
        elif pause.seconds is None or pause.limit is None:
            faults.append(f"{who}: it is not known that its {pause.kind} was within its limit ({seconds(pause.seconds)}, limit {seconds(pause.limit)})")
        elif pause.too_long:
            faults.append(f"{who}: its {pause.kind} lasted {seconds(pause.seconds)}, the limit is {seconds(pause.limit)}")
        if pause.problem:
            faults.append(f"{who} lacks something that it had: {visible(pause.problem)}")
    return faults


def _clock(host: Host, guest: Guest) -> tuple[list[str], list[str]]:
    if not guest.pauses:
        return [], []
    who = f"{_name(host.name)}: the clock of guest {_name(guest.name)}"
    if guest.clock != "in_sync":
        said = f"{who} is {visible(guest.clock)} ({offset(guest.now)}){': ' + visible(guest.clock_error) if guest.clock_error else ''}"
        return ([], [said]) if guest.clock == "unverified" else ([said], [])
    now = guest.now or {}
    away, bound = now.get("offset"), now.get("bound")
    if away is None or bound is None:
        return [f"{who} is said to be in sync, and there is no measurement of it"], []
    if guest.tolerance is None:
        return [], [f"{who} is said to be in sync, and within which tolerance is not in the report"]
    # The rule of the modules: in sync is what is proved to be, so the bound counts against it.
    if abs(away - (guest.target or 0.0)) + bound > guest.tolerance + 1e-6:
        return [f"{who} is said to be in sync, and was measured at {offset(now)}, with a tolerance of {guest.tolerance:g} s"], []
    return [], []


def _as_planned(host: Host, guest: Guest) -> list[str]:
    # Guests that an earlier run left are healed before there is a plan.
    if not guest.pauses or guest.planned is None or all(pause.step < _first_plan(host) for pause in guest.pauses):
        return []
    if guest.planned.get("pause") is None and guest.planned.get("away") is None:
        return [f"{_name(host.name)}: guest {_name(guest.name)} was interrupted, and the plan did not say so"]
    return []


def _first_plan(host: Host) -> int:
    return next((event["n"] for event in host.steps if event.get("plan") and not event.get("check")), 0)


def _as_reported(host: Host, guest: Guest) -> list[str]:
    """The host's own report says of each guest what the modules have said."""
    told = guest.reported
    if told is None:
        return []
    who = f"{_name(host.name)}: guest {_name(guest.name)}"
    faults = []
    # A suspend that was given up is none, and of unknown length in the host's report.
    seen = [pause.seconds for pause in guest.pauses if pause.step >= _first_plan(host) and pause.seconds is not None]
    claimed = [one["paused_for"] for one in told.get("pauses") or [] if one and one.get("paused_for") is not None]
    same = len(seen) == len(claimed) and all(abs(one - other) <= _ROUNDED for one, other in zip(seen, claimed))
    if not same:
        faults.append(f"{who}: the host's report has interruptions of {_lengths(claimed)}, and the modules said {_lengths(seen)}")
    if claimed and told.get("clock_verdict") and guest.pauses and guest.clock != told["clock_verdict"] and guest.clock != "in_sync":
        faults.append(f"{who}: the host's report says that its clock is {visible(told['clock_verdict'])}, and the last measurement {visible(guest.clock)}")
    if told.get("memory") == "lost" and guest.pauses:
        faults.append(f"{who}: its memory is lost")
    return faults


def _lengths(found: t.Sequence[float]) -> str:
    return ", ".join(map(seconds, found)) or "none"


def _page(page: str | None, digest: str, rendered: str | None, found: Story) -> list[str]:
    if page is None:
        return [] if found.end is None else ["its page is not there"]
    if f'<meta name="vm-preserving-events-sha256" content="{digest}">' not in page:
        return ["the page was made from other events than those of the file"]
    if rendered is None or page == rendered:
        return []
    return ["the page is not what these events make: it was changed, or made by another release of the collection"]
