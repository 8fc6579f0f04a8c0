# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the program that runs on the host by itself: watch, finish, reboot, recover, restore, start."""
from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys

from ._core.errors import LedgerError, LibvirtUnreachable, MaintenanceError
from ._core.identity import boot_id
from ._core.places import SESSION_URI, SYSTEM_URI, places
from ._pause.ledger import Ledger
from ._pause.watch import RECOVER, Guard, is_awaited, notify_ready, say
from ._saved import leftovers
from ._saved.ledger import SavedLedger
from ._saved.watch import SavedGuard
from ._stopped.ledger import StoppedLedger
from ._stopped.start import follow
from ._system.hypervisor import Connection, have_bindings


def _recover(uri: str) -> int:
    """Resume, bring back and start what the ledgers say."""
    found: list[int | None] = []
    for act in (_recover_window, _recover_saved, _recover_stopped, _recover_proof):
        try:
            found.append(act(uri))
        except MaintenanceError as error:  # the others are another matter
            say(str(error))
            found.append(1)
    if found == [None] * len(found):
        say("no pause window is open on this host, and no guest is left saved or shut down; nothing was touched")
    return max(status or 0 for status in found)


def _recover_window(uri: str) -> int | None:
    """Resume the guests of the open window. Returns the exit code; `None` when there is none."""
    window = Ledger(places(uri)).read()
    return Guard(uri, window.id).recover() if window is not None and window.is_open else None


def _recover_saved(uri: str) -> int | None:
    """Bring back the guests that are saved. Returns the exit code; `None` when none are."""
    saving = SavedLedger(places(uri)).read()
    if saving is not None and saving.is_open:
        return SavedGuard(uri, saving.id, say).recover(RECOVER)
    if uri == SYSTEM_URI:
        SavedGuard(uri, None, say).forget()
    return None


def _recover_stopped(uri: str) -> int | None:
    """Start the guests that were shut down. Returns the exit code; `None` when none were."""
    record = StoppedLedger(places(uri)).read()
    return follow(uri, say, RECOVER) if record is not None and record.is_open else None


def _start(uri: str) -> int:
    """What the unit that starts guests does: after a boot, when those that are saved are back; or where one shuts down late."""
    try:
        record = StoppedLedger(places(uri)).read()
        if record is not None and record.is_open and record.boot_id != boot_id():
            _recover_saved(uri)
    except LedgerError as error:  # of the saved ones, who are another matter; the other is said below
        say(str(error))
    return follow(uri, say, None)


def _recover_proof(uri: str) -> int | None:
    """Remove what an interrupted proof has left. Returns the exit code; `None` when there is nothing."""
    where = places(uri)
    if not leftovers.are_there(where):
        return None
    with Ledger(where).locked(RECOVER):
        leftovers.forget(uri, where)
    say(leftovers.REMOVED)
    return 0


def _restore(uri: str) -> int:
    """What the unit that restores at boot does: the guests of a pause window, and their ledger, are none of its business."""
    try:
        status = _recover_saved(uri)
    except LedgerError as error:
        say(str(error))
        return 1
    if status is None:
        say("the ledger of this host knows of no saved guests; nothing was touched. virsh list --all --managed-save shows what is saved all the same")
    return status or 0


def main(arguments: list[str]) -> int:
    """The program.

    :param arguments: The command line without the program's name.
    :returns: The exit code.
    """
    parser = argparse.ArgumentParser(prog="vm-preserving-guard", description="Resume the guests of a pause window, and no other.")
    parser.add_argument("--uri", default=SYSTEM_URI, choices=[SYSTEM_URI, SESSION_URI], help="libvirt URI (default: %(default)s)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--watch", metavar="WINDOW", help="id of a pause window: follow it, and resume its guests at its deadline")
    what.add_argument("--finish", metavar="SAVE_ID", help="id of saved guests: follow them, and bring them back if nothing else does")
    what.add_argument("--reboot", metavar="SAVE_ID", help="id of saved guests: reboot the host for which they were saved, if no guest loses its memory by it")
    what.add_argument("--recover", action="store_true", help="resume now what an earlier run left paused on this host")
    what.add_argument("--restore", action="store_true", help="restore now the guests that were saved on this host")
    what.add_argument("--start", action="store_true", help="start now the guests that were shut down for an update of this host, after those that are saved")
    options = parser.parse_args(arguments)
    os.chdir("/")
    if options.recover:
        return _recover(options.uri)
    if options.restore:
        return _restore(options.uri)
    if options.start:
        return _start(options.uri)
    if options.reboot:
        return SavedGuard(options.uri, options.reboot, say).reboot()
    # A journal that does not take a line must not hold up a guest.
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(sys.stdout.fileno(), False)
    if is_awaited() and not have_bindings():
        # The backstop, which is not waited for, is better than nothing without them: it still has the monitors.
        say("the Python bindings of libvirt are not installed for this interpreter; the guard does not start without them")
        return 1
    # Load everything now: in the window the packages of libvirt, or of Python itself, may be replaced under us.
    with contextlib.suppress(LibvirtUnreachable):
        Connection(options.uri, 1.0)
    with contextlib.suppress(ImportError):
        importlib.import_module("libvirt_qemu")  # what `Guest.monitor` uses
    if options.finish:
        return SavedGuard(options.uri, options.finish, say).follow(notify_ready)
    return Guard(options.uri, options.watch).follow()
