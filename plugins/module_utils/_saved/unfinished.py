# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that an earlier run saved and did not bring back: reporting them, refusing to go on, bringing them back."""
from __future__ import annotations

import os
import time
import typing as t

from .._clock.due import PATIENCE, DueClocks
from .._core import identity
from .._core.errors import LibvirtUnreachable, MaintenanceError, WindowBusy
from .._core.places import Places
from .ledger import SavedLedger
from .record import BACK, REBOOT, SavedGuest, SavedTogether
from .transfer import BETWEEN, bring_back_all


def saved_summary(where: Places) -> dict[str, t.Any] | None:
    """The guests that were saved last on this host, for a module's result, or `None` when there never were any."""
    found = SavedLedger(where).read()
    if found is None:
        return None
    return {
        "id": found.id, "technique": found.technique, "open": found.is_open, "opened_at": found.opened_at, "opened_by": found.opener,
        "closed_at": found.closed_at, "closed_by": found.closed_by,
        "guests": [
            {"name": one.name, "uuid": one.uuid, "memory": one.memory, "outcome": one.outcome, "message": one.message, "clock": one.clock}
            for one in found.guests
        ],
        "clocks_due": saved_clocks_due(where),
    }


def saved_clocks_due(where: Places) -> bool:
    """Whether guests are back from a refresh or reboot, and whoever brought them back died before their clocks were right."""
    found = SavedLedger(where).read()
    return found is not None and not found.is_open and bool(found.clocks_due) and (found.technique == REBOOT or found.boot_id == identity.boot_id())


def has_unfinished(where: Places) -> bool:
    """Whether guests were being saved on this host, and may not all be back."""
    found = SavedLedger(where).read()
    return found is not None and found.is_open


def refuse_unfinished(where: Places) -> None:
    """Refuse while guests that an earlier run saved may not be back.

    :raises WindowBusy: With who began it, when, and what to do.
    """
    found = SavedLedger(where).read()
    if found is None or not found.is_open:
        return
    names = ", ".join(one.name for one in found.unsettled()) or "none"
    raise WindowBusy(
        f"a {found.technique} was started on this host at {found.opened_at} (by {found.opener}) and is not finished; guests that may be saved: {names}. "
        "No guest was touched by this run. Run recover.yml, or guest_resume, on this host first"
    )


def kept_in(saving: SavedTogether) -> str:
    """Where the images of saved guests are, in words."""
    folders = {"libvirt's managed save" if one.memory == "managed" else os.path.dirname(one.image) for one in saving.guests}
    return " and ".join(sorted(folders)) or "no place"


def _left(saving: SavedTogether, log: t.Sequence[str]) -> str:
    """Why no run may go on yet, in words."""
    last = f" ({log[-1]})" if log else ""
    if not saving.unsettled():
        return f"no guest of the {saving.technique} is left saved, and that cannot be written down{last}"
    rest = "; ".join(f"guest {one.name!r}: {one.message or 'not looked at yet'}" for one in saving.unsettled())
    return f"not every guest of the {saving.technique} is back: {rest}{last}. What they were is kept in {kept_in(saving)}"


def _brought_back(uri: str, ledger: SavedLedger, saving: SavedTogether, log: list[str], clocks: DueClocks) -> bool:
    """One pass. A libvirt that is just being started is waited for, like everything else."""
    try:
        return bring_back_all(uri, ledger, saving, "module", log.append, clocks.runs_again)
    except LibvirtUnreachable as error:
        log.append(str(error))
        return False


def _after(one: SavedGuest) -> dict[str, str]:
    """State and reason of a guest that was brought back (or would be)."""
    if one.outcome not in (*BACK, None):
        return {"state": "unknown", "reason": "unknown"}
    if one.paused:
        return {"state": "paused", "reason": "user"}
    return {"state": "running", "reason": "unknown" if one.outcome == "untouched" else "restored"}


def finish_saved(uri: str, where: Places, check_mode: bool, patience: float) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Bring back what an earlier run left saved. The lock is held by the caller.

    :returns: The guests, as guest_resume returns them, and what happened.
    :raises MaintenanceError: code `restore`: a guest is still saved.
    """
    ledger = SavedLedger(where)
    saving = ledger.read()
    if saving is None or not (saving.is_open or saved_clocks_due(where)):
        return [], []
    was_open = saving.is_open
    left = [one.uuid for one in saving.unsettled()] + [one.uuid for one in saving.clocks_due]
    log: list[str] = []
    if not check_mode and was_open:
        clocks = DueClocks(saving)
        give_up = time.monotonic() + patience
        while not _brought_back(uri, ledger, saving, log, clocks):
            if time.monotonic() > give_up:
                raise MaintenanceError(f"{_left(saving, log)}; the host goes on trying by itself (journalctl -u 'vm-preserving-*')", "restore")
            time.sleep(BETWEEN)
        clocks.settle(saving, PATIENCE, ledger.write)
    elif not check_mode:
        DueClocks(saving).settle(saving, PATIENCE, ledger.write)
    # Of a closed record only clocks were left to do, by whomever its guests were brought back.
    return [{
        "name": one.name, "uuid": one.uuid, "before": {"state": "shutoff", "reason": "saved"} if was_open else _after(one), "after": _after(one),
        "changed": check_mode or (one.outcome in ("restored", "returned") if was_open else bool(one.clock and one.clock["changed"])),
        "outcome": {"restored": "resumed", "returned": "resumed", "untouched": "running"}.get(one.outcome or "", one.outcome),
        "message": one.message, "paused_for": None if one.paused_for is None else round(one.paused_for, 4),
        "resumed_by": None if check_mode or not was_open else "module", "problem": "", "clock": one.clock,
    } for one in saving.guests if one.uuid in left], log


def lost(saving: SavedTogether) -> str:
    """The guests that are not what they were, each with why; empty when there are none."""
    return "; ".join(f"guest {one.name!r}: {one.message}" for one in saving.guests if one.settled and one.outcome not in BACK)


def returned(saving: SavedTogether) -> str:
    """The guests that are back on the QEMU that they had, each with why; empty when there are none."""
    return "; ".join(f"guest {one.name!r}: {one.message}" for one in saving.guests if one.outcome == "returned")
