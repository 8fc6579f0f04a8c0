# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened in a run, put together from its events: hosts in their update domains, guests, interruptions, clocks. Pure; knows no Ansible."""
from __future__ import annotations

import dataclasses
import typing as t

from .report_why import Window, why_long

Event = t.Mapping[str, t.Any]

#: Modules that interrupt guests or change the host, unless they run in check mode.
_TOUCH = ("guest_pause", "preserved_command", "guest_refresh", "guest_save", "guest_restore", "host_update_apply")
_PREFIX = "vm_preserving.maintenance."
#: How long the pause of a guest is, against its limit, from which on the report says why.
LONG = 0.5
#: What becomes of a guest that does not run again by our hand or its owner's.
NOT_BACK = ("gone", "not_ours", "not back yet")
#: What became of a host, in the order in which they are shown.
OUTCOMES = ("updated", "nothing pending", "had it already", "planned", "failed", "unreachable", "not finished", "not started")


@dataclasses.dataclass
class Pause:
    """One time in which a guest was ours.

    :ivar kind: `pause`, `refresh` or `reboot`.
    :ivar seconds: How long it can have been at the most; `None` when nobody knows.
    :ivar limit: How long it might be.
    :ivar by: Who resumed it.
    :ivar why: Why it was long, in sentences; empty when it was not.
    :ivar step: The number of the event that says so.
    :ivar window: The id of its pause window; empty for the others.
    """

    kind: str
    seconds: float | None
    limit: float | None
    by: str
    outcome: str
    message: str
    problem: str
    memory: str
    why: list[str]
    step: int
    window: str = ""

    @property
    def too_long(self) -> bool:
        """Whether it is not seen to have been within its limit."""
        return self.seconds is None or self.limit is None or self.seconds > self.limit


@dataclasses.dataclass
class Guest:
    """A guest of a host.

    :ivar planned: What the plan said of it; `None` without one.
    :ivar reported: What the host's report said of it; `None` without one.
    :ivar before: Its clock before it was interrupted.
    :ivar left: Its clock as the interruption left it.
    :ivar now: Its clock as it was measured last.
    :ivar verdict: Of the last measurement.
    :ivar target: Seconds that its clock should be ahead; `None` when the measurement does not say it.
    :ivar tolerance: Seconds by which it may be off; `None` when the measurement does not say it.
    :ivar blockers: What kept it from being interrupted.
    """

    name: str
    uuid: str
    pauses: list[Pause] = dataclasses.field(default_factory=list)
    planned: Event | None = None
    reported: Event | None = None
    before: Event | None = None
    left: Event | None = None
    now: Event | None = None
    verdict: str = ""
    target: float | None = None
    tolerance: float | None = None
    reference: str = ""
    clock_error: str = ""
    blockers: list[str] = dataclasses.field(default_factory=list)

    @property
    def longest(self) -> Pause | None:
        """The longest interruption; one of unknown length is the longest."""
        return max(self.pauses, key=lambda one: float("inf") if one.seconds is None else one.seconds, default=None)

    @property
    def clock(self) -> str:
        """The verdict of its clock; one that was interrupted and not measured is unverified. Empty for one that was not interrupted."""
        return (self.verdict or "unverified") if self.pauses else ""


@dataclasses.dataclass
class Host:
    """A host of the run.

    :ivar outcome: One of `OUTCOMES`.
    :ivar touched: When its work began and ended, seconds since the run began; `None` when nothing was done to it.
    :ivar failures: What failed and was not ignored, the last one last.
    :ivar windows: What was in each pause of it.
    :ivar notices: What guests were told of its update, by the id of the event.
    """

    name: str
    domain: str = ""
    outcome: str = "not started"
    touched: tuple[float, float] | None = None
    guests: dict[str, Guest] = dataclasses.field(default_factory=dict)
    steps: list[Event] = dataclasses.field(default_factory=list)
    failures: list[Event] = dataclasses.field(default_factory=list)
    ignored: list[Event] = dataclasses.field(default_factory=list)
    windows: list[Window] = dataclasses.field(default_factory=list)
    notices: dict[str, Event] = dataclasses.field(default_factory=dict)
    plan: Event | None = None
    report: Event | None = None
    withheld: int = 0
    paused_here: bool = False
    had: bool = False


@dataclasses.dataclass
class Story:
    """A run.

    :ivar run: The first event.
    :ivar end: The last event; `None` when the run did not end.
    :ivar domains: The update domains in their order, each its name and its hosts. Hosts without one come last, under an empty name.
    """

    run: Event
    end: Event | None
    hosts: dict[str, Host]
    domains: list[tuple[str, list[Host]]]
    lasted: float

    @property
    def check(self) -> bool:
        """Whether the run was in check mode."""
        return self.run.get("check") is True


def story(events: t.Sequence[Event]) -> Story:
    """The run of these events, the oldest first."""
    hosts: dict[str, Host] = {}
    order: list[str] = []
    end = None
    check = events[0].get("check") is True
    playing: t.Sequence[str] = ()
    for number, event in enumerate(events):
        kind = event["event"]
        if kind == "play":
            for one in event.get("domains") or []:
                if one["name"] not in order:
                    order.append(one["name"])
                for name in one["hosts"]:
                    _host(hosts, name).domain = one["name"]
            playing = event.get("hosts") or []
        elif kind == "step":
            # The hosts of a play count when there is something of ours in it; localhost, which only looks at the inventory, does not.
            for name in playing:
                _host(hosts, name)
            playing = ()
            _step(hosts, _host(hosts, event["host"]), event, number)
        elif kind == "end":
            end = event
    for host in hosts.values():
        host.outcome = _outcome(host, (end or {}).get("hosts", {}).get(host.name), end is not None, check)
        if not host.domain and host.report and host.report.get("update_domain"):
            host.domain = host.report["update_domain"]
    names = [*order, *sorted({host.domain for host in hosts.values()} - {*order, ""}), ""]
    domains = [(name, [host for host in hosts.values() if host.domain == name]) for name in names]
    return Story(events[0], end, hosts, [one for one in domains if one[1]], max(event["t"] for event in events))


def _host(hosts: dict[str, Host], name: str) -> Host:
    return hosts.setdefault(name, Host(name))


def module_of(event: Event) -> str:
    """The name of the collection's module that a step is of, or empty."""
    action = event.get("action") or ""
    return action[len(_PREFIX):] if action.startswith(_PREFIX) else ""


def touches(event: Event) -> bool:
    """Whether a step interrupts guests or changes the host."""
    if event.get("check") or event["status"] == "unreachable":
        return False
    if module_of(event) in _TOUCH:
        return True
    return event.get("role") == "host_update" and event.get("changed") is True and not module_of(event)


def _step(hosts: dict[str, Host], host: Host, event: Event, number: int) -> None:
    module, result = module_of(event), event.get("result") or {}
    host.steps.append(event)
    host.withheld += event.get("withheld") is True
    if event["status"] != "ok":
        (host.ignored if event.get("ignored") else host.failures).append(event)
    if touches(event) or (module == "guest_resume" and host.paused_here and not event.get("check")):
        began = event["t"] - (event.get("took") or 0.0)
        host.touched = (min(began, host.touched[0]), max(event["t"], host.touched[1])) if host.touched else (began, event["t"])
    if event.get("plan"):
        host.plan = event["plan"]
        for one in event["plan"].get("guests") or []:
            if (guest := _guest(host, one)) is not None:
                guest.planned = one
    if event.get("report"):
        host.report = event["report"]
        for one in event["report"].get("guests") or []:
            if (guest := _guest(host, one)) is not None:
                guest.reported = one
    if module == "guest_pause" and not event.get("check"):
        host.paused_here = True
    elif module in ("preserved_command", "guest_resume") and not event.get("check"):
        _closed_window(host, event, result, number)
    elif module in ("guest_refresh", "guest_restore") and not event.get("check"):
        _moved(host, event, result, "refresh" if module == "guest_refresh" else "reboot", number)
    elif module == "guest_clock":
        _measured(host, event, result)
    elif module == "scheduled_event":
        for one in result.get("events") or []:
            if one and one.get("id"):
                _notice(_host(hosts, one.get("host") or host.name), one, event["t"])
    elif module == "rollout_journal" and event.get("state") == "skipped":
        host.had = True
    for one in result.get("guests") or [] if event["status"] != "ok" or event.get("check") else ():
        guest = _guest(host, one)
        if guest is None:
            continue
        for blocker in [*(one.get("blockers") or []), *([one["error"]] if one.get("error") else [])]:
            if blocker and blocker.get("message") and blocker["message"] not in guest.blockers:
                guest.blockers.append(blocker["message"])


def _guest(host: Host, record: Event | None) -> Guest | None:
    if not record or not record.get("uuid"):
        return None
    return host.guests.setdefault(record["uuid"], Guest(record.get("name") or record["uuid"], record["uuid"]))


def _notice(host: Host, one: Event, at: float) -> None:
    """Other hosts tell the same event: an approval may be known at one of them first."""
    known = host.notices.get(one["id"], {"told_at": at})
    merged = {**known, **{key: value for key, value in one.items() if value is not None}}
    merged["approved"] = known.get("approved") is True or one.get("approved") is True
    host.notices[one["id"]] = merged


def _closed_window(host: Host, event: Event, result: Event, number: int) -> None:
    """A window that was closed; or that could not be, which leaves guests paused until the guard, or the next run, gets them to run."""
    window = result.get("window") or {}
    if not window.get("id") or (window.get("open") is not False and event["status"] == "ok"):
        return
    host.windows = [one for one in host.windows if one.window.get("id") != window["id"]]
    limit = window.get("pause_limit")
    found = Window("pause", number, event["task"] or "", limit, window, result.get("commands") or [], result.get("deadline_missed") is True, event.get("took"))
    host.windows.append(found)
    targets = {one.get("uuid"): one.get("clock_target") for one in window.get("guests") or [] if one}
    for record in result.get("guests") or []:
        guest = _guest(host, record)
        if guest is None or record.get("was_paused") is not True:
            continue
        if record.get("outcome") == "running" and not record.get("resumed_by"):
            continue  # it ran when it was looked at, and nobody has seen it paused
        # What is looked at once more is not another pause.
        guest.pauses = [one for one in guest.pauses if one.window != window["id"]]
        _interrupted(guest, record, "pause", limit, number, why_long(record, found, LONG), window["id"])
        _clock_of(guest, record.get("clock"), event, targets.get(guest.uuid))


def _moved(host: Host, event: Event, result: Event, kind: str, number: int) -> None:
    limit = result.get("pause_limit")
    found = Window(kind, number, event["task"] or "", limit, {}, [], False, event.get("took"), result.get("reboot_took"))
    records = [one for one in result.get("guests") or [] if one and one.get("outcome") in ("restored", "returned", "gone", "not_ours")]
    if records:
        host.windows.append(found)
    for record in records:
        guest = _guest(host, record)
        if guest is None:
            continue
        predicted = record.get("predicted")
        if predicted is None and guest.planned is not None:
            predicted = guest.planned.get("away")
        _interrupted(guest, record, kind, limit, number, why_long({**record, "predicted": predicted}, found, LONG))
        _clock_of(guest, record.get("clock"), event, None)


def _interrupted(guest: Guest, record: Event, kind: str, limit: float | None, number: int, why: list[str], window: str = "") -> None:
    guest.pauses.append(Pause(
        kind, record.get("paused_for"), limit, record.get("resumed_by") or "", record.get("outcome") or "not back yet", record.get("message") or "",
        record.get("problem") or "", record.get("memory") or "", why, number, window,
    ))


def _clock_of(guest: Guest, clock: Event | None, event: Event, target: float | None) -> None:
    """The clock as whoever resumed the guest left it."""
    # With the next interruption what was proved before is nothing any more.
    guest.verdict, guest.now, guest.left, guest.clock_error = "", None, None, ""
    if clock:
        guest.left = clock.get("before")
        _last(guest, clock.get("after"), clock.get("verdict"), target, (event.get("options") or {}).get("clock_tolerance"), clock.get("reference"), clock)


def _measured(host: Host, event: Event, result: Event) -> None:
    for record in result.get("guests") or []:
        guest = _guest(host, record)
        if guest is None:
            continue
        if not guest.pauses:
            guest.before = record.get("after") or record.get("before")
            continue
        if guest.left is None:
            guest.left = record.get("before")
        tolerance = (event.get("options") or {}).get("tolerance")
        _last(guest, record.get("after"), record.get("verdict"), record.get("target"), tolerance, result.get("reference"), record)


def _last(
    guest: Guest, now: Event | None, verdict: str | None, target: float | None, tolerance: float | None, reference: str | None, record: Event,
) -> None:
    guest.now, guest.verdict, guest.tolerance, guest.reference = now, verdict or "", tolerance, reference or ""
    guest.target = guest.target if target is None else target
    guest.clock_error = (record.get("error") or {}).get("message") or ""


def _outcome(host: Host, counts: Event | None, ended: bool, check: bool) -> str:
    if counts and counts.get("unreachable"):
        return "unreachable"
    # Until a run has ended it is not known whether what failed was rescued.
    if (counts and counts.get("failed")) or (not ended and host.failures):
        return "failed"
    if host.report is not None:
        return "updated" if host.report.get("updated") else "nothing pending"
    if host.had:
        return "had it already"
    if check:
        return "planned" if host.plan is not None else "not started"
    # Before its turn a host is only looked at, in check mode.
    at_work = not ended and any(not one.get("check") for one in host.steps)
    return "not finished" if host.touched or at_work else "not started"


def totals(found: Story) -> dict[str, t.Any]:
    """What a report claims of its run, in numbers; the check counts them once more."""
    guests = [guest for host in found.hosts.values() for guest in host.guests.values()]
    pauses = [one for guest in guests for one in guest.pauses]
    known = [one.seconds for one in pauses if one.seconds is not None]
    notices = [one for host in found.hosts.values() for one in host.notices.values()]
    outcomes = [host.outcome for host in found.hosts.values()]
    clocks = [guest.clock for guest in guests if guest.pauses]
    return {
        "hosts": {word: outcomes.count(word) for word in OUTCOMES if word in outcomes},
        "domains": sum(1 for name, _hosts in found.domains if name),
        "guests": len(guests), "interrupted": len(clocks), "interruptions": len(pauses), "longest": max(known, default=None),
        "not_within_limit": sum(one.too_long for one in pauses),
        "clocks": {word: clocks.count(word) for word in ("in_sync", "out_of_sync", "unverified") if word in clocks},
        "notices": len(notices), "approved": sum(one["approved"] for one in notices),
        "failures": sum(len(host.failures) for host in found.hosts.values()),
    }
