# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened on one host, from what the modules returned. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

Result = t.Mapping[str, t.Any]


def _by_uuid(result: Result | None) -> dict[str, Result]:
    return {guest["uuid"]: guest for guest in (result or {}).get("guests", [])}


def memory_verdict(before: Result | None, after: Result | None, restored: bool = False) -> str:
    """Whether a guest's memory was kept.

    :param before: The guest as guest_info returned it before the update.
    :param after: The same afterwards.
    :param restored: It was saved and restored in between: another process is what was wanted.
    :returns: C(kept): the guest itself says that it was not rebooted, and its QEMU is the same process or it was restored. C(same_process), C(restored):
        the same QEMU process, or restored; the guest cannot be asked. C(unknown): libvirt gave no answer about it. C(lost): another process, another boot,
        or gone.
    """
    if before is None or after is None:
        return "lost"
    if before.get("process") is None or after.get("process") is None:
        return "unknown"
    if not restored and (before["process"] != after["process"] or before["id"] != after["id"]):
        return "lost"
    if before.get("boot_id") is None or after.get("boot_id") is None:
        return "restored" if restored else "same_process"
    return "kept" if before["boot_id"] == after["boot_id"] else "lost"


def _problems(guest: Result) -> t.Iterator[str]:
    name = guest["name"]
    if guest["memory"] == "lost":
        yield f"guest {name!r} is not the one that ran before: it was restarted, rebooted or has ended"
    if guest["memory"] == "unknown":
        yield f"libvirt gave no answer about guest {name!r} (state {guest['state']}), so nothing is proved of it; look at it on the host"
    if guest["paused"] and guest["state"] != "running" and not (guest["restored"] and guest["state"] == guest["state_before"]):
        yield f"guest {name!r} was paused by us and is now {guest['state']} ({guest['reason']})"
    for pause in guest["pauses"]:
        if pause["paused_for"] is not None and pause["paused_for"] > pause["limit"]:
            yield f"guest {name!r} was paused for {pause['paused_for']:.1f} s, the limit is {pause['limit']:g} s"
    if not guest["paused"] and guest["state_before"] == "running" and guest["state"] == "paused":
        yield f"guest {name!r} ran before, was not paused by us, and is now paused ({guest['reason']})"


def host_report(
    host: str,
    update_domain: t.Any,
    pending: t.Sequence[Result] = (),
    before: Result | None = None,
    window: Result | None = None,
    after: Result | None = None,
    clocks_before: Result | None = None,
    clocks_after: Result | None = None,
    restored: Result | None = None,
) -> dict[str, t.Any]:
    """The report of one host.

    :param host: Its inventory name.
    :param update_domain: Its update domain, or C(None).
    :param pending: What host_update_info said was pending.
    :param before: What guest_info returned before the pause.
    :param window: What preserved_command or guest_resume returned; C(None) when nothing was paused.
    :param after: What guest_info returned afterwards.
    :param clocks_before: What guest_clock returned before the pause.
    :param clocks_after: What it returned after the correction; its C(before) is the offset that the pause left.
    :param restored: What guest_refresh or guest_restore returned; C(None) when no guest was saved and restored.
    :returns: C(host), C(update_domain), C(updated), C(pause_limit), C(pending), C(guests), C(problems) and C(summary).
    """
    opened = (window or {}).get("window") or {}
    window_limit, restored_limit = opened.get("pause_limit"), (restored or {}).get("pause_limit")
    paused = {guest["uuid"]: guest for guest in (window or {}).get("guests", []) if guest.get("outcome") not in (None, "not_ours")}
    moved = {guest["uuid"]: guest for guest in (restored or {}).get("guests", []) if guest.get("outcome") == "restored"}
    clock_before, clock_after, seen_after = _by_uuid(clocks_before), _by_uuid(clocks_after), _by_uuid(after)
    guests: list[dict[str, t.Any]] = []
    for uuid, guest in _by_uuid(before).items():
        now, pause, clock = seen_after.get(uuid), moved.get(uuid) or paused.get(uuid), clock_after.get(uuid)
        pauses = [
            {"paused_for": found[uuid].get("paused_for"), "limit": most or 0.0}
            for found, most in ((paused, window_limit), (moved, restored_limit)) if uuid in found
        ]
        guests.append({
            "name": guest["name"],
            "uuid": uuid,
            "state_before": guest["state"],
            "state": "gone" if now is None else now["state"],
            "reason": "" if now is None else now["reason"],
            "paused": pause is not None,
            "pauses": pauses,
            "paused_for": None if pause is None else pause.get("paused_for"),
            "resumed_by": None if pause is None else pause.get("resumed_by"),
            "clock_before_pause": clock_before.get(uuid, {}).get("after"),
            "clock_after_pause": None if clock is None else clock["before"],
            "clock_now": None if clock is None else clock["after"],
            "clock_verdict": "unverified" if clock is None else clock["verdict"],
            "restored": uuid in moved,
            "memory": memory_verdict(guest, now, uuid in moved),
        })
    problems = [problem for guest in guests for problem in _problems(guest)]
    limit = max((pause["limit"] for guest in guests for pause in guest["pauses"]), default=window_limit or restored_limit)
    times = [guest["paused_for"] for guest in guests if guest["paused_for"] is not None]
    verdicts = [guest["clock_verdict"] for guest in guests]
    if window is None and before is None:
        summary = "nothing was pending, nothing was paused"
    else:
        longest = f"{len(times)} guests paused for at most {max(times):.1f} s (limit {limit or 0:g} s)" if times else "no guest paused"
        clocks = ", ".join(f"{verdicts.count(word)} {word}" for word in ("in_sync", "out_of_sync", "unverified") if word in verdicts)
        summary = f"updated; {longest}; clocks: {clocks or 'none'}"
    return {
        "host": host,
        "update_domain": None if update_domain is None else str(update_domain),
        "updated": before is not None,
        "pause_limit": limit,
        "pending": list(pending),
        "guests": guests,
        "problems": problems,
        "summary": summary,
    }
