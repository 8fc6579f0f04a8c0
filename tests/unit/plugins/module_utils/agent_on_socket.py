# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest agent on a real unix socket, one connection at a time, as QEMU has it: also one that is slow, chatty, confused or hostile."""
from __future__ import annotations

import contextlib
import json
import socket
import threading
import time


class Agent:
    """The agent.

    :ivar ahead: Seconds that the guest's clock is ahead of the host's; guest-set-time changes it.
    :ivar asked: The commands that came, in order, guest-sync-delimited left out.
    :ivar connections: How many were accepted.
    """

    def __init__(self, path, ahead=0.0, answers=None, before=b"", talk=None, pause=0.0):
        """Start it.

        :param answers: By command, what is sent instead of the answer: bytes, or an object that becomes a line of JSON.
        :param before: What is in the channel before each delimiter: replies that somebody else did not wait for.
        :param talk: Handles a connection instead.
        :param pause: Seconds between two bytes of an answer.
        """
        self.path, self.ahead, self.asked, self.connections = str(path), ahead, [], 0
        self._answers, self._before, self._talk, self._pause = answers or {}, before, talk or self.talk, pause
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError, ValueError):
                self._talk(connection)

    def send(self, connection, data):
        if not self._pause:
            connection.sendall(data)
            return
        for number in range(len(data)):
            connection.sendall(data[number:number + 1])
            self._over.wait(self._pause)

    def answer(self, command, arguments):
        """The answer of a Linux agent."""
        if command == "guest-get-time":
            return {"return": int((time.time() + self.ahead) * 1e9)}
        if command == "guest-get-osinfo":
            return {"return": {"id": "debian", "kernel-release": "6.12", "machine": 5}}
        if command == "guest-set-time":
            self.ahead = arguments["time"] / 1e9 - time.time()
        return {"return": {}}

    def talk(self, connection):
        with connection.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line.replace(b"\xff", b""))
                if message["execute"] == "guest-sync-delimited":
                    assert line.startswith(b"\xff"), "the agent's reader was not put at a beginning"
                    self.send(connection, self._before + b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n")
                    continue
                self.asked.append(message["execute"])
                said = self._answers.get(message["execute"])
                if said is None:
                    said = self.answer(message["execute"], message.get("arguments"))
                self.send(connection, said if isinstance(said, bytes) else json.dumps(said).encode() + b"\n")

    def close(self):
        """End it; safe to repeat."""
        if self._over.is_set():
            return
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30.0)
