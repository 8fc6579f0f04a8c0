# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approvals: a file for each event, made with all its blocks before the event is announced, and overwritten in place.

So whoever answers guests needs no right to make files, no request can write anything else, and a full disk loses no approval.
"""
from __future__ import annotations

import dataclasses
import json
import os

from .._core.errors import LedgerError
from .._core.records import checked

#: Bytes of each file.
SIZE = 512
#: Nobody has approved yet.
NONE = b" " * (SIZE - 1) + b"\n"
_LONGEST_NAME = 200


@dataclasses.dataclass(frozen=True)
class Approval:
    """That an event may begin before its notice is over.

    :ivar uuid: The UUID of the guest that has said so.
    :ivar name: libvirt's name of it.
    :ivar at: Wall clock, seconds since the epoch.
    """

    uuid: str
    name: str
    at: float


def encode(approval: Approval) -> bytes:
    """The content of its file."""
    name = approval.name
    while True:
        data = json.dumps({"uuid": approval.uuid, "name": name, "at": approval.at}, ensure_ascii=True).encode("ascii")
        if len(data) < SIZE:
            return data.ljust(SIZE - 1) + b"\n"
        name = name[:min(len(name) - 1, _LONGEST_NAME)]  # as JSON a letter can have six


def decode(data: bytes) -> Approval | None:
    """The approval in a file, `None`: there is none, or what is there was not written by `encode`: half a write of one."""
    try:
        raw = checked(json.loads(data.decode("ascii")), {"uuid": (str,), "name": (str,), "at": (int, float)}, (), "an approval")
    except (UnicodeDecodeError, ValueError, RecursionError, LedgerError):
        return None
    return Approval(**raw)


def read(folder: str, event_id: str) -> Approval | None:
    """The approval of an event; `None` when there is none.

    :param folder: The folder of approvals.
    :param event_id: See `is_event_id`.
    """
    try:
        handle = os.open(os.path.join(folder, event_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return decode(os.pread(handle, SIZE, 0))
    finally:
        os.close(handle)


def overwrite(folder: str, event_id: str, approval: Approval) -> None:
    """Write an approval into the file that was made for it; on disk when this returns.

    :raises OSError: There is no such file, or it could not be written.
    """
    handle = os.open(os.path.join(folder, event_id), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        data = encode(approval)
        if os.pwrite(handle, data, 0) != len(data):
            raise OSError("a part of it was written")
        os.fsync(handle)
    finally:
        os.close(handle)
