# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's side: the collection's modules and playbooks over SSH, as ansible and ansible-playbook run them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .errors import Broken

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "inventories" / "lab"
COLLECTION = "vm_preserving.maintenance"


@dataclasses.dataclass
class Answer:
    """What the operator got back.

    :ivar verdict: Ansible's word: `SUCCESS`, `CHANGED`, `FAILED!`, `UNREACHABLE!`, or empty when there was none.
    :ivar result: The module's result.
    :ivar text: Everything that was printed.
    """

    verdict: str
    result: dict[str, Any]
    text: str

    @property
    def failed(self) -> bool:
        """Whether the operator sees a failure."""
        return self.verdict not in ("SUCCESS", "CHANGED")

    @property
    def message(self) -> str:
        """The module's message, on one line."""
        return " ".join(str(self.result.get("msg") or self.text[-400:]).split())

    @property
    def code(self) -> str:
        """The stable word of the error; empty without one."""
        return (self.result.get("error") or {}).get("code", "")

    def guest(self, name: str) -> dict[str, Any]:
        """What is said of one guest, an empty dict when nothing is."""
        found = self.result.get("guests") or (self.result.get("window") or {}).get("guests") or []
        return next((one for one in found if one["name"] == name), {})


class Run:
    """An ansible program that runs in a session of its own."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )

    def kill(self) -> None:
        """SIGKILL to it and to its workers: they are its process group."""
        os.killpg(self._process.pid, 9)
        self._process.wait()

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def text(self) -> str:
        """All that it has printed so far."""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace")

    def complaint(self) -> str:
        """What ansible-playbook said of failures, on one line."""
        said = [line.strip() for line in self.text().splitlines() if "fatal:" in line or "[ERROR]" in line or line.strip().startswith('"msg": "')]
        return " ".join(line[:300] for line in said)[-1500:] or self.text()[-500:]

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its exit code.

        :param timeout: Seconds; then it is killed.
        :raises Broken: It did not end.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Broken(f"ansible did not end within {timeout:.0f} s; it had printed: {self.text()[-300:]}") from error

    def answer(self, timeout: float) -> Answer:
        """Wait for the end of an ad-hoc run and return what the module said.

        :param timeout: Seconds.
        """
        self.wait(timeout)
        return parse(self.text())


def parse(text: str) -> Answer:
    """What Ansible's callback `minimal` printed: `HOST | VERDICT => {...}`, with warnings around it."""
    head, arrow, tail = text.partition(" => {")
    verdict = head.rpartition("|")[2].strip() if arrow else ""
    result: dict[str, Any] = {}
    if arrow:
        try:
            result = json.JSONDecoder().raw_decode("{" + tail)[0]
        except ValueError:
            pass
    return Answer(verdict, result, text)


class Operator:
    """Runs Ansible against one host.

    :param sockets: A folder for Ansible's SSH connections; its path must be short.
    """

    def __init__(self, host: str, sockets: Path) -> None:
        self._host = host
        self._sockets = sockets
        self._environment = {
            **os.environ,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "ANSIBLE_STDOUT_CALLBACK": "minimal",
        }

    def start(self, module: str, **arguments: Any) -> Run:
        """Start one module of the collection."""
        argv = ["ansible", "-i", str(INVENTORY), self._host, "-m", f"{COLLECTION}.{module}", "-a", json.dumps(arguments)]
        return Run(argv, self._environment)

    def module(self, module: str, timeout: float = 120, **arguments: Any) -> Answer:
        """Run one module of the collection.

        :param timeout: Seconds.
        """
        return self.start(module, **arguments).answer(timeout)

    def start_playbook(self, tasks: list[dict[str, Any]]) -> Run:
        """Start a playbook of these tasks."""
        play = [{"hosts": self._host, "gather_facts": False, "tasks": tasks}]
        path = self._sockets / "play.yml"
        path.write_text(json.dumps(play), encoding="utf-8")  # JSON is YAML
        return Run(["ansible-playbook", "-i", str(INVENTORY), str(path)], self._environment)

    def start_update(self, **variables: Any) -> Run:
        """Start rolling_update on the host.

        :param variables: Of the role host_update.
        """
        argv = ["ansible-playbook", "-i", str(INVENTORY), "--limit", self._host, f"{COLLECTION}.rolling_update", "-e", json.dumps(variables)]
        return Run(argv, {**self._environment, "ANSIBLE_STDOUT_CALLBACK": "default"})

    def disconnect(self) -> None:
        """Give up all SSH connections: the host goes down."""
        for path in self._sockets.iterdir():
            if path.is_socket():
                subprocess.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "host"], check=False, capture_output=True)
                path.unlink(missing_ok=True)

    def recover(self, *others: str, timeout: float = 180) -> str:
        """Run recover.yml and return what it printed.

        :param others: More hosts than our own.
        :param timeout: Seconds.
        :raises Broken: It failed.
        """
        argv = ["ansible-playbook", "-i", str(INVENTORY), "--limit", ",".join([self._host, *others]), f"{COLLECTION}.recover"]
        run = Run(argv, {**self._environment, "ANSIBLE_STDOUT_CALLBACK": "default"})
        if run.wait(timeout):
            raise Broken(f"recover.yml failed: {run.complaint()}")
        return run.text()
