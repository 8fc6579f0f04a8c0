# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian system of a test's own for the real apt-get, with packages, a status file and a source. Nothing of this machine is looked at or changed."""
from __future__ import annotations

import hashlib
import os
import subprocess

#: Name, version and what else its control file says.
PACKAGES = [
    ("a", "2.0", ""), ("held", "2.0", ""), ("needs", "2.0", "Depends: new\n"), ("new", "1.0", ""), ("taker", "1.0", "Conflicts: loser\n"),
    ("absent", "1.0", ""), ("down", "1.0", ""),
]
#: Name, version and what is wanted of it.
INSTALLED = [("a", "1.0", "install"), ("held", "1.0", "hold"), ("needs", "1.0", "install"), ("loser", "1.0", "install"), ("down", "2.0", "install")]


class AptSystem:
    """The system.

    :ivar root: Its folder.
    """

    def __init__(self, root):
        self.root = root
        for folder in (
            "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "repo",
        ):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").write_text("".join(
            f"Package: {name}\nStatus: {wanted} ok installed\nPriority: optional\nSection: misc\nMaintainer: x\nArchitecture: all\nVersion: {version}\n"
            "Description: x\n\n" for name, version, wanted in INSTALLED
        ))
        (root / "repo/Packages").write_text("".join(self._package(*package) for package in PACKAGES))

    def _package(self, name, version, more, files=()):
        """Build a package into the source, and return what its list says of it."""
        tree = self.root / "build" / name
        (tree / "DEBIAN").mkdir(parents=True)
        for path in files:
            (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (tree / path.lstrip("/")).write_text(path)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example.com>\n{more}Description: x\n"
        (tree / "DEBIAN" / "control").write_text(control)
        file = self.root / "repo" / f"{name}_{version}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, file], check=True, capture_output=True)
        data = file.read_bytes()
        return f"{control}Filename: {file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"

    def with_files(self, name, state, version, before, candidate, after):
        """One more package. To be called before `source`.

        :param state: How dpkg has it, `installed` or `unpacked`.
        :param version: What is there, and `before` the paths of its files.
        :param candidate: What is in the source, and `after` the paths of its files.
        """
        for folder in ("etc", "var/lib/dpkg/info"):
            (self.root / folder).mkdir(exist_ok=True)
        (self.root / f"var/lib/dpkg/info/{name}.list").write_text("".join(f"{path}\n" for path in ["/.", *before]))
        with open(self.root / "var/lib/dpkg/status", "a", encoding="utf-8") as stream:
            stream.write(
                f"Package: {name}\nStatus: install ok {state}\nPriority: optional\nSection: misc\nMaintainer: x\nArchitecture: all\nVersion: {version}\n"
                "Description: x\n\n"
            )
        with open(self.root / "repo/Packages", "a", encoding="utf-8") as stream:
            stream.write(self._package(name, candidate, "", after))

    def source(self, options, configuration="", sources=""):
        """Make the packages known to apt.

        :param options: Of the source, as in sources.list(5).
        :param configuration: More of apt.conf(5).
        :param sources: More lines of sources.list(5).
        """
        (self.root / "etc/apt/sources.list").write_text(f"deb {options}file:{self.root}/repo ./\n{sources}")
        (self.root / "apt.conf").write_text(
            f'Dir "{self.root}";\nDir::State::status "{self.root}/var/lib/dpkg/status";\nAPT::Sandbox::User "";\nAPT::Architecture "amd64";\n'
            f'Acquire::AllowInsecureRepositories "true";\nAcquire::Languages "none";\n{configuration}\n'
        )
        subprocess.run(["apt-get", "update"], check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
