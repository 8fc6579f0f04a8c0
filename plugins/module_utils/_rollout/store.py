# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host keeps its record of rollouts."""
from __future__ import annotations

import os

from .._core.places import Places
from .._system.ledger_file import LedgerFile
from . import record
from .record import Record

#: A folder, and so a lock, of its own: that of the guests' ledgers is held for as long as they are paused.
FOLDER = "/var/lib/vm_preserving/rollout"
#: Seconds to wait for another process that changes the record.
LOCK_TIMEOUT = 30.0


class Store(LedgerFile[Record]):
    """The record of this host.

    :param folder: Where it is.
    """

    _path = staticmethod(lambda where: os.path.join(where.state, "rollout.json"))
    _from_document = staticmethod(record.from_document)
    _to_document = staticmethod(record.to_document)
    _advice = "nothing was touched by this run. See that no rollout is at work on this host, then remove that file and run again"
    _subject = "the record of rollouts"

    def __init__(self, folder: str = FOLDER) -> None:
        super().__init__(Places(folder, ""))
