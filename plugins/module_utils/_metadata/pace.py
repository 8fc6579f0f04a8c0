# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many answers a client gets in a second. Pure."""
from __future__ import annotations

import typing as t

#: Answers in a second, and at once. Clients ask once or a few times in a second.
RATE, BURST = 50.0, 100.0
#: Seconds that an answer waits at the most: also what nobody waits for any more was counted.
LONGEST = 2.0
#: Seconds after which a client that has asked nothing begins anew.
_FORGET = BURST / RATE


class Pace:
    """Delays the answers of clients that ask too often. Nobody is refused: clients take that for "no events"."""

    def __init__(self) -> None:
        #: By client, the moment up to which its answers are spent.
        self._spent: dict[t.Hashable, float] = {}

    def delay(self, client: t.Hashable, now: float) -> float:
        """Seconds that its next answer has to wait.

        :param client: Who it is.
        :param now: Seconds of a clock that only goes forward.
        """
        spent = min(max(self._spent.get(client, 0.0), now - _FORGET) + 1 / RATE, now + LONGEST)
        self._spent[client] = spent
        return max(0.0, spent - now)

    def forget(self, now: float) -> None:
        """Drop who has not asked for a while."""
        self._spent = {client: spent for client, spent in self._spent.items() if spent > now - _FORGET}
