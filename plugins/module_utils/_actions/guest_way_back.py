# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the QEMUs that the guests of a host have, before another one is installed: what guest_way_back does."""
from __future__ import annotations

import typing as t

from .._core.calls import call_with_timeout
from .._core.errors import MaintenanceError
from .._core.kept_qemu import installed
from .._core.places import SYSTEM_URI, places
from .._pause.ledger import Ledger
from .._saved.ledger import SavedLedger
from .._saved.plan import LOOK_TIMEOUT
from .._saved.way_back import keep, none_because, tidy
from .._system import kept_qemu
from .._system.guests import Candidate, preflight, select
from .._system.hypervisor import Connection, describe


def _kept(connection: Connection, candidate: Candidate, check_mode: bool) -> dict[str, t.Any]:
    """Keep the QEMU of one guest, or see whether it could be."""
    guest = candidate.guest
    found = {"name": guest.name, "uuid": guest.uuid, "changed": False, "kept": None, "no_way_back": None}
    if candidate.process is None:
        return {**found, "no_way_back": "libvirt's status file of it cannot be read"}
    pid, xml = candidate.process.process.pid, guest.xml()
    emulator = installed(xml.findtext("devices/emulator", ""))
    before = kept_qemu.kept(pid, emulator)
    if check_mode:
        why = none_because(xml, emulator, pid)
        return {**found, "changed": why is None and before is None, "kept": before, "no_way_back": why}
    start, why = keep(connection, xml, emulator, pid)
    return {**found, "changed": bool(start) and start != before, "kept": start or None, "no_way_back": why}


def keep_ways_back(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_way_back.

    :param params: The module's parameters.
    :param check_mode: Say of whom the QEMU could be kept, and touch nothing.
    :returns: `changed`, `removed`, `guests` and `warnings`.
    :raises MaintenanceError: libvirt cannot be reached, or a guest does not exist.
    """
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"QEMUs are kept for guests at {SYSTEM_URI} only; nothing was touched", "uri")
    where = places(params["uri"])
    connection = Connection(params["uri"])
    chosen = select(connection.running(), connection.inactive_names(), params["name"])
    candidates = preflight([guest for guest in chosen if not {guest.name, guest.uuid} & set(params["exclude"])], where)

    def each() -> list[dict[str, t.Any]]:
        found = []
        for candidate in candidates:
            try:
                found.append(call_with_timeout(lambda candidate=candidate: _kept(connection, candidate, check_mode), LOOK_TIMEOUT))
            except Exception as error:  # it is told of each guest, and none is touched
                found.append({
                    "name": candidate.guest.name, "uuid": candidate.guest.uuid, "changed": False, "kept": None,
                    "no_way_back": f"it could not be looked at ({describe(error)})",
                })
        return found

    removed: list[str] = []
    problem = ""
    if check_mode:
        guests = each()
    else:
        Ledger(where).prepare()
        with Ledger(where).locked(60.0):
            saving = SavedLedger(where).read()
            guests = each()
            saved = [] if saving is None else [one.way_back for one in saving.unsettled()]
            removed, problem = tidy(params["uri"], [*saved, *(one["kept"] for one in guests if one["kept"])])
    warnings = [
        f"guest {one['name']!r} has no way back, should the installed QEMU not take it up: {one['no_way_back']}" for one in guests if one["no_way_back"]
    ]
    return {
        "changed": bool(removed) or any(one["changed"] for one in guests), "removed": removed, "guests": guests,
        "warnings": warnings + ([problem] if problem else []),
    }
