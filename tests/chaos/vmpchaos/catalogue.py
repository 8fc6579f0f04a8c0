# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of faults: each a function that breaks something on a stage and returns what the operator is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .stage import Stage


@dataclasses.dataclass(frozen=True)
class Fault:
    """One row of the table.

    :ivar name: For the command line.
    :ivar text: The fault in words.
    :ivar act: Breaks it; returns what the operator is told, in the product's own words.
    :ivar limit: The pause limit, seconds.
    :ivar fast: Part of the fast subset.
    :ivar last: To be run after the others: it takes the host with it.
    :ivar stage: The class of its stage.
    """

    name: str
    text: str
    act: Callable[[Any], str]
    limit: float
    fast: bool
    last: bool
    stage: type = Stage


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, text: str, *, limit: float = 8.0, fast: bool = False, last: bool = False, stage: type = Stage
) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Put a function on the list."""

    def add(act: Callable[[Any], str]) -> Callable[[Any], str]:
        if name in FAULTS:
            raise ValueError(f"two faults are called {name}")
        FAULTS[name] = Fault(name, text, act, limit, fast, last, stage)
        return act

    return add
