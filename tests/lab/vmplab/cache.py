"""What is built once: each result in a folder that is named after the hash of its recipe."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError
from .run import progress
from .settings import Settings

_UNFINISHED = ".building-"


@contextmanager
def lab_locked(settings: Settings) -> Iterator[None]:
    """One command at a time may change a lab. The lock ends with the process, however it ends."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    # Kept in the cache, because the state folder comes and goes with the lab.
    with (settings.cache / f".lock-{recipe_hash(str(settings.state))}").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(f"Another lab command is at work on {settings.state}: wait for it to end.") from error
        yield


def build_once(cache: Path, name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """The folder with the result of `build`; built if no finished one of this recipe is there.

    It is built aside and renamed at the end, so a build that was killed is never taken for a result.
    """
    target = cache / f"{name}-{recipe}"
    if target.is_dir():
        return target
    descriptor = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Two labs may share a cache: the second waits for what the first builds.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not target.is_dir():
            _build(cache, name, target, build)
    finally:
        os.close(descriptor)
    return target


def _build(cache: Path, name: str, target: Path, build: Callable[[Path], None]) -> None:
    for leftover in cache.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)
    progress(f"building {name} (once, kept in {target})")
    work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache))
    build(work)
    work.chmod(0o755)
    work.rename(target)


def recipe_hash(*parts: str | Path) -> str:
    """A short hash of texts and of files' contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]
