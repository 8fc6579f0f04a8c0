# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a report: one HTML document that asks for nothing else, and runs nothing. Pure; knows no Ansible."""
from __future__ import annotations

import base64
import hashlib
import shlex
import typing as t

from .report_chart import legend, pause_bar, timeline
from .report_model import LONG, Event, Guest, Host, Pause, Story, totals
from .report_style import STYLE
from .report_text import escaped, offset, seconds, visible
from .report_why import UNTOLD, Window

#: Guests from which on the hosts' tables are closed at first.
_OPEN = 60
#: Pauses that are named among the longest.
_LONGEST = 20
_GOOD, _WARN, _BAD = "good", "warn", "bad"
_COLOURS = {
    "updated": _GOOD, "nothing pending": _GOOD, "had it already": _GOOD, "planned": "", "failed": _BAD, "unreachable": _BAD,
    "not finished": _BAD, "not started": _WARN,
    "in_sync": _GOOD, "out_of_sync": _BAD, "unverified": _WARN, "kept": _GOOD, "same_process": _GOOD, "restored": _GOOD, "lost": _BAD, "unknown": _WARN,
}
_IN = {"pause": "In the pause", "refresh": "In the move", "reboot": "In the reboot"}
_MEMORY = {
    "kept": "kept: same boot, says the guest", "same_process": "kept: same QEMU process", "restored": "restored; the guest cannot be asked",
    "lost": "LOST", "unknown": "not known",
}


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _coloured(text: str, colour: str = "") -> str:
    return f'<span class="{colour}">{escaped(text)}</span>' if colour else escaped(text)


def _name(text: t.Any) -> str:
    # A name may be written from right to left: it must not turn what stands beside it.
    return f"<bdi>{escaped(text)}</bdi>"


def _list(lines: t.Iterable[str]) -> str:
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]], numbers: t.Container[int] = ()) -> str:
    opened = ['<td class="number">' if column in numbers else "<td>" for column in range(len(head))]
    body = "".join("<tr>" + "".join(f"{td}{cell}</td>" for td, cell in zip(opened, row)) + "</tr>" for row in rows)
    if not body:
        return ""
    return f'<div class="scroll"><table><thead><tr>{"".join(f"<th>{escaped(one)}</th>" for one in head)}</tr></thead><tbody>{body}</tbody></table></div>'


def page(found: Story, events_name: str, events_digest: str) -> str:
    """The page.

    :param events_name: The name of the file that has the events.
    :param events_digest: SHA-256 of that file.
    """
    numbers = totals(found)
    title = f"Rollout report {visible(found.run.get('run'))}"
    anchors = {host.name: f"h{number}" for number, host in enumerate(found.hosts.values())}
    parts = [
        "<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">', f'<meta http-equiv="Content-Security-Policy" content="{escaped(_policy())}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f'<meta name="vm-preserving-events-sha256" content="{escaped(events_digest)}">',
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head><body>",
        f"<header><h1>{escaped(title)}</h1>{_headline(found)}</header>", _tiles(found, numbers), _attention(found, anchors),
        f'<section><h2>Timeline</h2>{legend()}<div class="scroll">{timeline(found)}</div><p class="soft">Bars are tasks as the controller saw them. A pause is '
        "shorter than the task that it is in; its length is in the tables.</p></section>",
        _longest(found, anchors), _domains(found, anchors, numbers["guests"] <= _OPEN),
        f"<footer><p>Made from <code>{escaped(events_name)}</code>, SHA-256 <code>{escaped(events_digest)}</code>, which has everything that is said here. The "
        "playbook <code>vm_preserving.maintenance.check_report</code> checks both. A length of a pause is measured by its host, from before the suspend until "
        "the guest was seen to run, so it is the longest that the pause can have been. An offset of a clock is the guest's against its host's, and is wrong by "
        "at most the bound after \u00b1.</p></footer></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _headline(found: Story) -> str:
    run = found.run
    what = [str(run.get(key)) for key in ("playbook", "by", "at") if run.get(key)]
    counts = totals(found)["hosts"]
    wrong = [f"{counts[word]} {word}" for word in ("failed", "unreachable", "not finished", "not started") if word in counts]
    if found.end is None:
        said, colour = "The run has not ended, or was killed. What is here was on disk before.", _BAD
    elif found.check:
        said, colour = "Check mode: nothing was done. This is a plan" + (f"; {', '.join(wrong)}." if wrong else "."), _WARN
    elif any(word in counts for word in ("failed", "unreachable", "not finished")):
        said, colour = f"Not complete: {', '.join(wrong)} of {len(found.hosts)} hosts.", _BAD
    elif wrong:
        said, colour = f"Not complete: {', '.join(wrong)} of {len(found.hosts)} hosts.", _WARN
    else:
        said, colour = f"Complete: {', '.join(f'{count} {word}' for word, count in counts.items()) or 'no host'}.", _GOOD
    more = f'<p class="soft">{escaped(", ".join([*what, f"lasted {seconds(found.lasted)}"]))}</p>'
    hidden = sum(host.withheld for host in found.hosts.values())
    if hidden:
        more += f'<p class="warn">{hidden} results were withheld by no_log, and are not in this report.</p>'
    if run.get("not_written"):
        more += f'<p class="warn">{escaped(run["not_written"])}</p>'
    return f'{more}<p class="verdict {colour}">{escaped(said)}</p>'


def _tile(title: str, value: str, more: str = "", colour: str = "") -> str:
    return f'<div class="tile"><span class="soft">{escaped(title)}</span><b class="{colour}">{escaped(value)}</b>{escaped(more)}</div>'


def _tiles(found: Story, numbers: Event) -> str:
    clocks = numbers["clocks"]
    wrong, unknown = clocks.get("out_of_sync", 0), clocks.get("unverified", 0)
    over = numbers["not_within_limit"]
    limits = sorted({one.limit for host in found.hosts.values() for guest in host.guests.values() for one in guest.pauses if one.limit is not None})
    return '<section class="tiles">' + "".join([
        _tile("Hosts", f"{sum(numbers['hosts'].get(word, 0) for word in ('updated', 'nothing pending', 'had it already'))} of {len(found.hosts)} done",
              f"in {numbers['domains']} update domains"),
        _tile("Guests interrupted", f"{numbers['interrupted']} of {numbers['guests']}", f"{numbers['interruptions']} interruptions"),
        _tile("Longest", seconds(numbers["longest"], "none"), f"limit {', '.join(f'{one:g} s' for one in limits) or 'none'}", _BAD if over else ""),
        _tile("Over their limit", str(over), "or not known to be within it", _BAD if over else _GOOD if numbers["interruptions"] else ""),
        _tile("Clocks in sync", f"{clocks.get('in_sync', 0)} of {numbers['interrupted']}", f"{wrong} out of sync, {unknown} unverified",
              _BAD if wrong else _WARN if unknown else _GOOD if clocks else ""),
        _tile("Told ahead", str(numbers["notices"]), f"{numbers['approved']} approved"),
    ]) + "</section>"


def _attention(found: Story, anchors: t.Mapping[str, str]) -> str:
    """What an operator has to see first."""
    rows = []
    for host in found.hosts.values():
        where = f'<a href="#{anchors[host.name]}">{_name(host.name)}</a>'
        if host.failures:
            last = host.failures[-1]
            what = "refused or failed before anything was touched" if host.touched is None else "failed"
            word = "unreachable" if last["status"] == "unreachable" else what
            where_in = f'<br><span class="soft">in: {escaped(last.get("task"))}</span>'
            rows.append((where, _coloured(word, _BAD), f"{escaped(last.get('message'))}{where_in}{_next(host)}"))
        elif host.outcome == "not finished":
            rows.append((where, _coloured("not finished", _BAD), f"its update had begun, and nothing is known of its end{_next(host)}"))
        for guest in host.guests.values():
            for pause in guest.pauses:
                if pause.too_long or pause.why:
                    rows.append((
                        where, _coloured("over its limit" if pause.too_long else "long", _BAD if pause.too_long else _WARN),
                        f"guest {_name(guest.name)}: {escaped(pause.kind)} of {escaped(seconds(pause.seconds))}, limit {escaped(seconds(pause.limit))}"
                        f"{_list(map(escaped, pause.why))}",
                    ))
                if pause.problem:
                    rows.append((where, _coloured("not given back", _BAD), f"guest {_name(guest.name)}: {escaped(pause.problem)}"))
            if guest.clock and guest.clock != "in_sync":
                why = f": {escaped(guest.clock_error)}" if guest.clock_error else ""
                rows.append((where, _coloured(f"clock {guest.clock}", _COLOURS.get(guest.clock, _WARN)), f"guest {_name(guest.name)}{why}"))
            if guest.blockers and not guest.pauses:
                rows.append((where, _coloured("stands in the way", _WARN), f"guest {_name(guest.name)}: {escaped('; '.join(guest.blockers))}"))
        for one in (host.report or {}).get("untold") or []:
            rows.append((where, _coloured("not told ahead", _WARN), f"guest {_name((one or {}).get('name'))}: {escaped((one or {}).get('why'))}"))
    body = _table(("host", "what", "why, and what to do next"), rows) or '<p class="good">Nothing.</p>'
    return f"<section><h2>What needs to be looked at</h2>{body}</section>"


def _next(host: Host) -> str:
    """What can be done now, beside what the message itself says."""
    name = shlex.quote(visible(host.name))
    lines = []
    if host.touched is not None or host.outcome != "failed":
        lines.append(f"resume what may be paused or saved: <code>ansible-playbook vm_preserving.maintenance.recover --limit {escaped(name)}</code>")
        lines.append(f"what the guard did: <code>ansible {escaped(name)} -b -a \"journalctl --no-pager -u 'vm-preserving-guard-*'\"</code>")
    lines.append("then run the same playbook again")
    return _list(lines)


def _longest(found: Story, anchors: t.Mapping[str, str]) -> str:
    rows = [(pause, guest, host) for host in found.hosts.values() for guest in host.guests.values() for pause in guest.pauses if pause.seconds is not None]
    if len(rows) <= 1:
        return ""
    rows.sort(key=lambda one: -((one[0].seconds or 0.0) / (one[0].limit or 1.0)))
    return f"<section><h2>The longest of {len(rows)} interruptions, against their limits</h2>" + _table(
        ("guest", "host", "what", "for", "limit", ""),
        [(_name(guest.name), f'<a href="#{anchors[host.name]}">{_name(host.name)}</a>', escaped(pause.kind), escaped(seconds(pause.seconds)),
          escaped(seconds(pause.limit)), pause_bar(pause)) for pause, guest, host in rows[:_LONGEST]], (3, 4),
    ) + "</section>"


def _domains(found: Story, anchors: t.Mapping[str, str], is_open: bool) -> str:
    out = ["<section><h2>Update domains</h2>"]
    for name, hosts in found.domains:
        done = sum(host.outcome in ("updated", "nothing pending", "had it already") for host in hosts)
        out.append(f"<h3>{'Update domain ' + _name(name) if name else 'Without an update domain'}: {done} of {len(hosts)} hosts done</h3>")
        out += [_host(host, anchors[host.name], is_open) for host in hosts]
    return "".join([*out, "</section>"])


def _host(host: Host, anchor: str, is_open: bool) -> str:
    longest = max((pause.seconds for guest in host.guests.values() for pause in guest.pauses if pause.seconds is not None), default=None)
    interrupted = sum(bool(guest.pauses) for guest in host.guests.values())
    when = f", worked on from {seconds(host.touched[0])} to {seconds(host.touched[1])}" if host.touched else ""
    short = f"{interrupted} of {len(host.guests)} guests interrupted{'' if longest is None else f', at most {seconds(longest)}'}{when}"
    report, plan = host.report or {}, host.plan or {}
    inner = [_guests(host)]
    inner += [_window(host, one) for one in host.windows]
    inner.append(_notices(host))
    planned = plan.get("lines") or []
    if planned:
        inner.append(f"<h3>The plan</h3>{_list(map(escaped, planned))}")
    pending = report.get("pending") or plan.get("pending") or []
    inner.append(_pending(pending))
    for title, lines, colour in (("Problems", report.get("problems"), _BAD), ("Notes", report.get("notes"), "")):
        if lines:
            inner.append(f"<h3>{title}</h3>{_list(_coloured(one, colour) for one in lines)}")
    if host.failures or host.ignored:
        inner.append("<h3>What failed</h3>" + _list(
            f"{escaped(one.get('task'))}: {escaped(one.get('message'))}{' (the play went on)' if one.get('ignored') else ''}"
            for one in [*host.failures, *host.ignored]
        ))
    return (
        f'<details id="{anchor}"{" open" if is_open or host.failures else ""}><summary>{_name(host.name)}: {_coloured(host.outcome, _COLOURS[host.outcome])} '
        f'<span class="soft">{escaped(short)}</span></summary>{"".join(inner)}</details>'
    )


def _guests(host: Host) -> str:
    rows = []
    for guest in sorted(host.guests.values(), key=lambda one: one.name):
        memory = (guest.reported or {}).get("memory") or ""
        rows.append((
            _name(guest.name), escaped(_planned(guest)), _done(guest), "".join(map(pause_bar, guest.pauses)),
            escaped(", ".join(filter(None, (one.by for one in guest.pauses)))), escaped(offset(guest.before)),
            escaped(offset(guest.left)) if guest.pauses else "", escaped(offset(guest.now)) if guest.pauses else "",
            _clock(guest), _coloured(_MEMORY.get(memory, memory), _COLOURS.get(memory, "")),
        ))
    return _table(
        ("guest", "planned", "done", "of the limit", "resumed by", "clock before", "as the pause left it", "clock now", "verdict", "memory"), rows, (5, 6, 7),
    )


def _planned(guest: Guest) -> str:
    plan = guest.planned
    if plan is None:
        return ""
    words = []
    if plan.get("pause") is not None:
        words.append(f"paused for at most {seconds(plan['pause'])}")
    if plan.get("away") is not None:
        words.append(f"away for about {seconds(plan['away'])}")
    return ", ".join(words) or plan.get("left_alone") or "runs on"


def _done(guest: Guest) -> str:
    return "<br>".join(map(_pause, guest.pauses)) or escaped("ran on")


def _pause(pause: Pause) -> str:
    long_ = pause.seconds is not None and pause.limit and pause.seconds > LONG * pause.limit
    text = f"{pause.kind} {seconds(pause.seconds)} of {seconds(pause.limit)}"
    more = "" if pause.outcome in ("resumed", "restored", "running") else f" ({pause.outcome})"
    return _coloured(text + more, _BAD if pause.too_long else _WARN if long_ else _GOOD)


def _clock(guest: Guest) -> str:
    if not guest.pauses:
        return escaped("not ours")
    wish = f", within {guest.tolerance:g} s" if guest.tolerance is not None and guest.clock == "in_sync" else ""
    aim = f" of {guest.target:+g} s" if guest.target else ""
    return _coloured(f"{guest.clock}{wish}{aim}", _COLOURS.get(guest.clock, _WARN))


def _window(host: Host, window: Window) -> str:
    """What was in a pause, a move or a reboot."""
    parts = window.parts()
    if window.kind != "pause" and not parts:
        return ""
    known = [pause.seconds for guest in host.guests.values() for pause in guest.pauses if pause.step == window.step and pause.seconds is not None]
    rest = max(known, default=0.0) - sum(length for _what, length in parts)
    rows = [(f"<code>{escaped(what)}</code>", escaped(seconds(length))) for what, length in parts]
    if window.kind == "pause" and rest > UNTOLD and not window.deadline_missed:
        rows.append(("the rest, of which the host does not tell what it was spent on", escaped(seconds(rest))))
    by = window.window.get("closed_by")
    said = f"from {window.window.get('opened_at')} to {window.window.get('closed_at')} by the host's clock, ended by {by}" if by else ""
    odd = [one for one in window.commands if one and (one.get("state") != "finished" or one.get("rc"))]
    bad = _list(_coloured(f"{' '.join(one.get('argv') or [])}: {one.get('state')}, exit code {one.get('rc')}", _BAD) for one in odd)
    note = ""
    if window.kind == "pause" and not window.commands:
        note = '<p class="soft">What ran in it is not known here: the operator\'s own tasks, or an earlier run.</p>'
    return f'<h3>{_IN[window.kind]}</h3><p class="soft">{escaped(said)}</p>{_table(("what", "took"), rows, (1,))}{bad}{note}'


def _notices(host: Host) -> str:
    rows = [
        (_name(one.get("name")), escaped(one.get("type") or ""), escaped(seconds(one.get("notice"))), escaped(seconds(one.get("given"), "has not begun")),
         escaped("not known" if (one.get("duration") or -1) < 0 else seconds(one["duration"])),
         _name(one.get("approved_by") or "yes") if one["approved"] else escaped("no"), escaped(one.get("status") or ""))
        for one in host.notices.values()
    ]
    table = _table(("guest", "type", "notice promised", "notice given", "told to last", "approved by", "status last seen"), rows, (2, 3, 4))
    return f"<h3>Notices and approvals</h3>{table}" if table else ""


def _pending(pending: t.Sequence[Event | None]) -> str:
    rows = [[escaped(one.get(key) or "") for key in ("name", "installed", "candidate", "technique", "reason")] for one in pending if one]
    table = _table(("package", "installed", "planned", "technique", "why"), rows)
    return f"<details><summary>Packages ({len(rows)})</summary>{table}</details>" if table else ""
