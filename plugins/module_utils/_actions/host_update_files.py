# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files an update that is downloaded takes away: what host_update_files returns."""
from __future__ import annotations

import typing as t

from .._updates.lost_files import Update, Wanted
from .._updates.managers import manager
from .._updates.package_manager import asked_for, refuse
from .._updates.techniques import bare


def files_lost(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The body of the module.

    :param params: The module's parameters.
    :returns: `changed`, `lost` and `unknown`.
    :raises MaintenanceError: code `packages`: the update would be refused, or what was downloaded cannot be read.
    """
    found = manager(asked_for(params["packages"]), params["default_release"], params["only_upgrade"])
    plan = found.plan()
    refuse(plan)
    changes = {bare(one.name): one for one in plan.changes}
    # One that an earlier run has unpacked has its files already, and is not downloaded.
    new = {name: one for name, one in changes.items() if one.installed != one.candidate}
    # One beside which another version stays, as a kernel does, is not installed by that name, and loses nothing.
    going = [name for name, one in new.items() if one.installed is not None]
    # One whose place another takes brings nothing.
    update = Update(going, [name for name, one in new.items() if one.candidate is not None], found.owners, found.contents)
    lost = update.lost([Wanted(one["path"], one["by_name"]) for one in params["files"]])
    return {
        "changed": False, "unknown": update.unknown,
        "lost": [{"path": path, "packages": [changes[name]._asdict() for name in packages]} for path, packages in lost],
    }
