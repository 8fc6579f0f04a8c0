# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of saved guests: when the program that saved them has died, or the reboot for which they were saved does not come, it brings them back."""
from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

from .._clock.due import PATIENCE, DueClocks
from .._core import identity
from .._core.errors import LedgerError, LibvirtUnreachable, WindowBusy
from .._core.places import places
from .._system import boot_unit, host_power
from .._system.hypervisor import Connection
from .._system.opener import is_at_work
from .._system.qemu_processes import qemu_processes
from .ledger import SavedLedger
from .record import SavedTogether
from .transfer import bring_back_all, goes_down

#: Seconds between two looks at the program that saves guests.
FOLLOW = 0.5
#: How much longer than the pause limit the program may be busy with one guest: an aborted save, and some tries to restore. Seconds.
STUCK = 90.0
#: Seconds between two tries.
AGAIN = 2.0


def is_stuck(saving: SavedTogether, at: float) -> bool:
    """Whether the program that saves guests hangs: with one of them for much longer than that guest may be away.

    :param at: Seconds of the clock that the record uses.
    """
    return any(
        one.phase == "moving" and one.began_at is not None and at - one.began_at > saving.pause_limit + STUCK for one in saving.guests
    )


class SavedGuard:
    """The guard of guests that are saved together.

    :param uri: The libvirt URI.
    :param saving_id: What to watch; `None`: whichever is open.
    :param say: Takes what is worth reporting.
    """

    def __init__(self, uri: str, saving_id: str | None, say: t.Callable[[str], None]) -> None:
        self.uri = uri
        self.saving_id = saving_id
        self.ledger = SavedLedger(places(uri))
        self._say = say
        self._told: set[str] = set()
        self._clocks: DueClocks | None = None
        #: Whose guests we have brought back: the id of the record.
        self._brought_back: str | None = None
        #: What the ledger said when it could last be read.
        self._known: SavedTogether | None = None
        #: Whether it cannot be any more: then we go on with that.
        self._lost = False

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def _saving(self) -> SavedTogether | None:
        """What is saved, or `None` when nothing is left to do.

        :raises LedgerError: The ledger cannot be read, and never could.
        """
        try:
            found = self.ledger.read()
        except LedgerError as error:
            if self._known is None:
                raise
            self._tell(f"{error.problem}; going on with what it said before")
            found = None
        self._lost = found is None and self._known is not None
        if self._lost:
            found = t.cast(SavedTogether, self._known)
            for one in found.guests:
                # Since then its save may have been started. (Looking at a guest is all that this costs.)
                one.phase = "moving" if one.phase == "planned" else one.phase
            return found
        self._known = found if found is not None and found.is_open and self.saving_id in (None, found.id) else None
        return self._known

    def _saving_or_wait(self) -> SavedTogether | None:
        """The same, waiting for a ledger that can be read."""
        while True:
            try:
                return self._saving()
            except LedgerError as error:
                self._tell(f"{error}; looking again")
            time.sleep(AGAIN)

    def follow(self, ready: t.Callable[[], None]) -> int:
        """Watch until it is over, and finish it if nothing else does. Returns the exit code of the process."""
        try:
            if self._saving() is None:
                self._say("nothing is saved any more; nothing to do")
                return 0
        except LedgerError as error:
            self._tell(f"{error}; looking again")
        ready()
        give_up: float | None = None
        while True:
            saving = self._saving_or_wait()
            if saving is None:
                return 0
            alive = is_at_work(identity.ProcessIdentity(saving.opener_pid, saving.opener_start_time))
            if self._lost and not alive:
                # There is no reboot without it; and one that goes on all the same is not stopped by us.
                self._say("the ledger is lost; bringing back the guests of which it said that they are saved")
                break
            if saving.awaits_reboot:
                give_up = give_up or time.monotonic() + saving.pause_limit
                if time.monotonic() > give_up and not goes_down(saving):
                    self._say(f"the reboot for which guests were saved has not come within {saving.pause_limit:.0f} s; bringing them back")
                    break
            elif not alive:
                self._say(f"process {saving.opener_pid}, which was saving guests, has died; bringing back what it left")
                break
            elif is_stuck(saving, saving.now()):
                self._say(f"process {saving.opener_pid}, which is saving guests, has made no progress for {saving.pause_limit + STUCK:.0f} s; killing it")
                with contextlib.suppress(OSError):
                    os.kill(saving.opener_pid, signal.SIGKILL)
            time.sleep(FOLLOW)
        while not self._finish():
            time.sleep(AGAIN)
        self._settle_clocks()
        return 0

    def recover(self, patience: float) -> int:
        """Finish what is left, now. Returns the exit code of the process: 1 when a guest is not back."""
        give_up = time.monotonic() + patience
        while not self._finish():
            if time.monotonic() > give_up:
                self._say("not every guest is back; see above for why, then run this again")
                return 1
            time.sleep(AGAIN)
        self._settle_clocks()
        return 0

    def _settle_clocks(self) -> None:
        """See that the clocks of the guests that are back are right. Somebody else may be at it as well, which does no harm."""
        try:
            found = self.ledger.read()
            # The next refresh may have begun: its clocks are the affair of whoever does it, and its operator's wishes may be others.
            if found is not None and found.id == self._brought_back and self._clocks is not None and self._clocks.settle(found, PATIENCE, self._write_clocks):
                for one in found.guests:
                    if one.clock is not None and one.clock["changed"]:
                        self._tell(f"guest {one.name}: its clock was set, {one.clock['verdict']}, {one.clock['set_after']} s after it was back")
        except (LedgerError, WindowBusy) as error:
            self._tell(f"what became of the clocks is not in the ledger: {error}")

    def _write_clocks(self, saving: SavedTogether) -> None:
        with self.ledger.locked(60.0):
            now = self.ledger.read()
            if now is not None and now.id == saving.id:
                self.ledger.write(saving)

    def forget(self) -> None:
        """Remove the unit that restores at boot, when nothing is saved: somebody died before he came to it, or the ledger is gone."""
        if not boot_unit.RESTORE.is_there():
            return
        try:
            with self.ledger.locked(60.0):
                if self._saving() is None:
                    boot_unit.RESTORE.remove()
        except (WindowBusy, LedgerError) as error:
            self._tell(str(error))

    def _finish(self) -> bool:
        """One pass. Returns whether nothing is left to do."""
        try:
            with self.ledger.locked(60.0):
                saving = self._saving()
                if saving is None:
                    return True
                clocks = self._clocks = self._clocks or DueClocks(saving)
                self._brought_back = saving.id
                return bring_back_all(self.uri, self.ledger, saving, "guard", self._tell, clocks.runs_again)
        except (WindowBusy, LedgerError, LibvirtUnreachable) as error:
            self._tell(f"{error}; trying again")
        except Exception as error:  # a defect of ours in one pass must not leave guests saved for ever
            self._tell(f"unexpected {type(error).__name__} ({error}); trying again")
        return False

    def reboot(self) -> int:
        """Have the host rebooted if that costs no guest its memory. Returns the exit code of the process: 1 when it would.

        Under the lock, so that no other program brings the guests back meanwhile; after the order to reboot none does.
        """
        try:
            with self.ledger.locked(60.0):
                saving = self._saving()
                if saving is None or not saving.awaits_reboot or saving.boot_id != identity.boot_id():
                    self._say("the guests are not saved for a reboot (any more), so the host is not rebooted; run the update again")
                    return 1
                running = [guest.name for guest in Connection(self.uri).running()]
                if running:
                    self._say(f"the host is not rebooted, for guests run on it that would lose their memory: {', '.join(running)}")
                    return 1
                foreign = qemu_processes()
                if foreign:
                    self._say(f"the host is not rebooted, for QEMUs run on it that libvirt does not know: {'; '.join(one.words for one in foreign)}")
                    return 1
                saving.rebooting_at = time.time()
                self.ledger.write(saving)
                problem = host_power.reboot()
                if not problem:
                    return 0
                self._say(f"the host could not be rebooted: {problem}")
                saving.rebooting_at = None
                self.ledger.write(saving)
        except (WindowBusy, LedgerError, LibvirtUnreachable) as error:
            self._say(f"{error}; the host is not rebooted")
        return 1
