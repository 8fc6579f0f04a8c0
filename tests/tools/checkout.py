"""The checkout's own files: what git tracks, and what is new and not ignored.

    checkout.py mirror DEST    make DEST hold the same files (what a checker left there, such as its cache, stays)
    checkout.py digest PATH..  print one hash over the files under these paths
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Left by the checkers inside the mirror; worth keeping from one run to the next.
CACHES = (".git", ".ansible", ".hypothesis", ".pytest_cache", "tests/output")


def own_files(*paths: str) -> list[Path]:
    """Return the checkout's files under the paths (all without one), sorted; files deleted but not yet committed are left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return sorted({Path(name) for name in names if name and os.path.lexists(name)})


def same(source: Path, copy: Path) -> bool:
    """Say whether the copy is up to date, by kind, mode, size and modification time."""
    if not os.path.lexists(copy) or source.is_symlink() or copy.is_symlink():
        return False
    ours, theirs = source.stat(), copy.stat()
    return (ours.st_mode, ours.st_size, ours.st_mtime_ns) == (theirs.st_mode, theirs.st_size, theirs.st_mtime_ns)


def mirror(destination: Path) -> None:
    """Copy what changed into the destination, and remove what is no longer in the checkout."""
    files = own_files()
    wanted = {str(path) for path in files}
    parents = {str(parent) for path in files for parent in path.parents}

    for folder, folders, names in os.walk(destination, topdown=True):
        where = Path(folder).relative_to(destination)
        for name in list(folders):
            path = where / name
            cache = str(path) in CACHES or (name == "__pycache__" and str(where) in parents)
            if cache or str(path) not in parents:
                folders.remove(name)
            if not cache and str(path) not in parents:
                full = destination / path
                if full.is_symlink():
                    full.unlink()
                else:
                    shutil.rmtree(full)
        for name in names:
            if str(where / name) not in wanted:
                (destination / where / name).unlink()

    for path in files:
        copy = destination / path
        if not same(path, copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)


def digest(paths: list[str]) -> str:
    """Return a hash over the names, modes and contents of the checkout's files under the paths."""
    total = hashlib.sha256()
    for path in own_files(*paths):
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        total.update(f"{path}\0{path.lstat().st_mode:o}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def main() -> None:
    """Do what the command line asks, from the checkout's root."""
    os.chdir(Path(__file__).resolve().parents[2])
    match sys.argv[1:]:
        case ["mirror", destination]:
            mirror(Path(destination))
        case ["digest", *paths]:
            print(digest(paths))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
