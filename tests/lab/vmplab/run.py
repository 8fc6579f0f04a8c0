"""Running programs, waiting for conditions, saying how far we are."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from .errors import LabError

_started = time.monotonic()


def progress(message: str) -> None:
    """One line on stderr, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:6.1f} s] {message}", file=sys.stderr, flush=True)


def run(argv: Sequence[str], *, what: str, text_in: str | None = None, timeout: float | None = None) -> str:
    """Run a program to its end and return its output; `what` names the job in the error."""
    try:
        done = subprocess.run(
            argv,
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{what} needs the program '{argv[0]}', which is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{what} did not end within {timeout:.0f} s.") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise LabError(f"{what} failed (exit status {done.returncode}): " + " / ".join(said[-5:]))
    return done.stdout


# A namespace of our own for processes and mounts: whatever happens to the program that started
# this, nothing that runs or is mounted in here outlives it.
CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--")


def run_contained(script: str, *, what: str, arguments: Sequence[str] = ()) -> str:
    """Run a bash script whose processes and mounts end with it, also when we are killed meanwhile."""
    argv = ("setpriv", "--pdeathsig", "KILL", *CONTAINED, "bash", "-euo", "pipefail", "-c", script, "bash", *arguments)
    return run(argv, what=what)


def wait_until(condition: Callable[[], bool], *, what: str, timeout: float, interval: float = 0.1) -> None:
    """Wait until the condition holds; LabError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} within {timeout:.0f} s: it did not happen.")
        time.sleep(interval)
