# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter of apt and dpkg."""
from __future__ import annotations

import glob
import itertools
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import typing as t
import urllib.parse

from .._core.errors import MaintenanceError
from .package_manager import Change, Commands, Plan, as_merged, not_a_name, run, usr_merged

#: Nothing may ask; needrestart must not restart services of its own accord inside the pause.
#: LANGUAGE would win over LC_ALL, and what apt-get says is read here.
_ENVIRONMENT = ["env", "LC_ALL=C.UTF-8", "LANGUAGE=", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"]
#: Keep the operator's configuration files; never remove a package; look no mirror up that was not asked for.
_APT = ["apt-get", "--assume-yes", "--no-remove", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
#: Seconds to wait for another package manager's lock, before the pause. Inside it there is no time to wait.
_LOCK_WAIT = ["-o", "DPkg::Lock::Timeout=60"]
_NO_LOCK_WAIT = ["-o", "DPkg::Lock::Timeout=2"]
#: Debian Policy 5.6.1 and 5.6.12, with an optional architecture. Above all: never an option of apt-get.
#: Nor a name with a minus at its end, which apt-get takes for a removal.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*(?<!-)(:[a-z0-9-]*[a-z0-9])?(=[A-Za-z0-9.+:~-]+)?")
#: Headings of apt-get's lists of packages for which it wants more than a yes.
_HELD = "The following held packages will be changed:"
_DOWNGRADED = "The following packages will be DOWNGRADED:"
#: Where dpkg keeps the scripts of what is installed.
_SCRIPTS = "/var/lib/dpkg/info"
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.~+/_-]*")

# "Inst name [installed] (candidate origin [arch])"; "Remv name [installed]", "Purg name [installed]" with APT::Get::Purge; apt-get(8), --simulate
_INST = re.compile(r"^Inst (?P<name>\S+)(?: \[(?P<installed>[^\]]*)\])? \((?P<candidate>[^\s)]+)")
# A package that an interrupted update left unpacked: "Conf name (version origin [arch])" without an Inst.
_CONF = re.compile(r"^Conf (?P<name>\S+) \((?P<candidate>[^\s)]+)")
_REMV = re.compile(r"^(?:Remv|Purg) (?P<name>\S+)(?: \[(?P<installed>[^\]]*)\])?")


def parse_simulation(text: str) -> list[Change]:
    """What `apt-get --simulate` says it would do.

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


def listed(text: str, heading: str) -> list[str]:
    """The names that apt-get lists under a heading.

    :param text: Its standard output in the C locale.
    :param heading: The line above them; theirs are indented. With APT::Get::Show-Versions each has versions in parentheses.
    """
    lines = text.splitlines()
    below = lines[lines.index(heading) + 1:] if heading in lines else []
    return [name for line in itertools.takewhile(lambda line: line.startswith(" "), below) for name in re.sub(r"\([^)]*\)", " ", line).split()]


def parse_status(text: str) -> set[str]:
    """The names of the installed packages that `dpkg-query --show` tells of, with and without their architecture.

    :param text: Its standard output, lines of `package package:arch status`. One that an interrupted update left unpacked is installed.
    """
    found: set[str] = set()
    for line in text.splitlines():
        name, known_as, status = line.split(" ")
        if status not in ("not-installed", "config-files"):
            found |= {name, known_as}
    return found


def untrusted(targets: str, uris: str) -> list[str]:
    """The sources of an update that apt cannot authenticate, by their addresses.

    :param targets: What `apt-get indextargets` says of the lists of packages: `trusted address` each. A list without a trusted one of the same address
        counts: whose package it is when there are both is not told.
    :param uris: What `apt-get --print-uris` says would be fetched: `'address' file size hash` each.
    """
    lists = [line.partition(" ")[::2] for line in targets.splitlines()]
    good = {address for trusted, address in lists if trusted == "yes"}
    bad = {address for trusted, address in lists if trusted == "no" and address} - good
    fetched = [line[1:].partition("'")[0] for line in uris.splitlines() if line.startswith("'")]
    return sorted(address for address in bad if any(uri.startswith(address) for uri in fetched))


def parse_search(text: str) -> dict[str, list[str]]:
    """What `dpkg-query --search` says: packages by path, without their architecture.

    :param text: Its standard output, lines of `package, package:arch: path`. `diversion by package from: path` says that the file there is this package's,
        and `local diversion from: path` that it is nobody's, whoever else has one for that path.
    """
    found: dict[str, list[str]] = {}
    diverted: dict[str, list[str]] = {}
    for line in text.splitlines():
        names, separator, path = line.partition(": ")
        if not separator:
            continue
        if names.startswith(("diversion by ", "local diversion")):
            if names.endswith(" from"):
                diverted[path] = [] if names.startswith("local") else [names[len("diversion by "):-len(" from")].partition(":")[0]]
        else:
            found.setdefault(path, []).extend(name.partition(":")[0] for name in names.split(", "))
    return {path: names for path, names in {**found, **diverted}.items() if names}


def parse_uris(text: str, archives: str) -> dict[str, list[str]]:
    """Where the files of an update are once they are downloaded, by package.

    :param text: What `apt-get --print-uris` says: `'address' name_version_architecture.deb size hash` each.
    :param archives: apt's folder of what it has fetched. From a source on the host's own disk it fetches nothing.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("'"):
            continue
        address, _quote, rest = line[1:].partition("'")
        words = rest.split()
        if words and words[0].endswith(".deb"):
            path = urllib.parse.unquote(address[len("file:"):]) if address.startswith("file:") else os.path.join(archives, words[0])
            found.setdefault(words[0].partition("_")[0], []).append(path)
    return found


def deb_contents(path: str) -> dict[str, str | None]:
    """The files in a package of dpkg; see `PackageManager.contents`.

    :raises MaintenanceError: code `packages`: it is none, or it is damaged.
    """
    found: dict[str, str | None] = {}
    try:
        with subprocess.Popen(  # pylint: disable=ansible-bad-function
            ["dpkg-deb", "--fsys-tarfile", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    if not member.isdir():
                        found[as_merged(os.path.normpath(f"/{member.name}"))] = member.linkname if member.issym() else None
    except (OSError, tarfile.TarError) as error:
        raise MaintenanceError(
            f"the package {path} that was downloaded cannot be read ({error}); nothing was applied, and no guest was touched. Remove it (apt-get clean), and "
            "run again", "packages",
        ) from error
    return found


class Apt:
    """An update with apt.

    :param packages: Names, or `name=version`; none: everything that can be upgraded without removing a package.
    :param release: apt's target release, or `None`.
    :param only_upgrade: Whether a named package that is not installed is left out.
    :raises MaintenanceError: code `packages`: something that is no package name or release, or there is no apt-get.
    """

    def __init__(self, packages: t.Sequence[str], release: str | None, only_upgrade: bool = True) -> None:
        for name in packages:
            if not _NAME.fullmatch(name):
                raise not_a_name(name)
        if release is not None and not _RELEASE.fullmatch(release):
            raise MaintenanceError(f"release {release!r} is no name of an apt release; no guest was touched", "packages")
        if shutil.which("apt-get") is None:
            raise MaintenanceError(
                "this host is of Debian's family and has no apt-get; no guest was touched. Give the update as commands (host_update_commands) or as "
                "tasks (host_update_tasks_file)", "packages",
            )
        target = [] if release is None else ["--target-release", release]
        # Of everything: new packages where an upgrade needs them; what it would remove a package for is kept back.
        named = ["install", *(["--only-upgrade"] if only_upgrade else []), *packages]
        action = named if packages else ["upgrade", "--with-new-pkgs"]
        change = [*_ENVIRONMENT, *_APT, *target]
        # What it would fetch is in its cache already. Not --no-download, with which apt does not find what it has from a source on the host's own disk.
        self._apply = (change, action)
        self._packages = [name.partition("=")[0] for name in packages] if only_upgrade else []
        self._downloads: dict[str, list[str]] | None = None
        # Without --no-remove and --assume-yes: what apt-get would then refuse shall be seen and named.
        self._simulate = [*_ENVIRONMENT, "apt-get", "--simulate", "-o", "Debug::NoLocking=true", *target, *action]
        # To an empty cache: of what is downloaded already nothing is told.
        self._uris = [*_ENVIRONMENT, *_APT, "-o", "Debug::NoLocking=true", "-o", "Dir::Cache::archives=/nonexistent/", "--print-uris", *target, *action]
        self.commands = Commands(
            refresh=[*_ENVIRONMENT, "apt-get", *_LOCK_WAIT, "-o", "APT::Update::Error-Mode=any", "update"],
            stage=[*change, *_LOCK_WAIT, "--download-only", *action],
            apply=[*change, *_NO_LOCK_WAIT, "--no-download", *action],
        )

    def apply_with(self, path: str, lock_timeout: int) -> list[str]:
        """See `PackageManager`."""
        change, action = self._apply
        # apt gives the scripts a path of its own.
        return [*change, "-o", f"DPkg::Lock::Timeout={lock_timeout}", "-o", f"DPkg::Path={path}", *action]

    def plan(self) -> Plan:
        """See `PackageManager`."""
        said = run(self._simulate, 120)
        changes = parse_simulation(said)
        removed = [change.name for change in changes if change.candidate is None]
        held, downgraded = listed(said, _HELD), listed(said, _DOWNGRADED)
        refused = []
        if held:
            refused.append(f"{', '.join(held)} is held (apt-mark hold), and would be changed. Release it with apt-mark unhold, or name other packages")
        if downgraded:
            refused.append(f"{', '.join(downgraded)} would become older than it is. Do that by hand first, or name other versions")
        # apt-get would not come to what is fetched.
        sources = self._untrusted() if changes and not (removed or refused) else []
        if sources:
            refused.append(
                f"apt cannot authenticate what comes from {', '.join(sources)}. Give that source its key (Signed-By), or trusted=yes if you do trust it"
            )
        return Plan(changes, removed, [], self._not_installed(), refused)

    def scripts(self, packages: t.Sequence[str]) -> dict[str, str]:
        """See `PackageManager`."""
        found = {}
        for name in packages:
            # Of a package that several architectures of can be installed, dpkg has the scripts under its name with the architecture.
            paths = glob.glob(f"{_SCRIPTS}/{glob.escape(name)}.postinst") or glob.glob(f"{_SCRIPTS}/{glob.escape(name.partition(':')[0])}:*.postinst")
            for path in paths:
                with open(path, encoding="utf-8", errors="replace") as stream:
                    found[name] = stream.read()
        return found

    def _not_installed(self) -> list[str]:
        if not self._packages:
            return []
        # 1: dpkg has never heard of some of them
        show = ["dpkg-query", "--show", "--showformat", "${Package} ${Package}:${Architecture} ${db:Status-Status}\n", *self._packages]
        installed = parse_status(run(show, 60, fine=(0, 1)))
        return [name for name in self._packages if name not in installed]

    def _untrusted(self) -> list[str]:
        lists = [*_ENVIRONMENT, "apt-get", "indextargets", "--format", "$(TRUSTED) $(REPO_URI)", "Created-By: Packages"]
        targets = run(lists, 60)
        return untrusted(targets, run(self._uris, 120)) if "no " in targets else []

    def owners(self, paths: t.Sequence[str]) -> dict[str, list[str]]:
        """See `PackageManager`."""
        asked = {known: path for path in paths for known in usr_merged(path)}
        if not asked:
            return {}
        # 1: some of the files are of no package
        said = parse_search(run(["dpkg-query", "--search", *asked], 60, fine=(0, 1)))
        found: dict[str, list[str]] = {}
        for path, names in said.items():
            if path in asked:  # dpkg-query takes a path with a star for a glob, and tells of others, too
                found.setdefault(asked[path], []).extend(names)
        return found

    def contents(self, package: str) -> dict[str, str | None] | None:
        """See `PackageManager`."""
        if self._downloads is None:
            # A shell's assignment, D='/var/cache/apt/archives/'; apt-config(8)
            said = run([*_ENVIRONMENT, "apt-config", "shell", "D", "Dir::Cache::archives/d"], 60)
            self._downloads = parse_uris(run(self._uris, 120), "".join(shlex.split(said)).partition("=")[2])
        paths = self._downloads.get(package, [])
        if not paths or not all(map(os.path.exists, paths)):
            return None
        return {name: link for path in paths for name, link in deb_contents(path).items()}
