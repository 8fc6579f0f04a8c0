# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the adapters of the package managers have in common: their answers, and how a command of theirs is run."""
from __future__ import annotations

import json
import os
import subprocess
import types
import typing as t

from .._core.errors import MaintenanceError


class Change(t.NamedTuple):
    """One package that an update would change.

    :ivar name: The package.
    :ivar installed: The version now, `None` when it is not installed.
    :ivar candidate: The version after, `None` when it would be removed.
    """

    name: str
    installed: str | None
    candidate: str | None


class Plan(t.NamedTuple):
    """What an update would do.

    :ivar changes: The packages that would change.
    :ivar removed: Names of packages that would go, with no other taking their place.
    :ivar warnings: What makes the answer less than complete, in sentences.
    :ivar not_installed: Names that were asked for and are left out, because they are not installed and only upgrades are wanted.
    :ivar refused: Why the package manager will not carry this out, in sentences; what it finds only while it downloads is not among them.
    """

    changes: list[Change]
    removed: list[str]
    warnings: list[str]
    not_installed: list[str] = []
    refused: list[str] = []


class Commands(t.NamedTuple):
    """How an update is carried out; argument lists.

    :ivar refresh: Read the package lists anew.
    :ivar stage: Everything that can be done with guests running (the download).
    :ivar apply: The update itself, from what was staged.
    """

    refresh: list[str]
    stage: list[str]
    apply: list[str]


class PackageManager(t.Protocol):
    """An update as one package manager does it."""

    commands: Commands

    def plan(self) -> Plan:
        """What the update would do. Changes nothing.

        :raises MaintenanceError: code `packages`: the package manager refuses.
        """

    def apply_with(self, path: str, lock_timeout: int) -> list[str]:
        """The command that applies the update from what was staged, with guests running.

        :param path: The `PATH` of the packages' scripts.
        :param lock_timeout: Seconds to wait for another package manager.
        """

    def scripts(self, packages: t.Sequence[str]) -> dict[str, str]:
        """The scripts that run after an update of installed packages, as those packages have them now, by package.

        :param packages: Their names.
        """

    def owners(self, paths: t.Sequence[str]) -> dict[str, list[str]]:
        """The names of the packages that own files, by path; a file of no package is left out.

        :param paths: Absolute paths.
        """

    def contents(self, package: str) -> dict[str, str | None] | None:
        """What is in the version of a package that the update brings: by path the target of a symbolic link, `None` for any other file.

        :param package: Its name, without an architecture.
        :returns: `None` when it is not downloaded.
        :raises MaintenanceError: code `packages`: what was downloaded cannot be read.
        """


def asked_for(packages: t.Sequence[str]) -> list[str]:
    """The names of an update, none for everything that is pending.

    :param packages: As operators give them: names, none, or the one word `*`, which is everything as well.
    :raises MaintenanceError: code `packages`: everything and names.
    """
    if "*" not in packages:
        return list(packages)
    if len(packages) > 1:
        raise MaintenanceError(
            f"'*' means everything that is pending, and {', '.join(name for name in packages if name != '*') or 'another'} stands beside it; no guest was "
            "touched. Give '*' alone, or the names", "packages",
        )
    return []


def refuse(plan: Plan) -> None:
    """Refuse an update that the package manager would not carry out, or that this collection does not.

    :raises MaintenanceError: code `packages`.
    """
    if plan.removed:
        raise MaintenanceError(
            f"the update would remove {', '.join(plan.removed)}, which this collection never does; no guest was touched. Do that by hand first, or "
            "name other packages", "packages",
        )
    if plan.refused:
        raise MaintenanceError(f"the package manager would refuse: {'; '.join(plan.refused)}; no guest was touched", "packages")


def not_a_name(name: str) -> MaintenanceError:
    """The error for a text that is no package name."""
    return MaintenanceError(f"{name!r} is no package name (name or name=version); no guest was touched", "packages")


def run(argv: t.Sequence[str], timeout: float, *, stdin: str = "", fine: t.Container[int] = (0,)) -> str:
    """Run a command of a package manager in the C locale and return its standard output.

    :param argv: The program and its arguments.
    :param timeout: Seconds.
    :param stdin: What it reads.
    :param fine: Exit codes that mean success.
    :raises MaintenanceError: code `packages`: it cannot be started, fails or takes too long.
    """
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv), input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise MaintenanceError(f"{' '.join(argv)} did not end within {timeout:g} s; no guest was touched", "packages") from error
    except OSError as error:
        raise MaintenanceError(f"{argv[0]} cannot be started ({error.strerror}); no guest was touched. Look at it on the host", "packages") from error
    if done.returncode not in fine:
        # apt says why on lines that begin with E:
        lines = [line[3:] for line in done.stderr.splitlines() if line.startswith("E: ")] or done.stderr.split("\n")[-3:]
        raise MaintenanceError(
            f"the package manager refuses: {' '.join(' '.join(lines).split())}; no guest was touched. Run it by hand on the host: {' '.join(argv)}",
            "packages",
        )
    return done.stdout


def ask_program(python: t.Sequence[str], program: types.ModuleType, request: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """What a program of ours answers that asks a package manager's own bindings, under the Python that has them.

    :param python: That Python, as an argument list.
    :param program: The program, a module that runs by itself: it gets the request as JSON, and its last line is the answer.
    :returns: The answer; `None` when there is none.
    :raises MaintenanceError: code `packages`: it cannot be started, fails or takes too long.
    """
    # The loader's source works from a plain tree and from inside Ansible's own zip alike.
    said = run([*python, "-", json.dumps(request)], 120, stdin=t.cast(t.Any, program.__loader__).get_source(program.__name__))
    try:
        return json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        return None


def as_merged(path: str) -> str:
    """The path of a packaged file on a host whose /usr is merged: `/lib/x` is `/usr/lib/x`."""
    return f"/usr{path}" if path.startswith(("/bin/", "/sbin/", "/lib")) else path


def usr_merged(path: str) -> list[str]:
    """The paths under which a package manager may know a file: `/usr/lib/x` was packaged as `/lib/x` before /usr was merged."""
    return [path, path[len("/usr"):]] if path.startswith(("/usr/bin/", "/usr/sbin/", "/usr/lib")) else [path]
