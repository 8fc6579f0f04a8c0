# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a list of commands beside a clock that must not wait for them."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import typing as t

#: Bytes of each stream that are kept from its beginning, and again from its end.
KEEP = 32 * 1024
#: Seconds between asking a command's process group to end and ending it.
GRACE = 5.0
#: Seconds to wait for the end of the output after a command has ended: a daemon that it started may keep the pipe open.
DRAIN = 1.0


class _Output:
    """The beginning and the end of a stream, however long it is."""

    def __init__(self, stream: t.IO[bytes]) -> None:
        self._stream = stream
        self._head = b""
        self._tail = b""
        self._total = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            data = os.read(self._stream.fileno(), 65536)
            if not data:
                return
            with self._lock:
                self._total += len(data)
                room = KEEP - len(self._head)
                self._head += data[:room]
                self._tail = (self._tail + data[room:])[-KEEP:]

    def text(self) -> str:
        """What was kept; a gap is marked with its size."""
        self._thread.join(DRAIN)
        with self._lock:
            gap = self._total - len(self._head) - len(self._tail)
            middle = f"\n[... {gap} bytes left out ...]\n".encode("ascii") if gap else b""
            return (self._head + middle + self._tail).decode("utf-8", "replace")


class Command:
    """One command and what became of it.

    :param argv: The program and its arguments; there is no shell.
    :ivar state: `not_started`, `running`, `finished` (whatever its exit code), `timed_out` and `killed` (both: its
        process group was ended by us), `unstartable`.
    :ivar rc: Its exit code, `None` when there is none; negative: the signal that ended it.
    :ivar seconds: How long it ran.
    """

    def __init__(self, argv: t.Sequence[str]) -> None:
        self.argv = list(argv)
        self.state = "not_started"
        self.rc: int | None = None
        self.seconds = 0.0
        self.message = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[_Output, _Output] | None = None

    def run(self, timeout: float, killed: threading.Event) -> None:
        """Run it to its end.

        :param timeout: Seconds, then its process group is ended.
        :param killed: Set by somebody else: end it now.
        """
        began = time.monotonic()
        self.state = "running"
        try:
            # A session of its own: what it does to its process group does not reach us, and it can be ended as a whole.
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd="/",
            )
        except (OSError, ValueError) as error:
            self.state, self.message = "unstartable", f"it cannot be started ({error})"
            return
        self._streams = (_Output(t.cast("t.IO[bytes]", self._process.stdout)), _Output(t.cast("t.IO[bytes]", self._process.stderr)))
        outcome = "finished"
        while True:
            try:
                self._process.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                if killed.is_set():
                    outcome = "killed"
                elif time.monotonic() - began > timeout:
                    outcome = "timed_out"
                else:
                    continue
                self._end(self._process)
                break
        self.seconds = time.monotonic() - began
        self.rc = self._process.returncode
        self.state = outcome

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """End the whole process group: ask, give it time to clean up, then kill what is left of it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            give_up = time.monotonic() + GRACE
            while time.monotonic() < give_up:
                # Without this the leader would stay in its group as a zombie.
                process.poll()
                try:
                    os.killpg(process.pid, 0)
                except ProcessLookupError:
                    return
                except PermissionError:  # all that is left runs as somebody else
                    pass
                time.sleep(0.02)

    def as_dict(self) -> dict[str, t.Any]:
        """For a module's result."""
        out, err = ("", "") if self._streams is None else (stream.text() for stream in self._streams)
        return {
            "argv": self.argv, "state": self.state, "rc": self.rc, "seconds": round(self.seconds, 3), "stdout": out, "stderr": err,
            "message": self.message,
        }

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.state == "finished" and self.rc == 0


class CommandList:
    """Commands one after another, in a thread of their own. The first that does not succeed is the last.

    :param commands: The argument lists.
    :param timeout: Seconds for each command.
    :ivar current: The command that runs, or ran last.
    """

    def __init__(self, commands: t.Sequence[t.Sequence[str]], timeout: float) -> None:
        self.commands = [Command(argv) for argv in commands]
        self._timeout = timeout
        self._killed = threading.Event()
        self._no_more = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.current: Command | None = None

    def _run(self) -> None:
        for command in self.commands:
            if self._no_more.is_set():
                return
            self.current = command
            command.run(self._timeout, self._killed)
            if not command.succeeded:
                return

    def start(self) -> None:
        """Start the first command."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the list.

        :param timeout: Seconds; `None`: until it ends, which the time-outs of the commands bring about.
        :returns: Whether it has ended.
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self, kill: bool) -> None:
        """Start no further command.

        :param kill: Also end the one that runs; otherwise it goes on to its own end or time-out.
        """
        self._no_more.set()
        if kill:
            self._killed.set()

    @property
    def succeeded(self) -> bool:
        """Whether every command succeeded."""
        return all(command.succeeded for command in self.commands)
