# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of stopped guests: those of one libvirt URI that were shut down last, open or closed."""
from __future__ import annotations

from .._system.ledger_file import LedgerFile
from . import record
from .record import StoppedTogether


class StoppedLedger(LedgerFile[StoppedTogether]):
    """The ledger of the stopped guests of one libvirt URI. Its lock is that of `_pause.ledger.Ledger`."""

    _path = staticmethod(lambda where: where.stopped)
    _from_document = staticmethod(record.from_document)
    _to_document = staticmethod(record.to_document)
    _advice = (
        "no guest was touched by this run. See on the host which guests are shut off that should run (virsh list --all), then remove that file and run again"
    )
