# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter of dnf 4 and rpm."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import typing as t

from .._core.errors import MaintenanceError
from . import dnf_program
from .package_manager import Change, Commands, Plan, as_merged, ask_program, not_a_name, run, usr_merged

_ENVIRONMENT = ["env", "LC_ALL=C.UTF-8"]
#: Names of rpms, with an optional version. Above all: never an option of dnf, a path, a group or a glob.
_NAME = re.compile(r"(?P<name>[A-Za-z0-9_][A-Za-z0-9._+-]*)(=(?P<version>[A-Za-z0-9._+:~^-]+))?")
#: What goes with an action on another package of the same transaction, and what comes.
_GOES = frozenset({"UPGRADED", "DOWNGRADED", "REINSTALLED"})
_COMES = frozenset({"INSTALL", "UPGRADE", "DOWNGRADE", "REINSTALL", "OBSOLETE"})


def read_rows(rows: t.Iterable[t.Sequence[str]]) -> tuple[list[Change], list[str]]:
    """The changes of a transaction, and the names of the packages that it would remove.

    An old kernel that makes room for a new one (`installonly_limit`) is no removal, and neither is a package whose place another takes
    (`Obsoletes`); dnf never lets the running kernel go.

    :param rows: `[action, name, architecture, version]`, see `dnf_program.answer`.
    """
    rows = list(rows)
    before = {(name, arch): version for action, name, arch, version in rows if action in _GOES}
    before_by_name = {name: version for (name, _arch), version in before.items()}
    coming = {name for action, name, _arch, _version in rows if action in _COMES}
    changes = []
    removed = []
    for action, name, arch, version in rows:
        if action in _COMES:
            # An upgrade may also change the architecture (to noarch): then there is only the name to go by.
            now = before.get((name, arch)) or (None if action == "INSTALL" else before_by_name.get(name))
            changes.append(Change(name, now, version))
        elif action == "OBSOLETED" and name not in coming:
            changes.append(Change(name, version, None))
        elif action == "REMOVE" and name not in coming:
            removed.append(name)
    # Of two architectures with the same versions, one is told.
    return sorted(dict.fromkeys(changes), key=lambda change: change.name), removed


def older(rows: t.Iterable[t.Sequence[str]]) -> list[str]:
    """Why a transaction is not carried out: what it would put down to an older version, in a sentence; empty when there is none.

    :param rows: See `read_rows`.
    """
    names = sorted({name for action, name, _arch, _version in rows if action == "DOWNGRADE"})
    return [f"{', '.join(names)} would become older than it is. Do that by hand first, or name other versions"] if names else []


def no_release(release: str | None) -> None:
    """Refuse a target release, which only apt has.

    :raises MaintenanceError: code `packages`.
    """
    if release is not None:
        raise MaintenanceError(f"default_release {release!r} is a setting of apt, and this host has dnf; no guest was touched. Leave it out", "packages")


def read_answer(found: t.Mapping[str, t.Any] | None, program: str) -> Plan:
    """The plan in the answer of dnf_program or dnf5_program.

    :param found: The answer; `None`: there was none.
    :param program: Which dnf, for messages.
    :raises MaintenanceError: code `packages`: dnf refuses, has no list of any repository, or there was no answer.
    """
    if found is None:
        raise MaintenanceError(f"{program}'s Python bindings gave no answer; no guest was touched. Run {program} check-update on the host", "packages")
    if "error" in found:
        raise MaintenanceError(
            f"the package manager refuses: {' '.join(found['error'].split())}; no guest was touched. If that is about the lists of the repositories, "
            f"read them (update_cache); else see to it on the host with {program}", "packages",
        )
    if found["ignored"] and not found["read"]:
        raise MaintenanceError(
            f"{program} has no list of any repository in its cache ({', '.join(found['ignored'])}), so it knows of no update; no guest was touched. Read the "
            "lists (update_cache)", "packages",
        )
    changes, removed = read_rows(found["rows"])
    warnings = [
        f"{program} has no list of the repository {name} in its cache, and its configuration allows that: updates from there are not seen. Use update_cache"
        for name in found["ignored"]
    ]
    return Plan(changes, removed, warnings, found["not_installed"], older(found["rows"]))


def owners(paths: t.Sequence[str]) -> dict[str, list[str]]:
    """The names of the rpms that own files, by path; see `PackageManager`."""
    found = {}
    for path in paths:
        for known in usr_merged(path):
            # 1: of no package. One path at a time, because the answers do not name the path.
            said = run(["rpm", "--query", "--queryformat", "%{NAME}\\n", "--file", known], 60, fine=(0, 1))
            names = [line for line in said.splitlines() if line and " " not in line]
            if names:
                found[path] = names
                break
    return found


def scripts(packages: t.Sequence[str]) -> dict[str, str]:
    """The scripts of installed rpms; see `PackageManager`."""
    # 1: not installed
    return {name: run(["rpm", "--query", "--scripts", name], 60, fine=(0, 1)) for name in packages}


def contents(package: str, files: t.Iterable[t.Sequence[str]]) -> dict[str, str | None] | None:
    """What is in the rpms of a package that were downloaded; see `PackageManager`.

    :param files: `[name, path]` of each rpm that comes, see `dnf_program.answer`.
    """
    paths = [path for name, path in files if name == package]
    if not paths or not all(map(os.path.exists, paths)):
        return None
    said = run(["rpm", "--query", "--package", "--nosignature", "--queryformat", "[%{FILENAMES}\t%{FILELINKTOS}\n]", *paths], 120)
    rows = (line.partition("\t") for line in said.splitlines() if line.startswith("/"))
    return {as_merged(name): link or None for name, _tab, link in rows}


def specifications(packages: t.Sequence[str]) -> list[str]:
    """Package specifications in dnf's words, `name-version` for `name=version`.

    :raises MaintenanceError: code `packages`: something that is no package name.
    """
    found = []
    for name in packages:
        match = _NAME.fullmatch(name)
        if match is None:
            raise not_a_name(name)
        found.append("-".join(part for part in (match["name"], match["version"]) if part))
    return found


def interpreter(first_line: str) -> list[str]:
    """The Python that dnf's command runs under, as an argument list; empty when it is none.

    :param first_line: The first line of the command.
    """
    words = shlex.split(first_line[2:]) if first_line.startswith("#!") else []
    return words if words and re.search(r"python[0-9.]*$", words[0]) else []


class Dnf:
    """An update with dnf 4.

    :param packages: Names, or `name=version`; none: everything that can be upgraded.
    :param release: Must be `None`: apt has target releases, dnf has none.
    :param only_upgrade: Whether a named package that is not installed is left out.
    :raises MaintenanceError: code `packages`: something that is no package name, a release, or there is no dnf 4.
    """

    def __init__(self, packages: t.Sequence[str], release: str | None, only_upgrade: bool = True) -> None:
        no_release(release)
        self._specs = specifications(packages)
        self._only_upgrade = only_upgrade
        self._files: list[list[str]] | None = None
        self._python = self._find()
        dnf = [*_ENVIRONMENT, "dnf", "--assumeyes", "--quiet"]
        # As _dnf_program has it. The lists must not be read anew in between: what is applied is what was looked at.
        action = ["--setopt=best=True", "upgrade" if only_upgrade else "install", *self._specs] if packages else ["--setopt=best=False", "upgrade"]
        self.commands = Commands(
            refresh=[*_ENVIRONMENT, "dnf", "--assumeno", "--quiet", "--refresh", "makecache"],
            stage=[*dnf, "--setopt=metadata_expire=-1", "--downloadonly", *action],
            # Inside the pause there is no time to wait for another dnf.
            apply=[*dnf, "--cacheonly", "--setopt=exit_on_lock=True", *action],
        )
        self._apply = [*dnf, "--cacheonly", "--setopt=exit_on_lock=False", *action]

    @staticmethod
    def _find() -> list[str]:
        path = shutil.which("dnf")
        found: list[str] = []
        if path is not None:
            with open(path, encoding="utf-8", errors="replace") as stream:
                found = interpreter(stream.readline(256).rstrip("\n"))
        if not found:
            raise MaintenanceError(
                "this host is of RHEL's family and has neither dnf 4 nor dnf 5; no guest was touched. Give the update as commands (host_update_commands) or "
                "as tasks (host_update_tasks_file)", "packages",
            )
        return found

    def plan(self) -> Plan:
        """See `PackageManager`."""
        return read_answer(self._ask(), "dnf")

    def _ask(self) -> dict[str, t.Any] | None:
        return ask_program(self._python, dnf_program, {"packages": self._specs, "only_upgrade": self._only_upgrade})

    def apply_with(self, path: str, lock_timeout: int) -> list[str]:
        """See `PackageManager`. rpm gives its scripts a path of its own, and dnf waits for another one as long as it takes: the caller has a time-out."""
        return ["env", f"PATH={path}", *self._apply]

    def scripts(self, packages: t.Sequence[str]) -> dict[str, str]:
        """See `PackageManager`."""
        return scripts(packages)

    def owners(self, paths: t.Sequence[str]) -> dict[str, list[str]]:
        """See `PackageManager`."""
        return owners(paths)

    def contents(self, package: str) -> dict[str, str | None] | None:
        """See `PackageManager`."""
        if self._files is None:
            self._files = (self._ask() or {}).get("files", [])
        return contents(package, self._files)
