# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows of its own clock, and how a guest's verdict is put with it.

A guest is in sync with its host, and that is worth what the host's clock is.
"""
from __future__ import annotations

import typing as t


class HostClock(t.NamedTuple):
    """A host's clock.

    :ivar synchronized: Whether a time service has it in hand (adjtimex(2)).
    :ivar max_error: How far it can be off by that service's account, seconds. Without a service it says nothing.
    """

    synchronized: bool
    max_error: float


def words(clock: HostClock | None) -> str:
    """A host's clock, to be put after "in sync with" or "out of sync with".

    :param clock: The clock, `None` when it is not known what state it is in.
    """
    if clock is None:
        return "a host clock of which is not known whether it is synchronized"
    if not clock.synchronized:
        return "a host clock that is not synchronized"
    return f"a host clock that is synchronized (within {clock.max_error:.2g} s)"
