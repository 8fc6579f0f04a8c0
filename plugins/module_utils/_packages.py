# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package manager's adapter: what an update would do, and the commands that stage and apply it. apt only, so far."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

from ._errors import MaintenanceError

#: Nothing may ask; needrestart must not restart services of its own accord inside the pause.
_ENVIRONMENT = ["env", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"]
#: Keep the operator's configuration files; never remove a package; look no mirror up that was not asked for.
_APT = ["apt-get", "--assume-yes", "--no-remove", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
#: Seconds to wait for another package manager's lock, before the pause. Inside it there is no time to wait.
_LOCK_WAIT = ["-o", "DPkg::Lock::Timeout=60"]
_NO_LOCK_WAIT = ["-o", "DPkg::Lock::Timeout=2"]

# "Inst name [installed] (candidate origin [arch])"; "Remv name [installed]"; apt-get(8), --simulate
_INST = re.compile(r"^Inst (?P<name>\S+)(?: \[(?P<installed>[^\]]*)\])? \((?P<candidate>[^\s)]+)")
# A package that an interrupted update left unpacked: "Conf name (version origin [arch])" without an Inst.
_CONF = re.compile(r"^Conf (?P<name>\S+) \((?P<candidate>[^\s)]+)")
_REMV = re.compile(r"^Remv (?P<name>\S+)(?: \[(?P<installed>[^\]]*)\])?")


class Change(t.NamedTuple):
    """One package that an update would change.

    :ivar name: The package.
    :ivar installed: The version now, C(None) when it is not installed.
    :ivar candidate: The version after, C(None) when it would be removed.
    """

    name: str
    installed: str | None
    candidate: str | None


def parse_simulation(text: str) -> list[Change]:
    """What C(apt-get --simulate) says it would do.

    :param text: Its standard output in the C locale.
    """
    found: list[Change] = []
    for line in text.splitlines():
        match = _INST.match(line)
        if match:
            found.append(Change(match["name"], match["installed"], match["candidate"]))
            continue
        match = _REMV.match(line)
        if match:
            found.append(Change(match["name"], match["installed"], None))
            continue
        match = _CONF.match(line)
        if match and match["name"] not in {change.name for change in found}:
            found.append(Change(match["name"], match["candidate"], match["candidate"]))
    return found


class Commands(t.NamedTuple):
    """How an update is carried out; argument lists.

    :ivar refresh: Read the package lists anew.
    :ivar simulate: Say what would be done.
    :ivar stage: Everything that can be done with guests running (the download).
    :ivar apply: The update itself, from what was staged.
    """

    refresh: list[str]
    simulate: list[str]
    stage: list[str]
    apply: list[str]


def apt_commands(packages: t.Sequence[str], release: str | None) -> Commands:
    """The commands of the apt family.

    :param packages: Names, or C(name=version).
    :param release: apt's target release, or C(None).
    :raises MaintenanceError: code C(packages): something that is no package name.
    """
    for name in packages:
        # Debian Policy 5.6.1 and 5.6.12, with an optional architecture. Above all: never an option of apt-get.
        # Nor a name with a minus at its end, which apt-get takes for a removal.
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]*(?<!-)(:[a-z0-9-]*[a-z0-9])?(=[A-Za-z0-9.+:~-]+)?", name):
            raise MaintenanceError(f"{name!r} is no package name (name or name=version); no guest was touched", "packages")
    if release is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.~+/_-]*", release):
        raise MaintenanceError(f"release {release!r} is no name of an apt release; no guest was touched", "packages")
    target = [] if release is None else ["--target-release", release]
    install = [*_ENVIRONMENT, *_APT, *target]
    return Commands(
        refresh=[*_ENVIRONMENT, "apt-get", *_LOCK_WAIT, "-o", "APT::Update::Error-Mode=any", "update"],
        # Without --no-remove: what would be removed shall be seen and named.
        simulate=[*_ENVIRONMENT, "apt-get", "--simulate", "-o", "Debug::NoLocking=true", *target, "install", *packages],
        stage=[*install, *_LOCK_WAIT, "--download-only", "install", *packages],
        apply=[*install, *_NO_LOCK_WAIT, "--no-download", "install", *packages],
    )


def _run(argv: t.Sequence[str], timeout: float) -> str:
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise MaintenanceError(f"{' '.join(argv)} did not end within {timeout:g} s; no guest was touched", "packages") from error
    if done.returncode:
        # apt says why on lines that begin with E:
        lines = [line[3:] for line in done.stderr.splitlines() if line.startswith("E: ")] or done.stderr.split("\n")[-3:]
        raise MaintenanceError(
            f"the package manager refuses: {' '.join(' '.join(lines).split())}; no guest was touched. Run it by hand on the host: {' '.join(argv)}",
            "packages",
        )
    return done.stdout


def update_info(packages: t.Sequence[str], release: str | None, refresh: bool) -> dict[str, t.Any]:
    """The body of host_update_info.

    :param packages: What is to be brought to its newest (or the named) version.
    :param release: apt's target release, or C(None).
    :param refresh: Read the package lists anew before.
    :returns: C(pending) and C(commands).
    :raises MaintenanceError: No supported package manager, an unknown package, or packages that would have to be removed.
    """
    if not packages:
        raise MaintenanceError("packages is empty, so there is no update to look at; no guest was touched", "packages")
    commands = apt_commands(packages, release)
    if shutil.which("apt-get") is None:
        raise MaintenanceError(
            "this host has no apt-get, the only package manager that this release knows; no guest was touched. "
            "Give the update as commands (host_update_commands) or as tasks (host_update_tasks_file)", "packages",
        )
    if refresh:
        _run(commands.refresh, 300)
    changes = parse_simulation(_run(commands.simulate, 120))
    removed = [change.name for change in changes if change.candidate is None]
    if removed:
        raise MaintenanceError(
            f"the update would remove {', '.join(removed)}, which this collection never does; no guest was touched. Do that by hand first, or "
            "name other packages", "packages",
        )
    return {
        "changed": False,
        "pending": [change._asdict() for change in changes],
        "commands": {"stage": commands.stage, "apply": commands.apply},
    }
