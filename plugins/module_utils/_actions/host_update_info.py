# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update of the host would change, the technique that it needs, and what runs old code already: what host_update_info returns."""
from __future__ import annotations

import typing as t

from .._core.errors import MaintenanceError
from .._core.places import Places, places
from .._saved.ownership import refuse_container
from .._system import running_code
from .._system.guest_helpers import helpers
from .._system.running_code import GuestCode
from .._updates import stale, techniques
from .._updates.apt import Apt
from .._updates.dnf5 import dnf_of_this_host
from .._updates.facts import facts
from .._updates.package_manager import PackageManager, asked_for, run
from .._updates.stale import Code

#: What the host is; os-release(5).
OS_RELEASE = "/etc/os-release"
#: From the names, the target release, and whether only what is installed counts.
_Maker = t.Callable[[t.Sequence[str], t.Optional[str], bool], PackageManager]
_MANAGERS: dict[str, _Maker] = {
    "debian": Apt, "ubuntu": Apt, "fedora": dnf_of_this_host, "rhel": dnf_of_this_host, "centos": dnf_of_this_host,
}


def manager_of(os_release: str) -> _Maker:
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


def _manager(packages: t.Sequence[str], release: str | None, only_upgrade: bool) -> PackageManager:
    try:
        with open(OS_RELEASE, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        text = ""
    return manager_of(text)(packages, release, only_upgrade)


def users(code: t.Mapping[GuestCode, Code], owners: t.Mapping[str, t.Sequence[str]]) -> dict[str, list[str]]:
    """By package, the names of the guests that are moved for code from it.

    :param code: The code of each guest.
    :param owners: By path, the packages that own it.
    """
    found: dict[str, list[str]] = {}
    for guest in code:
        for package in sorted({package for path in _paths(code[guest]) for package in owners.get(path, ())}):
            found.setdefault(package, []).append(guest.name)
    return found


def _paths(code: Code) -> set[str]:
    return {file.path for files in code.values() for file in files}


def _code_of_guests(where: Places) -> tuple[dict[GuestCode, Code], dict[int, str], list[str]]:
    """The code of each guest, by process the guest whose helper it is, and warnings about guests that cannot be looked at."""
    guests, unreadable = running_code.guests(where)
    warnings = [
        f"libvirt's status file {name} cannot be read or names no guest, so what that guest's QEMU runs on is not known. Run as root, or look at that file"
        for name in unreadable
    ]
    code: dict[GuestCode, Code] = {}
    helping: dict[int, str] = {}
    for guest in guests:
        started = helpers(where, guest.monitor)
        helping.update({helper.pid: guest.name for helper in started})
        try:
            found = stale.code_of(guest.pid, started)
        except OSError as error:
            warnings.append(f"the QEMU of {guest.name} may not be looked at ({error.strerror}): what it runs on is not known. Run as root")
            continue
        if found:
            code[guest] = found
    return code, helping, warnings


def _before_pause(packages: t.Sequence[str], release: str | None, only_upgrade: bool, needs: t.Mapping[str, str]) -> list[str]:
    """The command that applies, with guests running, what needs no pause, so that the pause holds only what must be inside; empty when there is none.

    Only of packages that were asked for by name, so that no package becomes one that was installed by hand; and only if none of
    what they bring along needs the pause.

    :param packages: What was asked for.
    :param release: The target release, or `None`.
    :param only_upgrade: Whether only what is installed counts.
    :param needs: The technique of each pending package.
    """
    paused = {techniques.bare(name) for name, technique in needs.items() if technique == "pause"}
    gentle = [name for name in packages if techniques.bare(name.partition("=")[0]) not in paused]
    if not paused or not gentle or len(gentle) == len(packages):
        return []
    manager = _manager(gentle, release, only_upgrade)
    plan = manager.plan()
    brings = {techniques.bare(change.name) for change in plan.changes}
    return manager.commands.apply if brings and not plan.removed and not plan.refused and not brings & paused else []


def update_info(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The body of host_update_info.

    :param params: The module's parameters.
    :returns: `pending`, `not_installed`, `technique`, `commands`, `stale` and `warnings`.
    :raises MaintenanceError: No supported package manager, an unknown package, packages that would have to be removed or are held, a rule that is none,
        a URI that is not the host's own.
    """
    where = places(params["uri"])
    rules = techniques.operator_rules(params["rules"])
    refuse_container()
    packages = asked_for(params["packages"])
    release, only_upgrade = params["default_release"], params["only_upgrade"]
    manager = _manager(packages, release, only_upgrade)
    if params["update_cache"]:
        run(manager.commands.refresh, 300)
    plan = manager.plan()
    if plan.removed:
        raise MaintenanceError(
            f"the update would remove {', '.join(plan.removed)}, which this collection never does; no guest was touched. Do that by hand first, or "
            "name other packages", "packages",
        )
    if plan.refused:
        raise MaintenanceError(f"the package manager would refuse: {'; '.join(plan.refused)}; no guest was touched", "packages")
    code, helping, warnings = _code_of_guests(where)
    # Nothing pending: it does not matter whose the files are.
    owners = manager.owners(sorted({path for found in code.values() for path in _paths(found)})) if plan.changes else {}
    used = users(code, owners)
    holding = facts() if plan.changes else frozenset()
    pending = [
        {**change._asdict(), **techniques.judge(change.name, rules, used, holding)._asdict(), "guests": used.get(techniques.bare(change.name), [])}
        for change in plan.changes
    ]
    needs = {change["name"]: change["technique"] for change in pending}
    guests = [stale.stale_guest(guest, found) for guest, found in code.items()]
    return {
        "changed": False,
        "pending": pending,
        "not_installed": plan.not_installed,
        "technique": techniques.strongest(change["technique"] for change in pending),
        "commands": {
            "stage": manager.commands.stage,
            "before_pause": _before_pause(packages, release, only_upgrade, needs),
            "apply": manager.commands.apply,
        },
        "stale": {
            "guests": [guest for guest in guests if guest is not None], "daemons": stale.stale_daemons(),
            "processes": stale.stale_processes({pid for found in code.values() for pid in found}, helping), "kernel": stale.kernel(),
        },
        "warnings": [*plan.warnings, *warnings],
    }
