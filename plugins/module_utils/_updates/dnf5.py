# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter of dnf 5 and rpm."""
from __future__ import annotations

import os
import shutil
import typing as t

from . import dnf5_program
from .dnf import Dnf, contents, no_release, owners, read_answer, scripts, specifications
from .package_manager import Commands, PackageManager, Plan, ask_program, run

_ENVIRONMENT = ["env", "LC_ALL=C.UTF-8"]
#: The system's, for which distributions build the bindings; not one of an operator's PATH.
_PYTHON = "/usr/bin/python3"


class Dnf5:
    """An update with dnf 5.

    :param packages: Names, or `name=version`; none: everything that can be upgraded.
    :param release: Must be `None`: apt has target releases, dnf has none.
    :param only_upgrade: Whether a named package that is not installed is left out.
    :raises MaintenanceError: code `packages`: something that is no package name, or a release.
    """

    def __init__(self, packages: t.Sequence[str], release: str | None, only_upgrade: bool = True) -> None:
        no_release(release)
        self._specs = specifications(packages)
        self._only_upgrade = only_upgrade
        self._files: list[list[str]] | None = None
        # dnf5's upgrade fails for a name that is not installed.
        specs = [spec for spec, name in zip(self._specs, packages) if not only_upgrade or _is_installed(name.partition("=")[0])]
        dnf5 = [*_ENVIRONMENT, "dnf5", "--assumeyes", "--quiet"]
        # As dnf5_program has it. The lists must not be read anew in between: what is applied is what was looked at.
        setting, verb = ("--setopt=best=True", "upgrade" if only_upgrade else "install") if packages else ("--setopt=best=False", "upgrade")
        self.commands = Commands(
            refresh=[*_ENVIRONMENT, "dnf5", "--assumeno", "--quiet", "--refresh", "makecache"],
            stage=[*dnf5, "--setopt=metadata_expire=-1", setting, verb, "--downloadonly", *specs],
            apply=[*dnf5, "--cacheonly", setting, verb, *specs],
        )

    def plan(self) -> Plan:
        """See `PackageManager`."""
        return read_answer(self._ask(), "dnf5")

    def _ask(self) -> dict[str, t.Any] | None:
        return ask_program([_PYTHON, "-I"], dnf5_program, {"packages": self._specs, "only_upgrade": self._only_upgrade})

    def apply_with(self, path: str, lock_timeout: int) -> list[str]:
        """See `PackageManager`. rpm gives its scripts a path of its own, and dnf waits for another one as long as it takes: the caller has a time-out."""
        return ["env", f"PATH={path}", *self.commands.apply]

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


def _is_installed(name: str) -> bool:
    # 1: not installed
    said = run(["rpm", "--query", "--queryformat", "%{NAME}\\n", name], 60, fine=(0, 1))
    return name in said.splitlines()


def is_the_hosts() -> bool:
    """Whether `dnf` is dnf 5 on this host, or there is only that; distributions that have changed leave `dnf` as a link to it."""
    old, new = shutil.which("dnf"), shutil.which("dnf5")
    return new is not None and (old is None or os.path.realpath(old) == os.path.realpath(new))


def dnf_of_this_host(packages: t.Sequence[str], release: str | None, only_upgrade: bool = True) -> PackageManager:
    """The dnf that this host has, 4 or 5; see their classes."""
    return (Dnf5 if is_the_hosts() else Dnf)(packages, release, only_upgrade)
