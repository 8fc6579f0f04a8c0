# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of a window's guard, and taking them away."""
from __future__ import annotations

from .._core.places import SYSTEM_URI
from .._system.units import has_systemd, stop
from .record import Window


def unit(kind: str, window: Window) -> str:
    """The name of a unit.

    :param kind: `guard` or `backstop`.
    """
    return f"vm-preserving-{kind}-{window.id}"


def disarm(window: Window) -> None:
    """Take the guard of a closed window away. It would end by itself; this only tidies up at once."""
    if window.uri == SYSTEM_URI and has_systemd():
        stop([f"{unit('backstop', window)}.timer", f"{unit('guard', window)}.service"])
