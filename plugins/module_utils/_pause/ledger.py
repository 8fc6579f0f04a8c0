# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of pauses: the last pause window of one libvirt URI, open or closed."""
from __future__ import annotations

from .._system.ledger_file import LedgerFile
from . import record
from .record import Window


class Ledger(LedgerFile[Window]):
    """The ledger of one libvirt URI: the last pause window, open or closed."""

    _path = staticmethod(lambda where: where.ledger)
    _from_document = staticmethod(record.from_document)
    _to_document = staticmethod(record.to_document)
