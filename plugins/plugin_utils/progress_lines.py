# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator sees of a run while it goes on: a line for each step that says something of hosts and guests. Pure; knows no Ansible.

When an update domain begins and ends, and why a rollout stops, is told by the strategy, and not once more here.
"""
from __future__ import annotations

import shlex
import typing as t

from .report_model import LONG, NOT_BACK, Event, Host, Story, module_of, story
from .report_text import seconds, visible

#: Between the parts of a line.
_DOT = " \u00b7 "
#: Characters of a message that are shown; the whole of it is in what the stdout callback prints.
_LONGEST = 300
#: Modules that say of guests that they are back.
_INTERRUPT = ("preserved_command", "guest_resume", "guest_refresh", "guest_restore")
#: `good`, `long` (an interruption above half of its limit), `failed`, or nothing of the kind.
Kind = t.Literal["", "good", "long", "failed"]


class Line(t.NamedTuple):
    """A line, and what kind of news it has."""

    text: str
    kind: Kind = ""


class Progress:
    """The lines of a run, event by event."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._turns: list[tuple[str, float]] = []
        self._last: dict[str, str] = {}
        self._at_work: set[str] = set()

    def lines(self, events: t.Sequence[Event]) -> list[Line]:
        """What is to be shown of these events, which go on where the last ones ended."""
        self._events.extend(events)
        # Before its turn a host is judged in check mode, and what fails there is rescued.
        self._at_work.update(one["host"] for one in events if one["event"] == "step" and not one.get("check"))
        steps = [one for one in events if _may_say(one) and self._is_told(one)]
        if not steps:
            return []
        found = story(self._events)
        return [line for step in steps for line in self._step(found, step)]

    def _is_told(self, step: Event) -> bool:
        return not step.get("check") or self._events[0].get("check") is True or (step["status"] != "ok" and step["host"] in self._at_work)

    def _step(self, found: Story, step: Event) -> list[Line]:
        host = found.hosts[step["host"]]
        if host.domain and host.domain not in [name for name, _at in self._turns]:
            self._turns.append((host.domain, step["t"] - (step.get("took") or 0.0)))
        said = _said(host, step)
        # A wait is looked at again and again.
        if not said or self._last.get(host.name) == (text := _DOT.join(said[0][0])):
            return []
        self._last[host.name] = text
        names = [name for name, _hosts in found.domains if name]
        where = [f"domain {names.index(host.domain) + 1}/{len(names)}"] if host.domain in names else []
        where.append(visible(host.name))
        done = self._done(found, step["t"]) if step.get("report") or module_of(step) in _INTERRUPT else []
        return [Line(_DOT.join([*where, *one, *(done if number == 0 else [])]), kind) for number, (one, kind) in enumerate(said)]

    def _done(self, found: Story, now: float) -> list[str]:
        done = sum(host.outcome in ("updated", "nothing pending", "had it already") for host in found.hosts.values())
        words = [f"{done} of {len(found.hosts)} hosts"]
        # Hosts of a domain are updated together, so a domain is what one can count with. Of the first nothing is known yet.
        domains, begun = [name for name, _hosts in found.domains if name], len(self._turns)
        if begun > 1 and done < len(found.hosts):
            each = (self._turns[-1][1] - self._turns[0][1]) / (begun - 1)
            left = max(each * (len(domains) - begun + 1) - (now - self._turns[-1][1]), 0.0)
            words.append(f"about {round(left / 60)} min left" if left >= 90 else f"about {max(round(left, -1), 10):.0f} s left")
        return words


def _may_say(event: Event) -> bool:
    """Whether an event can make a line at all: to put the whole story together for each would be slow with a large fleet."""
    if event["event"] != "step":
        return False
    return event["status"] != "ok" or bool(event.get("plan") or event.get("report")) or module_of(event) in (
        *_INTERRUPT, "scheduled_event", "host_update_apply", "guest_save")


def _said(host: Host, step: Event) -> list[tuple[list[str], Kind]]:
    """The parts of the lines of a step, without where it was."""
    if step["status"] != "ok":
        return [] if step.get("ignored") else _failed(host, step)
    module, result = module_of(step), step.get("result") or {}
    if step.get("plan"):
        return [(["plan", visible(_plan(step["plan"]))], "")]
    if step.get("report"):
        return [(["done", visible(_ended(host))], "good" if not step["report"].get("problems") else "failed")]
    if module == "scheduled_event" and step.get("state") == "scheduled" and result.get("events"):
        mine = [one for one in result["events"] if one and one.get("host") in (host.name, None)]
        approved = sum(one.get("approved") is True for one in mine)
        return [(["told ahead", f"{approved} of {len(mine)} guests have approved"], "")] if mine else []
    if module == "host_update_apply" and result.get("command"):
        return [(["packages applied", f"guests run, {seconds((result['command'] or {}).get('seconds'))}"], "")]
    if module == "guest_save":
        return [(["saved", f"{sum(one.get('changed') is True for one in result.get('guests') or [] if one)} guests, for the reboot"], "")]
    pauses = [pause for guest in host.guests.values() for pause in guest.pauses if pause.step == step["n"]]
    if not pauses:
        return []
    longest = max(pauses, key=lambda one: float("inf") if one.seconds is None else one.seconds)
    word = {"pause": "resume", "refresh": "moved", "reboot": "back"}[longest.kind]
    away = "paused" if longest.kind == "pause" else "away for"
    said = [word, f"{away} {seconds(longest.seconds)} of {seconds(longest.limit)}"]
    if longest.too_long or (longest.seconds or 0.0) > LONG * (longest.limit or 0.0):
        return [([*said, *map(visible, longest.why)], "failed" if longest.too_long else "long")]
    return [(said, "good")]


def _plan(plan: Event) -> str:
    away = [one for one in plan.get("guests") or [] if one and (one.get("pause") is not None or one.get("away") is not None)]
    packages = len(plan.get("pending") or [])
    words = [str(plan.get("technique") or "")] + ([f"{packages} packages"] if packages else [])
    units = (plan.get("restarts") or {}).get("in_pause") or []
    if units:
        words.append(f"in the pause {', '.join(map(str, units))}")
    if not away:
        return ", ".join([*words, "no guest is interrupted"])
    limit = max(((one.get("pause") or 0.0) + (one.get("away") or 0.0) for one in away), default=0.0)
    return ", ".join([*words, f"{len(away)} guests for at most {seconds(limit)}"])


def _ended(host: Host) -> str:
    report = host.report or {}
    if not report.get("updated"):
        return "nothing was pending, nothing was paused"
    pauses = [pause for guest in host.guests.values() for pause in guest.pauses]
    clocks = [guest.clock for guest in host.guests.values() if guest.pauses]
    words = ["updated"]
    known = [one.seconds for one in pauses if one.seconds is not None]
    if known:
        words.append(f"{len(clocks)} guests interrupted for at most {seconds(max(known))}")
    words += [f"{clocks.count(word)} clocks {word}" for word in ("in_sync", "out_of_sync", "unverified") if word in clocks]
    return ", ".join(words)


def _failed(host: Host, step: Event) -> list[tuple[list[str], Kind]]:
    message = visible(step.get("message") or "")
    word = "UNREACHABLE" if step["status"] == "unreachable" else "FAILED"
    out: list[tuple[list[str], Kind]] = [([word, message if len(message) <= _LONGEST else message[:_LONGEST] + "\u2026"], "failed")]
    name = shlex.quote(visible(host.name))
    if host.touched is None and step["status"] != "unreachable":
        out.append((["guests", "none was interrupted in this run"], ""))
        return out
    back = [guest for guest in host.guests.values() if guest.pauses and not any(pause.outcome in NOT_BACK for pause in guest.pauses)]
    not_back = [guest.name for guest in host.guests.values() if any(pause.outcome in NOT_BACK for pause in guest.pauses)]
    state = [f"{len(back)} were interrupted and run again"] if back else ["what became of those that were interrupted is not known here"]
    state += [f"not given back: {visible(', '.join(not_back))}"] if not_back else []
    out.append((["guests", "; ".join(state)], "failed" if not_back else ""))
    out.append((["next", f"ansible-playbook vm_preserving.maintenance.recover --limit {name}"], ""))
    out.append((["log", f"ansible {name} -b -a \"journalctl --no-pager -u 'vm-preserving-guard-*'\""], ""))
    return out
