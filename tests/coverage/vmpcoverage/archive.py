"""The archive of one release, asked with apt's own tools in a root of its own: what this machine has installed plays no part."""

import gzip
import os
import re
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.apt import parse_simulation

from .errors import CoverageError
from .host import Binary, parse_list

_HELPER = "/usr/lib/apt/apt-helper"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_COMPONENTS = "main non-free-firmware"
#: A package's changelog. A rebuild without changes has its entry in another file, beside it.
_CHANGELOG = re.compile(r"^\./usr/share/doc/[^/]+/changelog(\.Debian)?\.gz$")


def _run(argv: Sequence[str], *, what: str, environment: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CoverageError(f"{what} failed: {' / '.join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])}")
    return done.stdout


def _address(label: str) -> str:
    """Where this machine's apt gets Debian from. label: that of the archive's Release file."""
    filters = ("Created-By: Packages", f"Label: {label}")
    found = _run(("apt-get", "indextargets", "--format", "$(REPO_URI)", *filters), what="Reading this machine's apt sources").split()
    if not found:
        raise CoverageError(f"This machine's apt has no source with the label {label}: add one of any release of Debian, and run apt-get update.")
    return found[0]


class Archive:
    """A release of Debian: suite (its codename), what comes before the next point release, and its security updates.

    folder: where apt's lists are kept, and what is downloaded.
    """

    def __init__(self, suite: str, folder: Path) -> None:
        self._folder = folder
        self._changelogs = folder / "changelogs"
        for part in ("etc/apt", "var/lib/apt/lists/partial", "var/lib/dpkg", "var/cache/apt/archives/partial", "changelogs", "debs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "var/lib/dpkg/status").touch()
        debian, security = _address("Debian"), _address("Debian-Security")
        sources = ((debian, suite), (debian, f"{suite}-updates"), (security, f"{suite}-security"))
        lines = [f"deb [signed-by={_KEYRING}] {address} {name} {_COMPONENTS}" for address, name in sources]
        (folder / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
        (folder / "apt.conf").write_text(self._configuration())
        self._environment = {"APT_CONFIG": str(folder / "apt.conf")}

    def _configuration(self) -> str:
        # How this machine fetches (a proxy, say); neither its hooks nor its preferences.
        machine = [line for line in _run(("apt-config", "dump"), what="Reading this machine's apt configuration").splitlines() if line.startswith("Acquire")]
        own = {
            "Dir": self._folder,
            "Dir::State::status": self._folder / "var/lib/dpkg/status",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::netrc": "/etc/apt/auth.conf",
            "Dir::Etc::netrcparts": "/etc/apt/auth.conf.d",
            "APT::Sandbox::User": "root",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        return "\n".join([*machine, *(f'{name} "{value}";' for name, value in own.items())]) + "\n"

    def _apt_get(self, *arguments: str, what: str, cwd: Path | None = None) -> str:
        return _run(("apt-get", *arguments), what=what, environment=self._environment, cwd=cwd)

    def update(self) -> None:
        """Fetch the lists."""
        self._apt_get("-o", "APT::Update::Error-Mode=any", "update", what="Fetching the archive's lists (apt-get update)")

    def binaries(self) -> list[Binary]:
        """All packages of all lists, in every version that these have."""
        files = self._apt_get("indextargets", "--format", "$(FILENAME)", "Created-By: Packages", what="Finding the archive's lists").split()
        texts = (_run((_HELPER, "cat-file", file), what="Reading a list of the archive", environment=self._environment) for file in files)
        return [binary for text in texts for binary in parse_list(text)]

    def host_packages(self, names: Iterable[str]) -> dict[str, str]:
        """What a new host has when it is asked for some packages: versions by name. names: or apt's patterns."""
        said = self._apt_get("--simulate", "install", *names, what="Resolving the host's packages")
        return {change.name.partition(":")[0]: change.candidate for change in parse_simulation(said) if change.candidate}

    def changelogs(self, wanted: Iterable[tuple[str, str]], binaries: Collection[Binary]) -> dict[tuple[str, str], str]:
        """The changelogs of source packages by name and version, out of the smallest binary package that has it.

        Raises CoverageError if one cannot be had.
        """
        left: dict[tuple[str, str], list[Binary]] = {key: [] for key in wanted}
        for binary in sorted(binaries, key=lambda one: one.size):
            left.get((binary.source, binary.source_version), []).append(binary)
        found = {}
        while left:
            for key in [key for key in left if self._kept(key).exists()]:
                found[key] = self._kept(key).read_text()
                del left[key]
            empty = sorted(key for key, choices in left.items() if not choices)
            if empty:
                raise CoverageError(f"None of the packages of {empty[0][0]} {empty[0][1]} has a changelog: its updates cannot be counted.")
            self._fetch({key: choices.pop(0) for key, choices in left.items()})
        return found

    def _kept(self, key: tuple[str, str]) -> Path:
        return self._changelogs / "_".join(key)

    def _fetch(self, chosen: dict[tuple[str, str], Binary]) -> None:
        """Download some packages, and keep the changelogs of those that have one."""
        if not chosen:
            return
        debs = self._folder / "debs"
        self._apt_get("download", *(f"{binary.name}={binary.version}" for binary in chosen.values()), what="Downloading packages", cwd=debs)
        for key, binary in chosen.items():
            # apt-get names the file name_version_architecture.deb, with the colon of an epoch written %3a.
            (deb,) = debs.glob(f"{binary.name}_{binary.version.replace(':', '%3a')}_*.deb")
            text = _changelog(deb)
            deb.unlink()
            if text is not None:
                unfinished = self._folder / "unfinished"
                unfinished.write_text(text)
                unfinished.rename(self._kept(key))


def _changelog(deb: Path) -> str | None:
    """The changelog in a package; None if it has none (a link to that of another package is none)."""
    found = {}
    with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", deb), stdout=subprocess.PIPE) as process, tarfile.open(fileobj=process.stdout, mode="r|") as members:
        for member in members:
            if member.isfile() and _CHANGELOG.match(member.name):
                content = members.extractfile(member)
                assert content is not None
                found[member.name] = gzip.decompress(content.read()).decode(errors="replace")
    # In a package of Debian's own (without an upstream) it is changelog.gz; else that is upstream's.
    return next((found[name] for name in sorted(found, key=lambda name: ".Debian." not in name)), None)
