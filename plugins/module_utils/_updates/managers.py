# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package manager a host has."""
from __future__ import annotations

import typing as t

from .._core.errors import MaintenanceError
from .apt import Apt
from .dnf5 import dnf_of_this_host
from .package_manager import PackageManager

#: What the host is; os-release(5).
OS_RELEASE = "/etc/os-release"
#: From the names, the target release, and whether only what is installed counts.
Maker = t.Callable[[t.Sequence[str], t.Optional[str], bool], PackageManager]
_MANAGERS: dict[str, Maker] = {
    "debian": Apt, "ubuntu": Apt, "fedora": dnf_of_this_host, "rhel": dnf_of_this_host, "centos": dnf_of_this_host,
}


def manager_of(os_release: str) -> Maker:
    """The package manager that a distribution is made with, whatever other ones are installed too.

    :param os_release: The content of os-release(5).
    :raises MaintenanceError: code `packages`: neither of Debian's nor of RHEL's family.
    """
    fields = dict(line.partition("=")[::2] for line in os_release.splitlines())
    words = " ".join(fields.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")).split()
    for word in words:
        if word in _MANAGERS:
            return _MANAGERS[word]
    raise MaintenanceError(
        f"this host is neither of Debian's family nor of RHEL's ({OS_RELEASE}: {' '.join(words) or 'says nothing'}), so its package manager is not known; no "
        "guest was touched. Give the update as commands (host_update_commands) or as tasks (host_update_tasks_file)", "packages",
    )


def manager(packages: t.Sequence[str], release: str | None, only_upgrade: bool) -> PackageManager:
    """The package manager of this host, for one update.

    :param packages: Names, or `name=version`; none: everything that can be upgraded.
    :param release: apt's target release, or `None`.
    :param only_upgrade: Whether a named package that is not installed is left out.
    :raises MaintenanceError: code `packages`: there is none that is known, or it does not take what was given.
    """
    try:
        with open(OS_RELEASE, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        text = ""
    return manager_of(text)(packages, release, only_upgrade)
