"""Whether guests kept their memory, from what they hold in it, and the table that says so. Pure."""

from typing import Any

#: What the table shows of a guest.
#: The clocks are the guest's against its host's: as the pause left it, and as it is after the correction.
COLUMNS = ("host", "domain", "guest", "paused for", "limit", "clock before", "clock after", "memory kept")


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
                _seconds(host["pause_limit"] if guest["paused"] else None, "", "{:g} s"), _offset(guest["clock_after_pause"]),
                _offset(guest["clock_now"]), _memory(kept, guest),
            ))  # fmt: skip
    # A guest that no report names was not part of an update; its memory counts all the same.
    sound = sound and all(one["kept"] is not False for one in memory.values())
    widths = [max(len(row[column]) for row in [COLUMNS, *rows]) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [COLUMNS, tuple("-" * width for width in widths), *rows]]
    return "\n".join(lines), sound


def _seconds(value: float | None, otherwise: str, form: str) -> str:
    return otherwise if value is None else form.format(value)


def _offset(clock: dict | None) -> str:
    return "not readable" if clock is None else f"{clock['offset']:+.4f} s ±{clock['bound']:.4f}"


def _memory(kept: bool | None, guest: dict) -> str:
    if kept is None:
        return "left paused, as its owner had it" if guest["state"] == "paused" else "not readable"
    return "yes: same boot, same random value, counting" if kept else "NO"
