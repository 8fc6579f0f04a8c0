"""Reaching a host: shell commands, and the functions of on_host.py."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .run import run
from .settings import Settings

_ON_HOST = Path(__file__).with_name("on_host.py")


def options(settings: Settings) -> tuple[str, ...]:
    """What ssh needs for the lab: its own key and host keys, nothing of the user's."""
    return (
        "-F", "none",
        "-i", str(settings.key),
        "-o", "IdentitiesOnly=yes",
        "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={settings.known_hosts}",
        "-o", "GlobalKnownHostsFile=none",
        "-o", "ConnectTimeout=5",
    )  # fmt: skip


def answers(settings: Settings, host: dict) -> bool:
    argv = ("ssh", *options(settings), f"root@{host['address']}", "true")
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def shell(settings: Settings, host: dict, command: str, *, timeout: float, text_in: str | None = None) -> str:
    """Run a command as root on the host and return its output; LabError after `timeout` seconds."""
    argv = ("ssh", *options(settings), f"root@{host['address']}", command)
    return run(argv, what=f"On host {host['name']}: {command}", timeout=timeout, text_in=text_in)


def call(settings: Settings, host: dict, function: str, *, timeout: float, **arguments: Any) -> Any:
    """Call a function of on_host.py on the host: its arguments and its answer travel as JSON."""
    program = f"{_ON_HOST.read_text()}\nprint(json.dumps({function}(**json.loads({json.dumps(arguments)!r}))))\n"
    argv = ("ssh", *options(settings), f"root@{host['address']}", "python3 -")
    what = f"On host {host['name']}: {function.replace('_', ' ')}"
    return json.loads(run(argv, what=what, timeout=timeout, text_in=program))


def become_ssh(settings: Settings, host: dict, command: Sequence[str]) -> None:
    """Replace this program by an ssh to the host."""
    os.execvp("ssh", ("ssh", *options(settings), f"root@{host['address']}", *command))
