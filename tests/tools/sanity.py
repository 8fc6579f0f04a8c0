"""Run `ansible-test sanity` without containers: on the collection as it is published, then on what is not a part of it.

    sanity.py ARTEFACT MIRROR    where the built collection is unpacked, and the mirror of the checkout

Every test runs, with the Python of .venv; `compile` and `import` run with Python 3.9 too, the oldest on the hosts, if it is installed here.
Only pslint has nothing to look at, for there is no PowerShell in the collection. `shebang` does not look at what is not published: there
it asks for `python`, a name that Debian does not have.

ansible-test makes virtual environments of its own below the home directory, and downloads a get-pip for them from the ansible project. It
gets a home in .build, which keeps these environments from run to run, and a get-pip that takes the pip which comes with Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

OLDEST_ON_HOSTS = "3.9"
NOT_PUBLISHED = ("extensions/", "inventories/lab/", "tests/")
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
HOME = Path(__file__).resolve().parents[2] / ".build" / "home"
GET_PIP = """\
import ensurepip, os
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # errors go to 2
ensurepip.bootstrap()
"""


def write(path: Path, text: str) -> None:
    """Write a file that only we may read (pip's settings may hold a password)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def make_home() -> None:
    """Give ansible-test a home with the get-pip that it looks for, and with pip's settings: it passes no PIP_* variable on."""
    pip = get_venv_packages(SimpleNamespace(version=OURS))["pip"]
    write(HOME / ".ansible/test/cache" / f"get_pip_{pip.replace('.', '_')}.py", GET_PIP)

    # Quiet: errors only.
    variables = {"quiet": "2"} | {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_")}
    write(HOME / ".config/pip/pip.conf", "".join(["[global]\n", *(f"{name} = {value}\n" for name, value in variables.items())]))
    theirs = next((path for path in (Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf")) if path.expanduser().exists()), None)
    write(HOME / ".pip/pip.conf", theirs.expanduser().read_text() if theirs else "")


def oldest_python() -> str | None:
    """Return where Python 3.9 is, if it runs (pyenv's stand-in runs only when told the version)."""
    command = [f"python{OLDEST_ON_HOSTS}", "-c", "import sys; print(sys.executable)"]
    try:
        done = subprocess.run(command, env={**os.environ, "PYENV_VERSION": OLDEST_ON_HOSTS}, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def sanity(folder: str, path: str, *arguments: str) -> bool:
    """Run ansible-test sanity in the folder with the arguments, show what it complains of, and say whether it was content."""
    command = ["ansible-test", "sanity", "--color", "no", *arguments]
    env = {**os.environ, "HOME": str(HOME), "PATH": path}
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        for line in child.stdout:
            if not line.startswith(("Running sanity test", "Installing requirements", "Using cached pip", "WARNING: Using locale", "WARNING: Reviewing")):
                print(line, end="", flush=True)
    return child.returncode == 0


def main() -> int:
    """Run all sanity tests on both folders."""
    make_home()
    pythons = ["--target-python", OURS]
    path = [os.path.dirname(sys.executable)]
    if oldest := oldest_python():
        pythons += ["--target-python", OLDEST_ON_HOSTS]
        path.append(os.path.dirname(oldest))
    else:
        print(f"(no Python {OLDEST_ON_HOSTS} here: compile and import are tested with {OURS} only)")

    artefact, mirror = sys.argv[1:]
    search = os.pathsep.join([*path, os.environ["PATH"]])
    content = sanity(artefact, search, *pythons)
    content &= sanity(mirror, search, "--skip-test", "shebang", *pythons, *NOT_PUBLISHED)
    print("sanity: " + ("ok" if content else "FAILED"))
    return 0 if content else 1


if __name__ == "__main__":
    sys.exit(main())
