# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document on the host's disk, fsynced, and the lock around its changes. Each kind of document brings its own reader."""
from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import typing as t

from .._core.errors import LedgerError, WindowBusy
from .._core.places import Places
from . import file_lock, files

#: A ledger of 1000 guests has about 500 kB. Anything above this was not written by us. Bytes.
MAX_SIZE = 16 * 1024 * 1024

T = t.TypeVar("T")


class LedgerFile(t.Generic[T]):
    """A document on the host's disk.

    Its mode is 0600, in a folder of mode 0700, and a reader sees either the old or the new document and never a part of one.

    A kind of it says where its file is (`_path`), how its document is read and written, and, where it is not about guests that are paused or saved, what is to
    be done about one that cannot be read (`_advice`), and what it is about (`_subject`).

    :param where: The folders of the URI.
    """

    _path: t.Callable[[Places], str]
    _from_document: t.Callable[[t.Any], T | None]
    _to_document: t.Callable[[T], dict[str, t.Any]]
    _advice = (
        "no guest was touched by this run. See on the host which guests are paused or saved (virsh list --all --managed-save), then remove that file and run "
        "again"
    )
    _subject = "the pause window"

    def __init__(self, where: Places) -> None:
        self.where = where
        self.path = type(self)._path(where)

    def prepare(self) -> None:
        """Make the folder.

        :raises LedgerError: It cannot be made or belongs to somebody else.
        """
        try:
            os.makedirs(self.where.state, mode=0o700, exist_ok=True)
            found = os.lstat(self.where.state)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise LedgerError(
                    f"{self.where.state} is not a folder of uid {os.geteuid()}; no guest was touched. Remove it and run again"
                )
            os.chmod(self.where.state, 0o700)
        except OSError as error:
            raise LedgerError(
                f"the ledger's folder {self.where.state} cannot be made ({error.strerror}); no guest was touched. "
                "Run as root (become: true) and look at the file system"
            ) from error

    def read(self) -> T | None:
        """The last document, or `None` when there never was one.

        :raises LedgerError: The file is there and cannot be read or trusted.
        """
        try:
            return self._read(self.path)
        except LedgerError as error:
            raise LedgerError(error.problem, self._advice) from error

    def _read(self, path: str) -> T | None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise LedgerError(f"the ledger {path} is a symbolic link, which this collection never makes") from error
            raise LedgerError(f"the ledger {path} cannot be read ({error.strerror})") from error
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            os.close(handle)
            raise LedgerError(f"the ledger {path} is not a private file of uid {os.geteuid()}, so it is not trusted")
        with os.fdopen(handle, "rb") as stream:
            if found.st_size > MAX_SIZE:
                raise LedgerError(f"the ledger {path} has {found.st_size} bytes, which this collection never writes")
            try:
                text = stream.read()
            except OSError as error:
                raise LedgerError(f"the ledger {path} cannot be read ({error.strerror})") from error
        try:
            return type(self)._from_document(json.loads(text.decode("utf-8")))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise LedgerError(f"the ledger {path} is not JSON ({error})") from error
        except LedgerError as error:
            raise LedgerError(f"the ledger {path} cannot be used: {error}") from error

    def write(self, content: T) -> None:
        """Replace the document, on disk when this returns.

        :raises LedgerError: It cannot be written; the old document is still there.
        """
        data = json.dumps(type(self)._to_document(content), indent=1, ensure_ascii=True).encode("ascii")
        try:
            files.replace(self.path, data)
        except OSError as error:
            raise LedgerError(f"the ledger {self.path} cannot be written ({error.strerror})") from error

    @contextlib.contextmanager
    def locked(self, timeout: float) -> t.Iterator[None]:
        """Hold the lock around a change of the ledger. The kernel gives it up when the process dies, however it dies.

        :param timeout: Seconds to wait for another holder.
        :raises WindowBusy: Somebody else holds it still.
        :raises LedgerError: The lock file cannot be opened.
        """
        try:
            handle = file_lock.take(self.where.lock, timeout)
        except OSError as error:
            raise LedgerError(f"the lock {self.where.lock} cannot be opened ({error.strerror})") from error
        except file_lock.Held as error:
            raise WindowBusy(
                f"another process is changing {self._subject} of this host ({error.holder}); nothing was changed by this run. Wait for it to end and run again"
            ) from error
        try:
            yield
        finally:
            os.close(handle)
