# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing back the guests that were saved for a reboot: what guest_restore does."""
from __future__ import annotations

import typing as t

from .._core import identity
from .._core.errors import MaintenanceError
from .._core.places import places
from .._saved.ledger import SavedLedger
from .._saved.opening import images_folder
from .._saved.record import REBOOT
from .._saved.unfinished import finish_saved, lost, returned


def restore_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_restore.

    :param params: The module's parameters.
    :param check_mode: Say what would be done and touch nothing.
    :returns: `changed`, `rebooted`, `reboot_took`, `pause_limit` and `guests` and, when a guest is not what it was, `failed_because`.
    :raises MaintenanceError: The ledger knows no such guests, or a guest is still saved.
    """
    where = places(params["uri"])
    ledger = SavedLedger(where)
    saving = ledger.read()
    if saving is None or saving.technique != REBOOT or params["save_id"] not in (None, saving.id):
        if params["save_id"] is None:
            return {"changed": False, "rebooted": None, "reboot_took": None, "pause_limit": None, "guests": []}
        raise MaintenanceError(
            f"the ledger of this host knows no guests saved as {params['save_id']}; no guest was touched. Run guest_info to see what it holds. Guests that "
            "are saved on the host all the same: those that virsh list --all --managed-save shows (virsh start restores them), and those in "
            f"{images_folder(where)} (virsh restore)",
            "save_unknown",
        )
    rebooted = saving.boot_id != identity.boot_id()
    changed = False
    if saving.is_open:
        changed = True
        if not check_mode:
            # At boot the host restores them by itself, and holds the lock meanwhile.
            with ledger.locked(params["patience"]):
                finish_saved(saving.uri, where, False, params["patience"])
            saving = ledger.read() or saving
    elif params["save_id"] is None:
        # History: returned when asked for by its id.
        return {"changed": False, "rebooted": None, "reboot_took": None, "pause_limit": None, "guests": []}
    result = {
        "changed": changed, "rebooted": rebooted, "reboot_took": saving.reboot_took, "pause_limit": saving.pause_limit,
        "guests": [{
            "name": one.name, "uuid": one.uuid, "memory": one.memory, "changed": changed and one.outcome in ("restored", "returned", None),
            "outcome": one.outcome, "message": one.message, "paused_for": None if one.paused_for is None else round(one.paused_for, 3), "clock": one.clock,
        } for one in saving.guests],
    }
    gone = lost(saving)
    if gone:
        return {**result, "failed_because": ("restore", f"not every guest is what it was: {gone}")}
    unmoved = returned(saving)
    if unmoved:
        return {**result, "failed_because": ("returned", f"every guest runs, but not all on the installed QEMU: {unmoved}")}
    return result
