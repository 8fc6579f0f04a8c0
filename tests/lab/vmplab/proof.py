"""Whether guests kept their memory, from what they hold in it, what their network lost, and the tables that say so. Pure."""

import json
import re
from typing import Any

#: What the table shows of a guest.
#: The clocks are the guest's against its host's: as the pause left it, and as it is after the correction.
COLUMNS = ("host", "domain", "guest", "paused for", "limit", "clock before", "clock after", "memory kept")
#: The same for those of which the network was watched.
NETWORK_COLUMNS = ("host", "guest", "paused for", "packets sent", "lost", "longest outage for the guest")
#: The same for what guests were told ahead.
EVENT_COLUMNS = ("host", "guest", "notice promised", "notice given", "told to last", "approved by")
#: A guest that is stopped has at most so many packets on the way, which a switch that is restarted meanwhile may lose.
ON_THE_WAY = 1


def join_evidence(before: dict, after: dict, later: dict) -> dict[str, dict[str, Any]]:
    """What became of each guest's memory, by the guest's name.

    before, after, later: three looks, as `lab evidence` gives them: by host, a list of guests with `name`, `state` and `evidence`
    (`boot_id`, `random`, `counter`; None where the guest is paused).
    Each value has `readable`, `same_boot`, `same_random`, `counting` (bools), `state` and `kept`: True, False, or None when it could not be read.
    """

    def by_name(look: dict) -> dict[str, dict]:
        return {guest["name"]: guest for guests in look.values() for guest in guests}

    first, second, third = by_name(before), by_name(after), by_name(later)
    joined: dict[str, dict[str, Any]] = {}
    for name, guest in first.items():
        was = guest["evidence"]
        now, then = (second.get(name) or {}).get("evidence"), (third.get(name) or {}).get("evidence")
        readable = bool(was and now and then)
        same_boot = readable and was["boot_id"] == now["boot_id"] == then["boot_id"]
        same_random = readable and was["random"] == now["random"] == then["random"]
        counting = readable and was["counter"] <= now["counter"] < then["counter"]
        state = (third.get(name) or {}).get("state", "gone")
        untouched = guest["state"] == "paused" and state == "paused"
        kept = None if untouched else same_boot and same_random and counting
        joined[name] = {
            "state_before": guest["state"], "state": state, "readable": readable, "same_boot": same_boot, "same_random": same_random,
            "counting": counting, "kept": kept,
        }  # fmt: skip
    return joined


def table(hosts: list[dict], memory: dict[str, dict]) -> tuple[str, bool]:
    """The table of all guests, and whether everything in it is as it should be.

    hosts: the reports of the role host_update. memory: what `join_evidence` returned.
    """
    rows: list[tuple[str, ...]] = []
    sound = True
    for host in hosts:
        if not host["updated"]:
            rows.append((host["host"], str(host["update_domain"]), "(all)", "not paused", "", "", "", "nothing was pending"))
        for guest in host["guests"]:
            kept = memory.get(guest["name"], {}).get("kept")
            sound = sound and kept is not False and guest["clock_verdict"] != "out_of_sync" and not host["problems"]
            rows.append((
                host["host"], str(host["update_domain"]), guest["name"], _seconds(guest["paused_for"], "not paused", "{:.2f} s"),
                _seconds(host["pause_limit"] if guest["paused"] else None, "", "{:g} s"), _offset(guest["clock_after_pause"]) if guest["paused"] else "",
                _offset(guest["clock_now"]) if guest["paused"] else "", _memory(kept, guest),
            ))  # fmt: skip
    # A guest that no report names was not part of an update; its memory counts all the same.
    sound = sound and all(one["kept"] is not False for one in memory.values())
    return _aligned(COLUMNS, rows), sound


def lost_packets(printed: str, interval: float) -> dict[str, Any]:
    """What became of a guest's numbered packets, from what its ping has printed.

    Ends with the last answer: what was sent after it may have been under way when ping was ended.
    `sent` and `lost` are numbers; `outage` is the longest time without an answer to what was sent in it, in seconds of the guest, for which no time passes
    while it is paused.
    """
    answered = sorted({int(number) for number in re.findall(r"\bseq=([0-9]+)", printed)})
    if not answered:
        return {"sent": 0, "lost": 0, "outage": None}
    runs = [after - before - 1 for before, after in zip([-1, *answered], answered)]
    return {"sent": answered[-1] + 1, "lost": sum(runs), "outage": max(runs) * interval}


def network_table(hosts: list[dict], lost: dict[str, dict[str, Any]]) -> tuple[str, bool]:
    """The table of what the network of guests lost, and whether those that were paused have lost nothing while they ran.

    hosts: the reports of the role host_update. lost: what `lost_packets` returned, by the guest's name.
    """
    seen = [(host["host"], guest, lost[guest["name"]]) for host in hosts for guest in host["guests"] if guest["name"] in lost]
    sound = all(one["sent"] and (guest["paused_for"] is None or one["lost"] <= ON_THE_WAY) for _host, guest, one in seen)
    rows = [
        (
            host, guest["name"], _seconds(guest["paused_for"], "not paused", "{:.2f} s"), str(one["sent"]), str(one["lost"]),
            _seconds(one["outage"] or None, "none" if one["sent"] else "no answer at all", "{:.2f} s"),
        )
        for host, guest, one in seen
    ]  # fmt: skip
    return _aligned(NETWORK_COLUMNS, rows), sound


def events_table(hosts: list[dict]) -> str:
    """Who was told ahead, with how much notice, and who approved; hosts: the reports of the role host_update."""
    rows = [
        (host["host"], one["name"], f"{one['notice']} s", _seconds(one["given"], "", "{:.0f} s"), f"{one['duration']} s", one["approved_by"] or "")
        for host in hosts for one in host["events"]
    ]  # fmt: skip
    return _aligned(EVENT_COLUMNS, rows)


def what_was_seen(text: str) -> list[str]:
    """A guest's own log of scheduled events, a line for each document that was new to it.

    text: lines of a time and a document, or of a time and `approved` with an id.
    """
    lines = []
    for line in text.splitlines():
        at, _space, rest = line.partition(" ")
        if rest.startswith("approved "):
            lines.append(f"{at} approved {rest.split()[1][:8]}")
            continue
        document = json.loads(rest)
        seen = [
            f"{one['EventStatus']} {one['EventId'][:8]} {one['EventType']} of {', '.join(one['Resources'])} ({one['DurationInSeconds']} s)"
            + (f", not before {one['NotBefore'][17:25]}" if one["NotBefore"] else "")
            for one in document["Events"]
        ]
        lines.append(f"{at} {'; '.join(seen) or 'no event'}")
    return lines


def _aligned(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]
    lines = [columns, tuple("-" * width for width in widths), *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in lines)


def _seconds(value: float | None, otherwise: str, form: str) -> str:
    return otherwise if value is None else form.format(value)


def _offset(clock: dict | None) -> str:
    return "not readable" if clock is None else f"{clock['offset']:+.4f} s ±{clock['bound']:.4f}"


def _memory(kept: bool | None, guest: dict) -> str:
    if kept is None:
        return "left paused, as its owner had it" if guest["state"] == "paused" else "not readable"
    return "yes: same boot, same random value, counting" if kept else "NO"
