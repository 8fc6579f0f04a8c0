# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest agent without libvirt: its own socket, which is free while libvirtd is dead. Standard library only.

QEMU serves one client at a time. A libvirtd that comes back while we are connected would wait behind us, so each question is a short connection of its own.
Source of the protocol: QEMU, docs/interop/qemu-ga-ref.rst (guest-sync-delimited, guest-get-time, guest-set-time, guest-get-osinfo).
"""
from __future__ import annotations

import json
import os
import socket
import time
import typing as t

from .._core.errors import MaintenanceError
from .._core.states import State

#: No answer of an agent to these questions is longer than this. Bytes.
_LONGEST = 64 * 1024
#: What the agent takes for the beginning of a conversation, and answers with (guest-sync-delimited).
_DELIMITER = b"\xff"


class AgentSocket:
    """The agent of one running guest, asked the way `_clock.check` asks a guest of libvirt.

    :param name: libvirt's name of the guest.
    :param uuid: Its UUID.
    :param path: The socket.
    """

    def __init__(self, name: str, uuid: str, path: str) -> None:
        self.name = name
        self.uuid = uuid
        self._path = path
        self._timeout = 1.0

    def state(self) -> State:
        """It was just resumed; whether it still runs is what its answers show."""
        return State("running", "unpaused")

    def set_agent_timeout(self, seconds: int) -> None:
        """Seconds for each answer."""
        self._timeout = float(seconds)

    def reset_agent_timeout(self) -> None:
        """Nothing of it outlasts a question."""

    def clock(self) -> float:
        """The guest's wall clock in seconds since the epoch.

        :raises MaintenanceError: code `agent`: it gave no time.
        """
        found = self._ask("guest-get-time")
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 64:
            raise MaintenanceError(f"the agent of guest {self.name!r} answered something that is no time", "agent")
        return found / 1e9

    def system(self) -> dict[str, str]:
        """What the agent says of the guest's operating system. Strings of the guest, not to be trusted."""
        found = self._ask("guest-get-osinfo")
        return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

    def set_clock(self, seconds: float) -> None:
        """Set the guest's wall clock.

        :param seconds: Seconds since the epoch.
        """
        self._ask("guest-set-time", time=int(round(seconds * 1e9)))

    def _ask(self, command: str, **arguments: t.Any) -> t.Any:
        """One question, on a connection of its own.

        :raises MaintenanceError: code `agent`: no answer, an error, or rubbish.
        """
        number = int.from_bytes(os.urandom(4), "big")
        sync = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                give_up = time.monotonic() + self._timeout
                link.settimeout(self._timeout)
                link.connect(self._path)
                link.sendall(_DELIMITER + json.dumps(sync).encode("ascii") + b"\n")
                # What earlier conversations have left in the channel comes first.
                while self._line(link, give_up).get("return") != number:
                    pass
                link.sendall(json.dumps(message).encode("ascii") + b"\n")
                answer = self._line(link, give_up)
        except (OSError, ValueError, RecursionError) as error:
            raise MaintenanceError(f"the agent of guest {self.name!r} does not answer on its own socket ({error})", "agent") from error
        if "error" in answer:
            words = answer["error"].get("desc") if isinstance(answer["error"], dict) else None
            raise MaintenanceError(f"the agent of guest {self.name!r} refused {command} ({words})", "agent")
        return answer.get("return")

    @staticmethod
    def _line(link: socket.socket, give_up: float) -> dict[str, t.Any]:
        """One line of the agent that is an object; everything before the delimiter is dropped.

        :raises TimeoutError: It does not come in time.
        :raises ValueError: It is no JSON, or has no end.
        :raises RecursionError: It is JSON without a bottom.
        """
        data = b""
        while not data.endswith(b"\n"):
            left = give_up - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            link.settimeout(left)
            more = link.recv(1)  # not a byte of the next line
            if not more or len(data) > _LONGEST:
                raise ValueError("the channel was closed" if not more else "an answer without an end")
            data = b"" if more == _DELIMITER else data + more
        if not data.strip():
            return {}
        found = json.loads(data.decode("utf-8", "replace"))
        return found if isinstance(found, dict) else {}
