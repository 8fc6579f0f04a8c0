# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beginning to save guests: the refusal, and what has to be there before the first is touched. guest_refresh and guest_save share it."""
from __future__ import annotations

import contextlib
import os
import time
import typing as t
import uuid as uuid_module

from .._core import identity
from .._core.errors import MaintenanceError
from .._core.places import Places
from .._system.guests import opener
from .._system.hypervisor import Connection, describe
from . import transfer
from .ledger import SavedLedger
from .plan import Plan
from .record import SavedGuest, SavedTogether

T = t.TypeVar("T")


def images_folder(where: Places) -> str:
    """Our folder for the images of guests that libvirt keeps none of."""
    return os.path.join(where.state, "saved")


def entry(plan: Plan, image: str, targets: t.Mapping[str, float], autostart: bool = False) -> SavedGuest:
    """What the ledger says of a guest before it is touched.

    :param image: The path of its image; empty where libvirt keeps it.
    :param targets: Seconds that clocks should be ahead of the host's, by name or UUID; all others 0.
    :param autostart: libvirt would start it at boot, and is kept from it meanwhile.
    """
    guest, process = plan.candidate.guest, t.cast(t.Any, plan.candidate.process).process
    stays = plan.memory == "in_place"
    return SavedGuest(
        guest.name, guest.uuid, guest.id, process.pid, process.start_time, not plan.candidate.facts.state.executes, plan.memory, image,
        plan.ram if stays else [], plan.kept if stays else "", autostart, had_agent=bool(t.cast(t.Any, plan.candidate.process).agent),
        clock_target=float(targets.get(guest.uuid, targets.get(guest.name, 0.0))), way_back=plan.way_back,
        quiesced=plan.quiesce,
    )


def refuse_blocked(blocked: t.Sequence[Plan], guests: list[dict[str, t.Any]], advice: str = "") -> None:
    """Refuse when something stands in the way of a guest.

    :param blocked: The guests that cannot be saved.
    :param guests: What the module's result says of all guests.
    :param advice: What to do next, appended to the reasons.
    :raises MaintenanceError: code `refused`, with every reason.
    """
    if blocked:
        reasons = "; ".join(f"guest {plan.candidate.guest.name!r}: {', '.join(one.message for one in plan.blockers)}" for plan in blocked)
        raise MaintenanceError(f"refused, no guest was touched: {reasons}{advice}", "refused", {"guests": guests})


def begin(
    where: Places, params: t.Mapping[str, t.Any], technique: str, chosen: t.Sequence[tuple[Plan, SavedGuest]], arm: t.Callable[[Places, str, str], T],
) -> tuple[SavedTogether, T]:
    """Write the ledger, arm the host, mark the guests: from here on nothing is lost when this process dies.

    :param params: The module's parameters `uri` and `pause_limit`.
    :param technique: `refresh` or `reboot`.
    :param chosen: The guests with their entries, in the order of the ledger.
    :param arm: Starts the guard, given the places, the URI and the id of the saving.
    :returns: The saving, and what `arm` returned.
    :raises MaintenanceError: No guest was touched.
    """
    this = identity.own_identity()
    ledger = SavedLedger(where)
    earlier = ledger.read()
    saving = SavedTogether(
        id=str(uuid_module.uuid4()), uri=params["uri"], technique=technique, boot_id=identity.boot_id(), opener=opener(), opener_pid=this.pid,
        opener_start_time=this.start_time, opened_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), pause_limit=params["pause_limit"],
        guests=[one for _plan, one in chosen], correct_clocks=params["correct_clocks"], clock_tolerance=params["clock_tolerance"],
        reboot_took=None if earlier is None else earlier.reboot_took,
    )
    ledger.write(saving)
    try:
        armed = arm(where, saving.uri, saving.id)
        for plan, _one in chosen:
            plan.candidate.guest.set_token(saving.id)
    except Exception as error:
        for one in saving.guests:
            one.settle("untouched", "it was not started")
        forget_marks(saving)
        transfer.close(ledger, saving, "module")
        if isinstance(error, MaintenanceError):
            raise
        raise MaintenanceError(
            f"the {technique} could not be started ({describe(error)}); no guest was touched. Repair that and run again", "not_started",
        ) from error
    return saving, armed


def forget_marks(saving: SavedTogether) -> None:
    """Take the marks off the guests that the ledger says are back, or were not touched."""
    with contextlib.suppress(MaintenanceError):  # libvirt is gone; a mark of a closed ledger is harmless
        transfer.forget_marks(Connection(saving.uri), saving)
