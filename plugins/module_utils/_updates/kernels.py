# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of kernels (`uname -r`): their flavours, and which is newer. Pure."""
from __future__ import annotations

import re
import typing as t

#: A distribution's release inside a kernel's: deb11, deb13u1, bpo, el9, fc41, amzn2023; el8uek is of el8 and the flavour uek.
_DISTRIBUTION = re.compile(r"(?:deb|bpo|el|fc|amzn)(?P<number>[0-9]*)(?:u[0-9]+)?(?P<flavour>[a-z]*)")
_CANDIDATE = re.compile(r"rc(?P<number>[0-9]+)")


class Release(t.NamedTuple):
    """A kernel's release.

    :ivar flavour: What it is besides its version: `amd64`, `cloud-amd64`, `generic`, `azure`, `x86-64-rt`.
    :ivar version: Its numbers, to be compared.
    """

    flavour: str
    version: list[int]


def parse(release: str) -> Release:
    """The parts of a release.

    The numbers before the flavour are the version, and so is the distribution's release, wherever it is: `6.1.0-0.deb11.21-amd64`,
    `6.8.0-1017-azure`, `5.14.0-503.11.1.el9_5.x86_64+rt`.

    :param release: As `uname -r` says it.
    """
    flavour: list[str] = []
    version: list[int] = []
    for word in filter(None, re.split(r"[^A-Za-z0-9]+", release)):
        distribution, candidate = _DISTRIBUTION.fullmatch(word), _CANDIDATE.fullmatch(word)
        if word.isdecimal() and not flavour:
            version.append(int(word))
        elif candidate and not flavour:
            version += [-1, int(candidate["number"])]  # before the release that it is a candidate of
        elif distribution and (distribution["number"] or word == "bpo"):
            version += [int(distribution["number"])] if distribution["number"] else []
            flavour += [distribution["flavour"]] if distribution["flavour"] else []
        else:
            flavour.append(word)
    return Release("-".join(flavour), version)


def newest_kernel(running: str, installed: t.Iterable[str]) -> str | None:
    """The newest installed kernel of the flavour that runs, `None` when there is none (a container, a kernel from elsewhere).

    Another flavour is never newer: which one is booted is the operator's choice. Of the same version the running one counts.

    :param running: The release of the running kernel.
    :param installed: The releases of the installed ones.
    """
    flavour = parse(running).flavour
    alike = [release for release in installed if parse(release).flavour == flavour]
    return max(alike, key=lambda release: (parse(release).version, release == running), default=None)


def is_pinned(running: str, newest: str | None, newest_since: float | None, booted: float) -> bool:
    """Whether the boot loader prefers the running kernel: a newer one was installed already when the host was booted.

    :param running: The release of the running kernel.
    :param newest: See `newest_kernel`.
    :param newest_since: When that one was installed, seconds since the epoch; `None` when that is not known.
    :param booted: When the host was booted, seconds since the epoch.
    """
    return newest not in (None, running) and newest_since is not None and newest_since < booted
