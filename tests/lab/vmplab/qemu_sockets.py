"""QEMU's monitor and the guest agent of a machine, over their Unix sockets: one JSON line each way."""

import base64
import json
import random
import socket
import time
from pathlib import Path
from typing import Any

from .errors import LabError


class Monitor:
    """QEMU's monitor (QMP)."""

    def __init__(self, path: Path) -> None:
        self._lines = _Lines(path, 60)
        self._lines.read()  # the greeting
        self.ask("qmp_capabilities")

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_error: object) -> None:
        self._lines.close()  # QEMU talks to one at a time

    def ask(self, command: str, **arguments: Any) -> Any:
        """What a command returns; LabError when QEMU refuses it."""
        self._lines.write({"execute": command, "arguments": arguments})
        while True:
            answer = self._lines.read()
            if "error" in answer:
                raise LabError(f"QEMU refuses {command}: {answer['error'].get('desc')}")
            if "return" in answer:  # all else are events
                return answer["return"]


class Agent:
    """The agent in the machine, by which it is reached before its network is set up."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Wait until it answers; LabError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            # Without an agent nobody reads: each try is made on a connection of its own. A slow machine may still answer what was sent on an earlier one.
            try:
                self._lines = _Lines(path, 5)
                self._synchronize()
                break
            except (OSError, ValueError, LabError) as error:
                if hasattr(self, "_lines"):
                    self._lines.close()
                if time.monotonic() > deadline:
                    raise LabError(f"The agent of the machine does not answer within {timeout:.0f} s ({path}).") from error
                time.sleep(0.3)
        self._lines.set_timeout(60)

    def _synchronize(self) -> None:
        """Read until the answer to this comes, and with it the end of answers to others (QEMU, qga/qapi-schema.json, guest-sync)."""
        number = random.getrandbits(31)
        self._lines.write({"execute": "guest-sync", "arguments": {"id": number}})
        while self._lines.read().get("return") != number:
            pass

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_error: object) -> None:
        self._lines.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        self._lines.write({"execute": command, "arguments": arguments})
        while True:
            answer = self._lines.read()
            if "error" in answer:
                raise LabError(f"The agent of the machine refuses {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def run(self, *argv: str, text_in: str = "", timeout: float) -> str:
        """Run a program in the machine and return what it prints; LabError when it fails, or after `timeout` seconds."""
        pid = self.ask(
            "guest-exec",
            path=argv[0],
            arg=list(argv[1:]),
            env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
            **{"capture-output": True, "input-data": base64.b64encode(text_in.encode()).decode()},
        )["pid"]
        deadline = time.monotonic() + timeout
        while not (status := self.ask("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise LabError(f"{argv[0]} did not end within {timeout:.0f} s in the machine.")
            time.sleep(0.1)
        printed, complained = (base64.b64decode(status.get(part, "")).decode(errors="replace") for part in ("out-data", "err-data"))
        if status.get("exitcode") != 0:
            raise LabError(f"{argv[0]} failed in the machine: {' / '.join((complained or printed).strip().splitlines()[-5:])}")
        return printed


class _Lines:
    """A connection with a line of JSON for each message."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._reader = self._socket.makefile("rb")

    def set_timeout(self, timeout: float) -> None:
        self._socket.settimeout(timeout)

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def write(self, message: dict) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> dict:
        line = self._reader.readline()
        if not line:
            raise LabError("The machine's QEMU ended in the middle of a conversation.")
        return json.loads(line)
