# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table at the end of a run: each guest, or with many of them each host. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .report_model import Host, Story, totals
from .report_text import offset, seconds, visible

#: Guests up to which each has a row of its own.
EACH = 60
_GUESTS = ("host", "domain", "guest", "away for", "limit", "clock before", "clock after", "verdict", "memory")
_HOSTS = ("host", "domain", "guests", "interrupted", "longest", "limit", "clocks in sync", "outcome")


def table(found: Story) -> list[str]:
    """The lines of the table, and one of totals below it."""
    hosts = [host for _name, members in found.domains for host in members]
    count = sum(len(host.guests) for host in hosts)
    if count <= EACH:
        rows = [row for host in hosts for row in _guest_rows(host)]
        lines = _aligned(_GUESTS, rows)
    else:
        lines = _aligned(_HOSTS, [_host_row(host) for host in hosts])
    return [*lines, "", _totals(found)]


def _guest_rows(host: Host) -> list[t.Sequence[str]]:
    rows: list[t.Sequence[str]] = []
    if not host.guests or host.outcome != "updated":
        rows.append((host.name, host.domain, "(all)", host.outcome, "", "", "", "", ""))
        if not any(guest.pauses for guest in host.guests.values()):
            return rows
    for guest in sorted(host.guests.values(), key=lambda one: one.name):
        longest, memory = guest.longest, (guest.reported or {}).get("memory") or ""
        if longest is None:
            rows.append((host.name, host.domain, guest.name, "ran on", "", "", "", "", memory))
            continue
        rows.append((
            host.name, host.domain, guest.name, seconds(longest.seconds), seconds(longest.limit), offset(guest.left), offset(guest.now), guest.clock, memory,
        ))
    return rows


def _host_row(host: Host) -> t.Sequence[str]:
    pauses = [guest.longest for guest in host.guests.values() if guest.longest]
    longest = max(pauses, key=lambda one: float("inf") if one.seconds is None else one.seconds, default=None)
    right = sum(guest.clock == "in_sync" for guest in host.guests.values())
    return (
        host.name, host.domain, str(len(host.guests)), str(len(pauses)), "" if longest is None else seconds(longest.seconds),
        "" if longest is None else seconds(longest.limit), f"{right} of {len(pauses)}", host.outcome,
    )


def _totals(found: Story) -> str:
    numbers = totals(found)
    words = [", ".join(f"{count} {word}" for word, count in numbers["hosts"].items()) or "no host"]
    if numbers["interruptions"]:
        words.append(f"{numbers['interrupted']} of {numbers['guests']} guests interrupted for at most {seconds(numbers['longest'])}")
        words.append(f"{numbers['not_within_limit']} over their limit")
        words.append("clocks: " + (", ".join(f"{count} {word}" for word, count in numbers["clocks"].items())))
    return f"hosts: {'; '.join(words)}; {seconds(found.lasted)}"


def _aligned(columns: t.Sequence[str], rows: t.Sequence[t.Sequence[str]]) -> list[str]:
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [columns, *shown]) for column in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *shown]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in lines]
