# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in words an operator can act on.

Every error that a user may meet is a `MaintenanceError` with a stable `code`. Only `_module.py` turns them into
`fail_json`; everything below it raises.
"""
from __future__ import annotations

import typing as t


class MaintenanceError(Exception):
    """An error whose message says what happened, where, in which state things were left and what to do next.

    :param message: One clear sentence (or a few) for the operator.
    :param code: A stable, machine readable word, for example `guest_unknown`.
    :param result: Partial results which the module must still return, for example `{"guests": [...]}`.
    """

    def __init__(self, message: str, code: str, result: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.result = result or {}


class LibvirtUnreachable(MaintenanceError):
    """libvirt did not answer on the URI: the daemon is down, hung, or the user has no right to talk to it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "libvirt_unreachable")


class LibvirtHangs(LibvirtUnreachable):
    """libvirt accepts connections and does not answer: the daemon lives, and holds the guests' monitors."""


class GuestGone(MaintenanceError):
    """libvirt does not know the guest (any more)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "guest_unknown")


class LedgerError(MaintenanceError):
    """The host's ledger cannot be read, written or trusted.

    :param problem: What is wrong.
    :param advice: What the operator should do; empty where the caller says it.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(f"{problem}; {advice}" if advice else problem, "ledger")
        self.problem = problem


class WindowBusy(MaintenanceError):
    """Another pause window is open on this host, or another process is just changing it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "window_busy")
