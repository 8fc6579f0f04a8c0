# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host keeps its record of rollouts, and the lock around its changes."""
from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._core.errors import LedgerError, MaintenanceError
from .._system import file_lock, files
from . import record
from .record import Record

FOLDER = "/var/lib/vm_preserving"
#: Seconds to wait for another process that changes the record.
LOCK_TIMEOUT = 30.0
#: Bytes. Anything above this was not written by us.
_MAX_SIZE = 1024 * 1024


class Store:
    """The record of this host.

    :param folder: Where it is.
    """

    def __init__(self, folder: str = FOLDER) -> None:
        self.path = os.path.join(folder, "rollout.json")
        self._lock = os.path.join(folder, "rollout.lock")

    def read(self) -> Record:
        """What is on record; nothing, where there is no record yet.

        :raises MaintenanceError: code `rollout`: it cannot be read.
        """
        try:
            with open(self.path, "rb") as stream:
                data = stream.read(_MAX_SIZE + 1)
            if len(data) > _MAX_SIZE:
                raise LedgerError("it is larger than this collection writes")
            return record.from_document(json.loads(data.decode("utf-8")))
        except FileNotFoundError:
            return Record()
        except (OSError, UnicodeDecodeError, ValueError, RecursionError, LedgerError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MaintenanceError(
                f"the host's record of rollouts {self.path} cannot be read ({reason}); nothing was touched. See that no rollout is at work on this host, "
                "remove that file and run again", "rollout",
            ) from error

    def write(self, wanted: Record) -> None:
        """Replace the record; it is on disk when this returns.

        :raises MaintenanceError: code `rollout`: it cannot be written; the old one is still there.
        """
        try:
            files.replace(self.path, json.dumps(record.to_document(wanted), indent=1).encode("ascii"), 0o600)
        except OSError as error:
            raise MaintenanceError(f"the host's record of rollouts {self.path} cannot be written ({error.strerror}); nothing was touched", "rollout") from error

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Hold the lock around a change. The kernel gives it up when the process dies.

        :raises MaintenanceError: code `rollout`: it cannot be had.
        """
        try:
            # QEMUs that are kept are in this folder: who runs them has to get through.
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            handle = file_lock.take(self._lock, LOCK_TIMEOUT)
        except OSError as error:
            raise MaintenanceError(f"{self._lock} cannot be made ({error.strerror}); nothing was touched", "rollout") from error
        except file_lock.Held as error:
            raise MaintenanceError(
                f"another process has been changing the host's record of rollouts for {LOCK_TIMEOUT:g} s ({error.holder}; its lock is {self._lock}); nothing "
                "was touched. Wait for it to end and run again", "rollout",
            ) from error
        try:
            yield
        finally:
            os.close(handle)
