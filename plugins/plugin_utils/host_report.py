# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened on one host, from what the modules returned. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .guest_verdict import memory_verdict, verdict
from .host_proof import proof
from .ours import stage

Result = t.Mapping[str, t.Any]


class _Held(t.NamedTuple):
    """One time in which a guest was ours.

    :ivar kind: `pause`, `refresh` or `reboot`.
    :ivar limit: Seconds that it may last.
    :ivar record: What the module says became of it.
    """

    kind: str
    limit: float
    record: Result


def _by_uuid(result: Result | None, key: str = "guests") -> dict[str, Result]:
    return {guest["uuid"]: guest for guest in (result or {}).get(key, [])}


def _times(window: Result | None, refresh: Result | None, reboot: Result | None) -> dict[str, list[_Held]]:
    """By guest, the times in which it was ours, in the order in which they came."""
    found: dict[str, list[_Held]] = {}
    limits = (((window or {}).get("window") or {}).get("pause_limit"), (refresh or {}).get("pause_limit"), (reboot or {}).get("pause_limit"))
    for kind, result, limit in zip(("pause", "refresh", "reboot"), (window, refresh, reboot), limits):
        for uuid, record in _by_uuid(result).items():
            if stage(record) != "never":
                found.setdefault(uuid, []).append(_Held(kind, limit or 0.0, record))
    return found


def _clock(held: t.Sequence[_Held], before: Result | None, after: Result | None) -> dict[str, t.Any]:
    """What became of a guest's clock: the last measurement counts, and whoever resumed the guest has measured too.

    :param before: What guest_clock said before the update.
    :param after: What it said at the end, when it was asked.
    """
    resumer = held[-1].record.get("clock") if held else None
    last, first = after or resumer, resumer or after
    return {
        "clock_before_pause": (before or {}).get("after"),
        "clock_after_pause": (first or {}).get("before"),
        "clock_now": (last or {}).get("after"),
        # Of a guest that was not ours nothing is claimed.
        "clock_verdict": None if not held else last["verdict"] if last else "unverified",
        "clock_set_after": (resumer or {}).get("set_after"),
    }


def _guest(before: Result, after: Result | None, held: t.Sequence[_Held], clocks: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A guest of the report."""
    pauses: list[dict[str, t.Any]] = [
        {"kind": kind, "paused_for": record.get("paused_for"), "limit": limit, "resumed_by": record.get("resumed_by")} for kind, limit, record in held
    ]
    longest = max((one for one in pauses if one["paused_for"] is not None), key=lambda one: one["paused_for"], default={})
    restored = any(one.record["outcome"] in ("restored", "returned") for one in held)
    return {
        "name": before["name"],
        "uuid": before["uuid"],
        "state_before": before["state"],
        "state": "gone" if after is None else after["state"],
        "reason": "" if after is None else after["reason"],
        "paused": bool(pauses),
        "pauses": pauses,
        "paused_for": longest.get("paused_for"),
        "stopped_for": None,
        "resumed_by": longest.get("resumed_by"),
        **clocks,
        "restored": restored,
        "memory": memory_verdict(before, after, restored),
    }


def _why_ended(inactive: Result | None, held: t.Sequence[_Held]) -> str | None:
    """libvirt's reason why a guest does not run any more; of one that it does not know any more, what its log says."""
    return inactive["reason"] if inactive is not None else held[-1].record.get("ended") if held else None


def _too_long(guest: Result) -> list[str]:
    return [
        f"guest {guest['name']!r} was paused for {one['paused_for']:.1f} s ({one['kind']}), the limit is {one['limit']:g} s"
        for one in guest["pauses"] if one["paused_for"] is not None and one["paused_for"] > one["limit"]
    ]


def _stopped(record: Result) -> str:
    """That a guest was shut down for the update, in words."""
    how = "ended by force" if record["forced"] else "shut down"
    if record["outcome"] == "running":
        return f"guest {record['name']!r} was {how} for the update, and somebody else has started it again"
    return f"guest {record['name']!r} was {how} for the update, and runs again after {record['away_for']:.1f} s"


#: What of an event stays in the report: notice promised and given, and who approved when.
_EVENT = ("name", "guest", "type", "duration", "notice", "given", "approved", "approved_by", "approved_at")


def _told(events: t.Sequence[Result], untold: t.Sequence[Result]) -> list[str]:
    """How much notice guests had, in words."""
    words = []
    if events:
        given = [one["given"] for one in events if one["given"] is not None]
        words.append(f"{len(events)} told ahead, {sum(1 for one in events if one['approved'])} approved")
        if given:
            words[-1] += f", after at least {min(given):.0f} s"
    if untold:
        words.append(f"not told ahead: {', '.join(one['name'] for one in untold)}")
    return words


def _summary(guests: t.Sequence[Result], notes: t.Sequence[str]) -> str:
    pauses = [one for guest in guests for one in guest["pauses"] if one["paused_for"] is not None]
    words = "no guest paused"
    if pauses:
        longest: dict[str, Result] = {}
        for one in pauses:
            if one["kind"] not in longest or one["paused_for"] > longest[one["kind"]]["paused_for"]:
                longest[one["kind"]] = one
        most = max(pauses, key=lambda one: one["paused_for"])
        count = sum(1 for guest in guests if guest["paused_for"] is not None)
        words = f"{count} guests paused for at most {most['paused_for']:.1f} s (limit {most['limit']:g} s)"
        if len(longest) > 1:
            words += ": " + ", ".join(f"{kind} {one['paused_for']:.1f} s (limit {one['limit']:g} s)" for kind, one in longest.items())
    verdicts = [guest["clock_verdict"] for guest in guests]
    clocks = ", ".join(f"{verdicts.count(word)} {word}" for word in ("in_sync", "out_of_sync", "unverified") if word in verdicts) or "none"
    set_after = [guest["clock_set_after"] for guest in guests if guest["clock_set_after"] is not None]
    if set_after:
        clocks += f", right at most {max(set_after):.1f} s after the resume"
    return "; ".join(["updated", words, f"clocks: {clocks}", *notes])


def host_report(
    host: str,
    update_domain: t.Any,
    pending: t.Sequence[Result] = (),
    before: Result | None = None,
    window: Result | None = None,
    refresh: Result | None = None,
    reboot: Result | None = None,
    after: Result | None = None,
    clocks_before: Result | None = None,
    clocks_after: Result | None = None,
    decision: Result | None = None,
    update: Result | None = None,
    still_something_to_do: bool = False,
    applied: Result | None = None,
    events: t.Sequence[Result] = (),
    untold: t.Sequence[Result] = (),
    stopped: Result | None = None,
) -> dict[str, t.Any]:
    """The report of one host.

    :param host: Its inventory name.
    :param update_domain: Its update domain, or `None`.
    :param pending: What host_update_info said was pending, before the update.
    :param before: What guest_info returned before the update; `None` when nothing was pending.
    :param window: What preserved_command or guest_resume returned; `None` when nothing was paused.
    :param refresh: What guest_refresh returned; `None` when no guest was moved.
    :param reboot: What guest_restore returned; `None` when the host was not rebooted.
    :param after: What guest_info returned afterwards. Its `inactive`, where there is one, has libvirt's reason why a guest does not run any more.
    :param clocks_before: What guest_clock returned before the update.
    :param clocks_after: What it returned at the end; its `before` is the offset that the pause left. `None` when there was no clock to be put right.
    :param decision: What host_decision decided.
    :param update: What host_update_info returned afterwards.
    :param still_something_to_do: The operator's command says so, afterwards.
    :param applied: What host_update_apply returned; `None` when no restart was held back.
    :param events: What scheduled_event returned when the update began.
    :param untold: Guests that could not be told ahead, with `name` and `why`.
    :param stopped: What guest_start returned; `None` when no guest was shut down.
    :returns: `host`, `update_domain`, `updated`, `pause_limit`, `pending`, `restarts`, `events`, `untold`, `guests`, `problems`, `notes` and `summary`. Each
        guest has its single interruptions in `pauses`, and the longest of them in `paused_for` and `resumed_by`. One that was shut down and started again has
        the `memory` `stopped`, and in `stopped_for` the seconds that it was away.
    """
    times = _times(window, refresh, reboot)
    shut_down = {uuid: one for uuid, one in _by_uuid(stopped).items() if one["outcome"] in ("started", "running")}
    clock_before, clock_after, seen_after, ended = _by_uuid(clocks_before), _by_uuid(clocks_after), _by_uuid(after), _by_uuid(after, "inactive")
    guests: list[dict[str, t.Any]] = []
    problems: list[str] = []
    notes: list[str] = []
    for uuid, was in _by_uuid(before).items():
        held, now = times.get(uuid, []), seen_after.get(uuid)
        guest = _guest(was, now, held, _clock(held, clock_before.get(uuid), clock_after.get(uuid)))
        guests.append(guest)
        problems += _too_long(guest)
        off = shut_down.get(uuid)
        if off is not None:
            guest.update(memory="stopped", stopped_for=off["away_for"])
            notes.append(_stopped(off))
            continue
        # What happened last decides whose it is.
        seen = verdict(guest, was, now, held[-1].record if held else None, _why_ended(ended.get(uuid), held))
        if seen is not None:
            (problems if seen[1] else notes).append(seen[0])
    if decision is not None:
        skipped = [uuid for uuid, guest in _by_uuid(refresh).items() if guest.get("skipped")]
        undone, rest = proof(decision, pending, update, still_something_to_do, skipped)
        problems = [*undone, *(applied or {}).get("problems", []), *problems]
        notes = [*notes, *rest]
    return {
        "host": host,
        "update_domain": None if update_domain is None else str(update_domain),
        "updated": before is not None,
        "pause_limit": max((one["limit"] for guest in guests for one in guest["pauses"]), default=None),
        "pending": list(pending),
        "restarts": list((applied or {}).get("restarts", [])),
        "events": [{key: one[key] for key in _EVENT} for one in events],
        "untold": list(untold),
        "guests": guests,
        "problems": problems,
        "notes": notes,
        "summary": "nothing was pending, nothing was paused" if before is None else _summary(guests, [*_told(events, untold), *notes]),
    }
