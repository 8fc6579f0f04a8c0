# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's own monitor: the way to a guest when libvirtd is gone. Standard library only.

libvirtd keeps the one connection that the monitor socket serves. Only when libvirtd is dead does the socket greet us;
while it lives, or hangs, a connection is accepted by the kernel and never answered.
Source of the protocol: QEMU, docs/interop/qmp-spec.rst.
"""
from __future__ import annotations

import json
import socket
import time
import typing as t

#: No answer of the monitor is longer than this. Bytes.
_MAX_LINE = 1024 * 1024


class MonitorError(Exception):
    """The monitor did not answer, or not as it should."""


class MonitorSilent(MonitorError):
    """The socket accepts and does not greet: libvirtd lives, or hangs, and holds the monitor."""


class _Monitor:
    def __init__(self, path: str, timeout: float) -> None:
        self._give_up = time.monotonic() + timeout
        self._buffer = b""
        self._greeted = False
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise MonitorError(f"the host gives no socket ({error.strerror})") from error
        try:
            self._wait()
            self._socket.connect(path)
        except (BlockingIOError, socket.timeout) as error:
            # The queue of connections that are not accepted is full: ours of earlier tries.
            self._socket.close()
            raise MonitorSilent("the monitor accepts no connection") from error
        except (OSError, ValueError) as error:  # ValueError: a path that is none, from a damaged ledger
            self._socket.close()
            raise MonitorError(f"the monitor socket {path!r} cannot be reached ({error})") from error

    def close(self) -> None:
        self._socket.close()

    def _wait(self) -> None:
        left = self._give_up - time.monotonic()
        if left <= 0:
            raise self._late()
        self._socket.settimeout(left)

    def _late(self) -> MonitorError:
        # Only a monitor that never greeted is held by somebody; after the greeting it is QEMU that is slow.
        return MonitorError("QEMU did not answer in time") if self._greeted else MonitorSilent("the monitor did not greet in time")

    def greeting(self) -> None:
        """Wait for QEMU's greeting."""
        if "QMP" not in self.message():
            raise MonitorError("the monitor did not greet")
        self._greeted = True

    def message(self) -> dict[str, t.Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _MAX_LINE:
                raise MonitorError("the monitor answered without end")
            self._wait()
            try:
                data = self._socket.recv(65536)
            except socket.timeout as error:
                raise self._late() from error
            except OSError as error:
                raise MonitorError(f"the monitor broke off ({error.strerror or error})") from error
            if not data:
                raise MonitorError("the monitor closed the connection")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MonitorError("the monitor answered something that is not JSON") from error
        if not isinstance(answer, dict):
            raise MonitorError("the monitor answered something that is no message")
        return answer

    def execute(self, command: str, arguments: dict[str, t.Any] | None = None) -> t.Any:
        self._wait()
        message = {"execute": command} if arguments is None else {"execute": command, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(message).encode("ascii") + b"\n")
        except OSError as error:
            raise MonitorError(f"the monitor broke off ({error.strerror or error})") from error
        while True:
            answer = self.message()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise MonitorError(f"the monitor refused {command}")
            # anything else is an event


def resume_if_paused(path: str, timeout: float) -> str:
    """Let the vCPUs of a guest run again, if and only if QEMU says `paused`.

    `paused` is what `stop` leaves behind; I/O errors, migrations, crashes and `-S` have states of their own.

    :param path: The guest's monitor socket.
    :param timeout: Seconds for the whole conversation.
    :returns: QEMU's status before: `paused` when it was resumed, else the status in which it was left.
    :raises MonitorSilent: libvirtd holds the monitor.
    :raises MonitorError: The monitor cannot be reached or makes no sense.
    """
    monitor = _Monitor(path, timeout)
    try:
        monitor.greeting()
        monitor.execute("qmp_capabilities")
        status = monitor.execute("query-status")
        word = status.get("status") if isinstance(status, dict) else None
        if not isinstance(word, str):
            raise MonitorError("the monitor gave no status")
        if word == "paused":
            monitor.execute("cont")
        return word
    finally:
        # At once: a restarting libvirtd needs the only connection.
        monitor.close()


def capability(name: str, value: bool) -> dict[str, t.Any]:
    """The message that sets one capability of QEMU's migration.

    :param name: For example `x-ignore-shared`.
    """
    return {"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": name, "state": value}]}}


def set_capability(path: str, name: str, timeout: float) -> None:
    """Set a capability of QEMU's migration at a monitor of our own.

    :param path: The monitor's socket.
    :param name: The capability.
    :param timeout: Seconds for the whole conversation.
    :raises MonitorError: The monitor cannot be reached, or refuses.
    """
    monitor = _Monitor(path, timeout)
    try:
        monitor.greeting()
        monitor.execute("qmp_capabilities")
        message = capability(name, True)
        monitor.execute(message["execute"], message["arguments"])
    finally:
        monitor.close()
