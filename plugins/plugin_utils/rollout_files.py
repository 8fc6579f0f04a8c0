# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journals of rollouts on the controller's disk: one file each, a line of JSON for each event, on disk before anything goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .rollout_journal import Journal, JournalError, Process, read

_SUFFIX = ".jsonl"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def now() -> str:
    """The wall clock, ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def new_id() -> str:
    """The id of a new rollout. Ids sort by the time at which their rollouts were opened."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"


def process(pid: int) -> Process:
    """The identity of a process of this machine. Raises OSError if it has ended."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    # proc(5): the 22nd word; the second, in brackets, may hold blanks.
    words = Path(f"/proc/{pid:d}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return Process(os.uname().nodename, boot, pid, int(words[19]))


def lives(found: Process | None) -> bool | None:
    """Whether a process still runs; None if that is not to be seen from this machine."""
    if found is None:
        return False
    try:
        here = process(os.getpid())
        if (found.node, found.boot) != (here.node, here.boot):
            # The same machine after a reboot is not another one; a container is, though it has its host's boot.
            return False if found.node == here.node else None
        return process(found.pid) == found
    except OSError:
        return False


class Folder:
    """The journals of one fleet.

    path: their folder, which is made when the first rollout is opened.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock around a decision, and what is written for it. Raises JournalError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"the folder of the journals {self.path} cannot be written to ({error.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def file(self, rollout: str) -> Path:
        """The journal of a rollout. Raises JournalError if that can be no id."""
        if not _ID.fullmatch(rollout):
            raise JournalError(f"{rollout!r} is no id of a rollout")
        return self.path / f"{rollout}{_SUFFIX}"

    def unclosed(self) -> list[Journal]:
        """The journals that are not closed, the oldest first. Raises JournalError for one that cannot be read."""
        # One without a whole line was opened by a run that died before it had said anything.
        files = sorted(one for one in self.path.glob(f"*{_SUFFIX}") if b"\n" in one.read_bytes()) if self.path.is_dir() else []
        return [journal for journal in (self.read(one.name.removesuffix(_SUFFIX)) for one in files) if not journal.closed]

    def read(self, rollout: str) -> Journal:
        """The journal of a rollout. Raises JournalError."""
        path = self.file(rollout)
        try:
            return read(json.loads(line) for line in _whole_lines(path.read_bytes()))
        except OSError as error:
            raise JournalError(f"the journal {path} cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise JournalError(f"the journal {path} is damaged ({error}). If its rollout is not to be carried on, remove that file") from None

    def write(self, rollout: str, *events: dict[str, Any]) -> None:
        """Add events. They are on disk when this returns. Raises JournalError.

        Each writer holds a lock for it; half a line, as a killed writer leaves it, is taken away first.
        """
        path = self.file(rollout)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                _end_after_whole_lines(stream)
                for event in events:
                    stream.write(json.dumps({"at": now(), **event}, ensure_ascii=True).encode("ascii") + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise JournalError(f"the journal {path} cannot be written ({error.strerror})") from None


def _whole_lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")[:-1]


def _end_after_whole_lines(stream: BinaryIO) -> None:
    """Go to the end of a file, and take half a line away that is there. What is whole is not read: a journal of a large fleet is long."""
    end = stream.seek(0, os.SEEK_END)
    if not end:
        return
    stream.seek(end - 1)
    if stream.read(1) != b"\n":
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
