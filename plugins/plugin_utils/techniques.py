# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The techniques by which an update is applied, and what each means for the guests: one row for each. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

#: Seconds that a guest may be paused, where the operator says nothing else.
DEFAULT_PAUSE_LIMIT = 30
#: What an operator says to have the technique chosen.
AUTO = "auto"


class Technique(t.NamedTuple):
    """What a technique means.

    :ivar name: Its word, everywhere.
    :ivar offered: Whether an operator can ask for it by name.
    :ivar pauses: The guests' vCPUs stand still while the update is applied.
    :ivar moves: After the update the guests that run replaced code are moved to the installed QEMU.
    :ivar reboots: After the update all guests are saved to disk, and the host is rebooted.
    """

    name: str
    offered: bool = True
    pauses: bool = False
    moves: bool = False
    reboots: bool = False


#: From the gentlest to the strongest; the strongest that one package needs is what the whole update needs.
TECHNIQUES = (
    Technique("live"),
    Technique("pause", pauses=True),
    Technique("refresh", moves=True),
    Technique("reboot", reboots=True),
    Technique("refuse", offered=False),
)
NAMES = tuple(row.name for row in TECHNIQUES)
#: The choices of an operator.
OFFERED = tuple(row.name for row in TECHNIQUES if row.offered)
BY_NAME = {row.name: row for row in TECHNIQUES}


def strongest(names: t.Iterable[str]) -> str | None:
    """What an update needs as a whole.

    :param names: What its parts need.
    :returns: The strongest of them, `None` when there are none.
    """
    return max(names, key=NAMES.index, default=None)
