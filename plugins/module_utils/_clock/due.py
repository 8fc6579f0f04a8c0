# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clocks that are our business: of guests that we paused or saved, put right by whoever gives them back, each as soon as its guest runs again."""
from __future__ import annotations

import time
import typing as t

from .keeper import BACK_AGAIN, Keeper, Task

#: Seconds that are waited for all clocks: agents that hang cost their time-outs, four at a time.
PATIENCE = 30.0


class Entry(t.Protocol):
    """A guest of a ledger."""

    name: str
    uuid: str
    clock_target: float
    had_agent: bool
    clock: dict[str, t.Any] | None


class Record(t.Protocol):
    """A ledger's record of guests that were paused or saved together."""

    uri: str
    correct_clocks: bool
    clock_tolerance: float

    @property
    def clocks_due(self) -> t.Sequence[t.Any]:
        """The guests that run again after we had stopped them, and whose clock has not been looked at since."""

    def back_at(self, entry: t.Any) -> float | None:
        """When a guest ran again, `CLOCK_MONOTONIC` seconds; `None` when that is not known."""


class DueClocks:
    """Puts the clocks of one record's guests right.

    :param record: How its clocks are to be.
    :param libvirt_patience: Seconds that a libvirt that is away is waited for.
    """

    def __init__(self, record: Record, libvirt_patience: float = BACK_AGAIN) -> None:
        self._keeper = Keeper(record.uri, record.clock_tolerance, record.correct_clocks, libvirt_patience)

    def runs_again(self, entry: Entry, at: float) -> None:
        """Take a guest that runs again; returns at once.

        :param at: When it did, `CLOCK_MONOTONIC` seconds.
        """
        self._keeper.give(Task(entry.uuid, entry.clock_target, at, entry.had_agent, entry.name, getattr(entry, "agent", "")))

    def settle(self, record: Record, timeout: float, write: t.Callable[[t.Any], object]) -> bool:
        """Wait for the clocks, and write down what became of them.

        :param timeout: Seconds.
        :param write: Writes the record.
        :returns: Whether a clock was set.
        """
        due = list(record.clocks_due)
        if not due:
            return False
        for entry in due:
            at = record.back_at(entry)
            self.runs_again(entry, time.monotonic() if at is None else at)
        found = self._keeper.results(timeout)
        for entry in due:
            entry.clock = found[entry.uuid]
        write(record)
        return any(entry.clock["changed"] for entry in due)
