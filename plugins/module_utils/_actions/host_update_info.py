# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update of the host would change, the technique that it needs, and what runs old code already: what host_update_info returns."""
from __future__ import annotations

import typing as t

from .._core.places import Places, places
from .._saved.ownership import refuse_container
from .._system import running_code
from .._system.guest_helpers import helpers
from .._system.running_code import GuestCode
from .._system.unit_states import unit_states
from .._system.units import has_systemd
from .._updates import held, stale, techniques, unattended
from .._updates.facts import facts
from .._updates.managers import manager
from .._updates.package_manager import Change, PackageManager, asked_for, refuse, run
from .._updates.restarts import left_over, restarts
from .._updates.stale import Code

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


def _outside(packages: t.Sequence[str], release: str | None, only_upgrade: bool, whole: t.Container[str]) -> list[str]:
    """What of an update can be applied with the guests running, with restarts held back, in the words of the option `packages`; empty when nothing can.

    That is all of it, unless some packages have to be applied whole in the pause. Then only packages that were asked for by name, so that no package becomes
    one that was installed by hand; and only if they bring none of those along.

    :param packages: What was asked for, none for everything.
    :param release: The target release, or `None`.
    :param only_upgrade: Whether only what is installed counts.
    :param whole: The packages that have to be applied whole in the pause.
    """
    if not whole:
        return list(packages) or ["*"]
    others = [name for name in packages if techniques.bare(name.partition("=")[0]) not in whole]
    if not others:
        return []
    plan = manager(others, release, only_upgrade).plan()
    brings = {techniques.bare(change.name) for change in plan.changes}
    return others if brings and not plan.removed and not plan.refused and not any(name in whole for name in brings) else []


def _restarts(
    found: PackageManager, due: t.Sequence[held.Asked], pending: t.Sequence[Change], rules: t.Sequence[techniques.Rule], holding: t.Container[str],
) -> list[dict[str, t.Any]]:
    """What will be restarted, as far as it can be told before: what an earlier run has left to be done, and what the scripts of the installed versions name."""
    scripts = found.scripts([change.name for change in pending if change.installed is not None])
    asked = [one for name, text in scripts.items() for one in held.predicted(techniques.bare(name), text)]
    states = unit_states(one.unit for one in asked)
    # As deb-systemd-invoke(1p) and systemctl preset see it: what its administrator has disabled, and not started, stays so.
    asked = [one for one in asked if one.unit not in states or states[one.unit].active or states[one.unit].enabled]
    return restarts(found, [*due, *asked], rules, holding)


def update_info(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The body of host_update_info.

    :param params: The module's parameters.
    :returns: `pending`, `not_installed`, `technique`, `outside`, `restarts`, `restarts_due`, `commands`, `stale` and `warnings`.
    :raises MaintenanceError: No supported package manager, an unknown package, packages that would have to be removed or are held, a rule that is none,
        a URI that is not the host's own.
    """
    where = places(params["uri"])
    rules = techniques.operator_rules(params["rules"])
    refuse_container()
    packages = asked_for(params["packages"])
    release, only_upgrade = params["default_release"], params["only_upgrade"]
    found = manager(packages, release, only_upgrade)
    if params["update_cache"]:
        run(found.commands.refresh, 300)
    plan = found.plan()
    refuse(plan)
    code, helping, warnings = _code_of_guests(where)
    # Nothing pending: it does not matter whose the files are.
    owners = found.owners(sorted({path for one in code.values() for path in _paths(one)})) if plan.changes else {}
    used = users(code, owners)
    due = left_over()
    holding = facts() if plan.changes or due else frozenset()
    pending = [
        {**change._asdict(), **techniques.judge(change.name, rules, used, holding)._asdict(), "guests": used.get(techniques.bare(change.name), [])}
        for change in plan.changes
    ]
    for change in pending:
        change["in_pause"] = change["in_pause"] if change["technique"] == "pause" else None
    whole = {techniques.bare(change["name"]) for change in pending if change["in_pause"] == "package"}
    guests = [stale.stale_guest(guest, one) for guest, one in code.items()]
    return {
        "changed": False,
        "pending": pending,
        "not_installed": plan.not_installed,
        "technique": techniques.strongest(change["technique"] for change in pending),
        # Without systemd there is nothing that could be held back.
        "outside": _outside(packages, release, only_upgrade, whole) if pending and has_systemd() else [],
        "restarts": _restarts(found, due, plan.changes, rules, holding) if has_systemd() else [],
        "restarts_due": bool(due),
        "commands": {"stage": found.commands.stage, "apply": found.commands.apply},
        "stale": {
            "guests": [guest for guest in guests if guest is not None], "daemons": stale.stale_daemons(),
            "processes": stale.stale_processes({pid for one in code.values() for pid in one}, helping), "kernel": stale.kernel(),
        },
        "warnings": [*plan.warnings, *warnings, *filter(None, [unattended.warning()])],
    }
