# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a refresh: when the program that moves guests has died, it brings back those that were left saved."""
from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

from . import _identity
from ._errors import LedgerError, LibvirtUnreachable, WindowBusy
from ._ledger import RefreshLedger
from ._places import places
from ._refresh_document import Refresh
from ._refresh_move import bring_back_all

#: Seconds between two looks at the program that moves guests.
FOLLOW = 0.5
#: How much longer than the pause limit the program may be busy with one guest: an aborted save, and some tries to restore. Seconds.
STUCK = 90.0
#: Seconds between two tries.
AGAIN = 2.0


def is_stuck(refresh: Refresh, now: float) -> bool:
    """Whether the program that moves guests hangs: with one of them for much longer than that guest may be away.

    :param now: C(CLOCK_MONOTONIC) seconds.
    """
    return any(
        move.phase == "moving" and move.began_at is not None and now - move.began_at > refresh.pause_limit + STUCK for move in refresh.guests
    )


class RefreshGuard:
    """The guard of one refresh.

    :param uri: The libvirt URI.
    :param refresh_id: The refresh to watch; C(None): whichever is open.
    :param say: Takes what is worth telling.
    """

    def __init__(self, uri: str, refresh_id: str | None, say: t.Callable[[str], None]) -> None:
        self.uri = uri
        self.refresh_id = refresh_id
        self.ledger = RefreshLedger(places(uri))
        self._say = say
        self._told: set[str] = set()

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def _refresh(self) -> Refresh | None:
        """The refresh, or C(None) when nothing is left to do."""
        found = self.ledger.read()
        if found is None or not found.is_open or self.refresh_id not in (None, found.id):
            return None
        return found

    def follow(self, ready: t.Callable[[], None]) -> int:
        """Watch until the refresh is over, and finish it if its program has died. Returns the exit code of the process."""
        if self._refresh() is None:
            self._say("the refresh is over; nothing to do")
            return 0
        ready()
        while True:
            refresh = self._refresh()
            if refresh is None:
                return 0
            if not _identity.is_alive(_identity.ProcessIdentity(refresh.opener_pid, refresh.opener_start_time)):
                break
            if is_stuck(refresh, time.monotonic()):
                self._say(f"process {refresh.opener_pid}, which is moving guests, has not got on for {refresh.pause_limit + STUCK:.0f} s; killing it")
                with contextlib.suppress(OSError):
                    os.kill(refresh.opener_pid, signal.SIGKILL)
            time.sleep(FOLLOW)
        self._say(f"process {refresh.opener_pid}, which was moving guests, has died; bringing back what it left")
        while not self._finish():
            time.sleep(AGAIN)
        return 0

    def recover(self, patience: float) -> int:
        """Finish what is left, now. Returns the exit code of the process: 1 when a guest is not back."""
        give_up = time.monotonic() + patience
        while not self._finish():
            if time.monotonic() > give_up:
                self._say("not every guest is back; see above for why, then run this again")
                return 1
            time.sleep(AGAIN)
        return 0

    def _finish(self) -> bool:
        """One pass. Returns whether nothing is left to do."""
        try:
            with self.ledger.locked(60.0):
                refresh = self._refresh()
                return refresh is None or bring_back_all(self.uri, self.ledger, refresh, "guard", self._tell)
        except (WindowBusy, LedgerError, LibvirtUnreachable) as error:
            self._tell(f"{error}; trying again")
        except Exception as error:  # a defect of ours in one pass must not leave guests saved for ever
            self._tell(f"unexpected {type(error).__name__} ({error}); trying again")
        return False
