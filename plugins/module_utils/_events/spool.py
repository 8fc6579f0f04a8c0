# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spool of scheduled events: the one thing that Ansible and the service that answers guests share."""
from __future__ import annotations

import contextlib
import functools
import grp
import json
import os
import time
import typing as t

from .._core.errors import LedgerError, MaintenanceError
from .._core.identity import boot_id
from .._system import file_lock, files
from . import approvals, changes
from .places import GROUP, EventPlaces
from .record import Announcements, Moment, announcements, announcements_document

#: Bytes. Anything above this was not written by us.
MAX_SIZE = 16 * 1024 * 1024
#: Seconds to wait for another process that changes the spool.
LOCK_TIMEOUT = 30.0


#: A process does not outlive its boot.
_this_boot = functools.lru_cache(maxsize=None)(boot_id)


def moment() -> Moment:
    """Now."""
    return Moment(_this_boot(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def read_document(path: str) -> t.Any:
    """A JSON document, `None` when there is no file.

    :raises LedgerError: It cannot be read, or is none.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror})") from error
    with os.fdopen(handle, "rb") as stream:
        try:
            data = stream.read(MAX_SIZE + 1)
            if len(data) > MAX_SIZE:
                raise LedgerError(f"{path} is larger than this collection writes")
            return json.loads(data.decode("utf-8"))
        except OSError as error:
            raise LedgerError(f"{path} cannot be read ({error.strerror})") from error
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise LedgerError(f"{path} is not JSON ({error})") from error


def write_document(path: str, document: t.Any, gid: int) -> None:
    """Replace a JSON document that a group may read, on disk when this returns.

    :raises OSError: It cannot be written; the old one is still there.
    """
    files.replace(path, json.dumps(document, indent=1, ensure_ascii=True).encode("ascii"), 0o640, gid)


class Spool:
    """The spool of a host.

    :param places: Where it is.
    :param gid: The group that may read it, by default the service's.
    :raises MaintenanceError: code `not_installed`: the service was never installed on this host.
    """

    def __init__(self, places: EventPlaces, gid: int | None = None) -> None:
        self.places = places
        try:
            self._gid = grp.getgrnam(GROUP).gr_gid if gid is None else gid
        except KeyError:
            self._gid = -1
        if self._gid == -1 or not os.path.isdir(places.approvals):
            raise MaintenanceError(
                "scheduled events are not set up on this host, so no guest can be told; nothing was changed. Run the role scheduled_events on it, or do "
                "without (host_update_events: never)", "not_installed",
            )

    def read(self) -> Announcements:
        """What is announced.

        :raises MaintenanceError: code `spool`: it cannot be read.
        """
        try:
            raw = read_document(self.places.events)
            return changes.NONE if raw is None else announcements(raw)
        except LedgerError as error:
            raise MaintenanceError(
                f"what is announced to the guests of this host cannot be read: {error.problem}; nothing was changed. Remove {self.places.events} and run "
                "again. Guests then see no events until new ones are announced", "spool",
            ) from error

    def approval(self, event_id: str) -> approvals.Approval | None:
        """The approval of an event, or `None`.

        :raises MaintenanceError: code `spool`: it cannot be read.
        """
        try:
            return approvals.read(self.places.approvals, event_id)
        except OSError as error:
            raise MaintenanceError(
                f"the approval of event {event_id} cannot be read ({error.strerror}). Look at {self.places.approvals} on the host", "spool",
            ) from error

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Hold the lock around a change. The kernel gives it up when the process dies.

        :raises MaintenanceError: code `spool`: it cannot be had.
        """
        try:
            handle = file_lock.take(self.places.lock, LOCK_TIMEOUT)
        except OSError as error:
            raise self._unwritable(error) from error
        except file_lock.Held as error:
            raise MaintenanceError(
                f"another process has been changing the scheduled events of this host for {LOCK_TIMEOUT:g} s ({error.holder}; its lock is {self.places.lock}); "
                "nothing was changed by this run. Wait for it to end and run again", "spool",
            ) from error
        try:
            yield
        finally:
            os.close(handle)

    def write(self, found: Announcements) -> None:
        """Replace what is announced. The files of approvals are there before, and go after.

        :raises MaintenanceError: code `spool`: it cannot be written; guests see what they saw.
        """
        wanted = {event.id for event in found.events}
        try:
            there = set(os.listdir(self.places.approvals))
            for event_id in sorted(wanted - there):
                # With all its blocks: writing it later takes no room on the disk.
                files.put(os.path.join(self.places.approvals, event_id), approvals.NONE, 0o660, self._gid)
            files.sync_folder(self.places.approvals)
            write_document(self.places.events, announcements_document(found), self._gid)
            for name in there - wanted:
                os.unlink(os.path.join(self.places.approvals, name))
        except OSError as error:
            raise self._unwritable(error) from error

    def approve(self, event_id: str, approval: approvals.Approval) -> None:
        """Note an approval that was given on another host.

        :raises MaintenanceError: code `spool`: it cannot be written.
        """
        try:
            approvals.overwrite(self.places.approvals, event_id, approval)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> MaintenanceError:
        return MaintenanceError(
            f"what is announced to the guests of this host cannot be written to {self.places.spool} ({error.strerror}); guests see what they saw before. Run "
            "as root (become: true), see that the disk has room, and run again", "spool",
        )
