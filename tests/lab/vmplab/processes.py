"""The lab's long-running processes: started detached, found again by a mark in their environment.

A mark needs no pid file: it is there from the process's first instant, cannot name another process
that got the same number later, and survives the loss of the state folder.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .run import wait_until
from .settings import Settings

_VARIABLE = "VMP_LAB_PROCESS"


def start(settings: Settings, role: str, argv: Sequence[str], log: Path) -> None:
    """Start a process in its own session, marked with its role, with its output in a log file."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, _VARIABLE: _mark(settings, role)},
            cwd="/",
            start_new_session=True,
        )
    # For an instant in its exec a process shows no environment, and would be taken for one that has ended.
    wait_until(lambda: find(settings, role) or process.poll() is not None, what=f"The start of {role}", timeout=20)


def find(settings: Settings, role: str | None = None) -> list[int]:
    """Process ids with this role, or of the whole lab."""
    wanted = _mark(settings, role or "")
    return [pid for pid, mark in _marked() if (mark == wanted if role else mark.startswith(wanted))]


def uses(cache: Path) -> bool:
    """Whether a process of any lab has this cache on its command line."""
    for pid, _role in _marked():
        try:
            if f"{cache}/".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:  # ended meanwhile
            continue
    return False


def end(settings: Settings, role: str | None = None) -> None:
    """End them at once, and everything in their namespaces with them, and see them gone."""
    ending = find(settings, role)
    for pid in ending:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    # A process loses its environment before it closes its files: the network device of a machine, for one, is busy until then.
    wait_until(lambda: not find(settings, role) and all(map(_has_ended, ending)), what="The end of the lab's processes", timeout=20)


def _has_ended(pid: int) -> bool:
    """Whether all threads of a process that was killed have ended, and with the last of them all that it had open."""
    try:
        states = [(task / "stat").read_bytes().rpartition(b")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # the last one has been waited for
        return True
    return all(state in (b"Z", b"X") for state in states)


def _marked() -> Iterator[tuple[int, str]]:
    """Every process that a lab has started, with its mark."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        for item in environment:
            if item.startswith(f"{_VARIABLE}=".encode()):
                yield int(entry.name), item.decode(errors="replace").partition("=")[2]


def _mark(settings: Settings, role: str) -> str:
    return f"{settings.state}:{role}"
