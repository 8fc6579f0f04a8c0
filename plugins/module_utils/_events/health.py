# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service that answers guests says of itself, on a socket of the host."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import typing as t

from .._core.errors import LedgerError
from .._core.records import checked

#: Bytes of an answer, at the most.
_MAX_SIZE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Health:
    """How the service is.

    :ivar pid: Its process.
    :ivar started: Wall clock when it was started, seconds since the epoch.
    :ivar listening: The bridges at which it listens.
    :ivar deaf: By bridge, why it does not listen there.
    :ivar asked: By UUID, the wall clock of a guest's last request.
    :ivar waiting: Ids of events whose approval could not be written yet.
    :ivar trouble: What it could not read, in sentences.
    """

    pid: int
    started: float
    listening: list[str]
    deaf: dict[str, str]
    asked: dict[str, float]
    waiting: list[str]
    trouble: list[str]


_TYPES: dict[str, tuple[type, ...]] = {
    "pid": (int,), "started": (int, float), "listening": (list,), "deaf": (dict,), "asked": (dict,), "waiting": (list,), "trouble": (list,),
}


def line(health: Health) -> bytes:
    """The answer on the socket."""
    return json.dumps(dataclasses.asdict(health), ensure_ascii=True).encode("ascii") + b"\n"


def parse(data: bytes) -> Health:
    """The service's answer.

    :raises LedgerError: It is none.
    """
    try:
        raw: t.Any = json.loads(data.decode("ascii"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise LedgerError(f"the service's answer is not JSON ({error})") from error
    return Health(**checked(raw, _TYPES, (), "the service's answer"))


def ask(path: str, timeout: float) -> Health | None:
    """How the service is; `None` when it does not answer.

    :param path: Its socket.
    :param timeout: Seconds.
    """
    found = b""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)) as client:
        client.settimeout(timeout)
        try:
            client.connect(path)
            while not found.endswith(b"\n") and len(found) < _MAX_SIZE:
                block = client.recv(65536)
                if not block:
                    break
                found += block
            return parse(found)
        except (OSError, LedgerError):
            return None
