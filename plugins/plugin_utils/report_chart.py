# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drawings of a report's page, as SVG inside of it. Pure."""
from __future__ import annotations

import typing as t

from .report_model import Host, Pause, Story, module_of, touches
from .report_text import escaped, seconds

_WIDTH, _LEFT, _ROW = 1100, 190, 20
#: Modules by what is drawn for them.
_KINDS = {
    "preserved_command": "pause", "guest_pause": "pause", "guest_resume": "pause", "guest_refresh": "refresh", "guest_save": "reboot",
    "guest_restore": "reboot", "scheduled_event": "wait",
}
LEGEND = (
    ("work", "guests run"), ("wait", "waiting for guests to approve"), ("pause", "a pause is in it"), ("refresh", "guests are moved to another QEMU"),
    ("reboot", "saved, rebooted, restored"),
)


def _kind(step: t.Mapping[str, t.Any]) -> str:
    if step.get("check"):
        return ""
    if step.get("action") == "ansible.builtin.reboot":
        return "reboot"
    kind = _KINDS.get(module_of(step), "")
    if kind:
        return kind
    return "work" if touches(step) or (step.get("took") or 0.0) >= 1 else ""


def _bars(host: Host) -> list[tuple[float, float, str, str]]:
    """When each bar begins and ends (seconds since the run began), its kind and its text."""
    found: dict[tuple[float, float, str], str] = {}
    for step in host.steps:
        kind, took = _kind(step), step.get("took") or 0.0
        if kind and took:
            found[(step["t"] - took, step["t"], kind)] = f"{step.get('task') or step.get('action')}: {seconds(took)}"
    # What guests feel is drawn last, so that it lies on top.
    order = [word for word, _text in LEGEND]
    return sorted(((began, ended, kind, text) for (began, ended, kind), text in found.items()), key=lambda one: order.index(one[2]))


def timeline(found: Story) -> str:
    """Hosts in their update domains over the time of the run. Bars are tasks as the controller saw them."""
    rows: list[tuple[str, Host | None]] = []
    for name, hosts in found.domains:
        rows.append((f"domain {name}" if name else "no update domain", None))
        rows += [(host.name, host) for host in hosts]
    height, lasted = (len(rows) + 2) * _ROW, max(found.lasted, 1.0)
    scale = (_WIDTH - _LEFT - 10) / lasted
    out = [f'<svg role="img" aria-label="timeline" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">']
    for number in range(6):
        at = _LEFT + (_WIDTH - _LEFT - 10) * number / 5
        out.append(f'<line class="grid" x1="{at:.1f}" y1="{_ROW}" x2="{at:.1f}" y2="{height}"/>')
        anchor = "end" if number == 5 else "middle"
        out.append(f'<text class="soft" x="{at:.1f}" y="14" text-anchor="{anchor}">{escaped(seconds(lasted * number / 5))}</text>')
    for row, (text, host) in enumerate(rows):
        top = (row + 1) * _ROW + 4
        shown = text if len(text) <= 26 else text[:25] + "\u2026"
        kind, left = ("soft", 0) if host is None else ("name", 12)
        out.append(f'<text class="{kind}" x="{left}" y="{top + 12}"><title>{escaped(text)}</title>{escaped(shown)}</text>')
        for began, ended, kind, said in _bars(host) if host else []:
            width = max((ended - began) * scale, 2.0)
            out.append(
                f'<rect class="{kind}" x="{_LEFT + max(began, 0.0) * scale:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 6}">'
                f"<title>{escaped(said)}</title></rect>"
            )
    return "".join([*out, "</svg>"])


def legend() -> str:
    """What the colours of the timeline mean."""
    return '<p class="legend soft">' + "".join(
        f'<svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><rect class="{kind}" width="12" height="12"/></svg>{escaped(text)}'
        for kind, text in LEGEND
    ) + "</p>"


def pause_bar(pause: Pause) -> str:
    """How much of its limit a pause took."""
    if pause.seconds is None or not pause.limit:
        return ""
    share = pause.seconds / pause.limit
    colour = "over" if share > 1 else "near" if share > 0.5 else "pause"
    return (
        f'<svg class="bar" role="img" aria-label="{100 * share:.0f} % of the limit" width="110" height="12" viewBox="0 0 110 12">'
        f'<rect class="track" width="100" height="8" y="2"/><rect class="{colour}" width="{min(max(100 * share, 1.0), 110.0):.1f}" height="8" y="2"/>'
        '<line class="limit" x1="100" x2="100" y1="0" y2="12"/></svg>'
    )
