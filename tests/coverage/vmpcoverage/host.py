"""Packages of a host, and what its guests' QEMU runs of them, from the archive's lists. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_QEMU = "qemu-system-x86"


class Binary(NamedTuple):
    """A binary package as a list of the archive has it. size: of its file, in bytes."""

    name: str
    version: str
    source: str
    source_version: str
    section: str
    depends: str
    size: int


def parse_list(text: str) -> list[Binary]:
    """The packages of a list (`Packages`)."""
    found = []
    for stanza in text.split("\n\n"):
        field = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if "Package" not in field:
            continue
        # "Source: name" or "Source: name (version)"; without it both are the binary package's.
        source, _space, version = field.get("Source", field["Package"]).partition(" ")
        depends = ", ".join(field[name] for name in ("Pre-Depends", "Depends") if name in field)
        section = field.get("Section", "").rpartition("/")[2]
        found.append(Binary(field["Package"], field["Version"], source, version.strip("()") or field["Version"], section, depends, int(field["Size"])))
    return found


def qemu_code(packages: Mapping[str, Binary]) -> set[str]:
    """The packages of a host whose code QEMU has mapped with every guest: the shared libraries that it depends on, and those on which these do.

    packages: the host's, by name. QEMU's own packages are not among them: the table of techniques has them.
    """
    found: set[str] = set()
    ahead = [_QEMU]
    while ahead:
        for name in _names(packages[ahead.pop()].depends):
            if name in packages and name not in found and packages[name].section == "libs":
                found.add(name)
                ahead.append(name)
    return found


def _names(depends: str) -> Iterable[str]:
    """Every name in a list of dependencies, alternatives too: without versions and architectures."""
    return (match for match in re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", depends))
