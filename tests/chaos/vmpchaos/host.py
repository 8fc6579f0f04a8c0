# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching the lab's host: shell commands and the functions of on_host.py, over one SSH connection of our own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vmplab import document, remote, settings

from .errors import Broken

_ON_HOST = Path(__file__).with_name("on_host.py").read_text(encoding="utf-8")
T = TypeVar("T")


class Host:
    """One host of the lab.

    :param name: For example `h1`.
    :param sockets: A folder for the socket of our SSH connection; its path must be short.
    """

    def __init__(self, name: str, sockets: Path) -> None:
        self.name = name
        self._sockets = sockets
        self._settings = settings.from_environment()
        self._lab = document.read_complete(self._settings)
        self.entry = document.host(self._lab, name)
        # Not Ansible's connection: some faults cut that one.
        self._master = ("-o", "ControlMaster=auto", "-o", f"ControlPath={sockets / name}", "-o", "ControlPersist=60")

    def sibling(self) -> Host:
        """Another host of the lab.

        :raises Broken: There is none.
        """
        other = next((entry["name"] for entry in self._lab["hosts"] if entry["name"] != self.name), "")
        if not other:
            raise Broken("this fault needs a lab with two hosts")
        return Host(other, self._sockets)

    def _ssh(self, command: str, text_in: str | None, timeout: float) -> subprocess.CompletedProcess[str]:
        argv = ("ssh", *remote.options(self._settings), *self._master, f"root@{self.entry['address']}", command)
        try:
            return subprocess.run(argv, input=text_in or "", capture_output=True, text=True, timeout=timeout, check=False, errors="replace")
        except subprocess.TimeoutExpired as error:
            raise Broken(f"on {self.name}: {command[:80]!r} did not end within {timeout:.0f} s") from error

    def shell(self, command: str, *, check: bool = True, text_in: str | None = None, timeout: float = 60) -> str:
        """Run a command as root and return its output.

        :param timeout: Seconds.
        :raises Broken: It failed, and `check` is set.
        """
        done = self._ssh(command, text_in, timeout)
        if check and done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-500:]
            raise Broken(f"on {self.name}: {command[:200]!r} ended with {done.returncode}: {said}")
        return done.stdout

    def answers(self) -> bool:
        """Whether it lets us in."""
        return remote.answers(self._settings, self.entry)

    def call(self, function: str, timeout: float = 120, source: str = _ON_HOST, **arguments: Any) -> Any:
        """Call a function of on_host.py; arguments and answer travel as JSON.

        :param timeout: Seconds.
        :param source: The text of the functions.
        """
        program = f"{source}\nimport json\nprint(json.dumps({function}(**json.loads({json.dumps(arguments)!r}))))\n"
        return json.loads(self.shell("python3 -", text_in=program, timeout=timeout))

    def lab(self, function: str, timeout: float = 120, **arguments: Any) -> Any:
        """Call a function of the lab's own program on its hosts.

        :param timeout: Seconds.
        """
        return remote.call(self._settings, self.entry, function, timeout=timeout, **arguments)

    def put(self, path: str, text: str) -> None:
        """Write a file."""
        self.shell(f"cat > {path}", text_in=text)


def wait_for(what: str, condition: Callable[[], T], timeout: float, interval: float = 0.2) -> T:
    """Wait until a condition gives something true, and return that.

    :param timeout: Seconds.
    :raises Broken: It did not happen.
    """
    give_up = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise Broken(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(interval)
