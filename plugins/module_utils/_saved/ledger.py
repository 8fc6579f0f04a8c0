# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of saved guests: the last refresh or reboot of one libvirt URI, open or closed."""
from __future__ import annotations

from .._system.ledger_file import LedgerFile
from . import record
from .record import Saving


class SavingLedger(LedgerFile[Saving]):
    """The ledger of the saved guests of one libvirt URI. Its lock is that of `_pause.ledger.Ledger`."""

    _path = staticmethod(lambda where: where.saving)
    _from_document = staticmethod(record.from_document)
    _to_document = staticmethod(record.to_document)
