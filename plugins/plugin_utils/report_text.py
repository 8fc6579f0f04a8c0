# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text from hosts and guests, made safe to be shown. Pure; knows no Ansible.

Names and messages are untrusted: whoever defines a guest, or answers for it, chooses them.
"""
from __future__ import annotations

import html
import typing as t
import unicodedata

#: Characters that a terminal or a browser would obey instead of showing: controls, and what turns the direction of writing or is invisible.
_OBEYED = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def visible(value: t.Any) -> str:
    """A value as one line of text in which nothing is obeyed: such characters are shown as what they are, for example `\\u202e`."""
    return "".join(_shown(one) if unicodedata.category(one) in _OBEYED else one for one in str(value))


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return character.encode("ascii", "backslashreplace").decode("ascii") if ord(character) > 126 else f"\\x{ord(character):02x}"


def escaped(value: t.Any) -> str:
    """A value for HTML or SVG: as text, or in an attribute between quotes."""
    return html.escape(visible(value), quote=True)


def seconds(value: t.Any, otherwise: str = "unknown") -> str:
    """Seconds for people: `0.31 s`, `12.4 s`, `3 min 5 s`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return otherwise
    if abs(value) < 10:
        return f"{value:.2f} s"
    if abs(value) < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def offset(clock: t.Any) -> str:
    """A measured offset of a clock with its bound: `+0.0002 s ±0.0004`."""
    if not isinstance(clock, dict) or not isinstance(clock.get("offset"), (int, float)) or not isinstance(clock.get("bound"), (int, float)):
        return "not measured"
    return f"{clock['offset']:+.4f} s \u00b1{clock['bound']:.4f}"
