# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SavedTogether guests to disk for a reboot of their host: what guest_save does."""
from __future__ import annotations

import os
import time
import typing as t

from .. import _launch
from .._clock.wish import check_tolerance, checked_targets
from .._core.calls import Call, call_with_timeout, run_lanes
from .._core.errors import MaintenanceError
from .._core.places import SYSTEM_URI, Places, places
from .._core.states import Blocker
from .._pause.ledger import Ledger
from .._pause.limits import check_wait
from .._pause.window import refuse_open
from .._saved import quiesce, transfer
from .._saved.ledger import SavedLedger
from .._saved.leftovers import forget as forget_proof
from .._saved.opening import begin, entry, images_folder, refuse_blocked
from .._saved.ownership import REFUSE, Owners, refuse_container
from .._saved.plan import LOOK_TIMEOUT, Plan, copy_speed, keep_ways_back, look, prepare
from .._saved.proof import prove
from .._saved.record import MAX_REBOOT_PAUSE_LIMIT, REBOOT, SavedGuest, SavedTogether
from .._saved.room import MIB, no_room_to_grow, outgrowing, usable
from .._saved.rules import predicted_absences
from .._saved.unfinished import finish_saved, lost, refuse_unfinished
from .._system.guests import preflight, select, wait_for_jobs
from .._system.hypervisor import MANAGED_SAVES, Connection, describe
from .._system.package_lock import LOCK_PATIENCE, package_lock
from .._system.process_memory import host_memory
from .._system.qemu_processes import unknown

#: Seconds that a reboot is taken to last when nothing better is known: firmware of servers is slow.
REBOOT_TIME = 300.0
#: Seconds for the disk to take everything that was written.
SYNC_TIMEOUT = 600.0


def _check(params: t.Mapping[str, t.Any]) -> None:
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"guests can be saved for a reboot at {SYSTEM_URI} only; no guest was touched", "uri")
    if not 1 <= params["pause_limit"] <= MAX_REBOOT_PAUSE_LIMIT:
        raise MaintenanceError(
            f"pause_limit is {params['pause_limit']:g} s, it must be from 1 to {MAX_REBOOT_PAUSE_LIMIT:g} s; no guest was touched", "limit",
        )
    check_tolerance("clock_tolerance", params["clock_tolerance"])
    check_wait(params["wait_for_jobs"])
    if params["reboot_time"] is not None and not 0 <= params["reboot_time"] <= MAX_REBOOT_PAUSE_LIMIT:
        raise MaintenanceError(
            f"reboot_time is {params['reboot_time']:g} s, it must be from 0 to {MAX_REBOOT_PAUSE_LIMIT:g} s; no guest was touched", "limit",
        )


def _plans(params: t.Mapping[str, t.Any], where: Places, without: t.Container[str] = ()) -> tuple[list[Plan], float]:
    """Judge every guest that runs on the host: the reboot affects all of them.

    :param without: UUIDs of guests that will have been shut down.
    :returns: A plan for each, in the order of the restores, and the seconds that the reboot is taken to last.
    """
    connection = Connection(params["uri"])
    active = [guest for guest in connection.running() if guest.uuid not in without]
    # As they were started, but for those that the operator puts first.
    named = select(active, connection.inactive_names(), params["first"]) if params["first"] else []
    rest = sorted((guest for guest in active if guest.uuid not in {one.uuid for one in named}), key=lambda guest: guest.id)
    owners = Owners() if params["managed_guests"] == REFUSE else None
    plans: list[Plan] = []
    for candidate in preflight([*named, *rest], where):
        try:
            plan = call_with_timeout(lambda candidate=candidate: look(
                connection, candidate, "copy", owners, reboot=True, quiesced=params["quiesce"]), LOOK_TIMEOUT)
        except Exception as error:  # a guest that cannot be looked at is a blocker
            plan = Plan(candidate, blockers=[Blocker("no_answer", f"it could not be looked at ({describe(error)})")])
        if candidate.facts.opted_out:
            plan.blockers.append(Blocker("opted_out", "its metadata says that it must not be paused; move it away, or shut it down, first"))
        plan.memory = "managed" if candidate.guest.persistent() else "copy"
        plans.append(plan)
    earlier = SavedLedger(where).read()
    learned = None if earlier is None else earlier.reboot_took
    reboot = params["reboot_time"] if params["reboot_time"] is not None else learned if learned is not None else REBOOT_TIME
    _predict(plans, params["pause_limit"], reboot, where)
    return plans, reboot


def _predict(plans: t.Sequence[Plan], limit: float, reboot: float, where: Places) -> None:
    """How long each will be away, and whether the disks hold the images, and the host the guests."""
    if not plans:
        return
    needs: dict[str, int] = {}
    for plan in plans:
        folder = MANAGED_SAVES if plan.memory == "managed" else where.state
        needs[folder] = needs.get(folder, 0) + plan.need.image
    for folder, space in _free(needs).items():
        if space[0] < space[1]:
            for plan in plans:
                plan.blockers.append(Blocker(
                    "host_disk", f"{folder} has {space[0] // MIB} MiB free, and the images of the guests need {space[1] // MIB} MiB there",
                ))
    for index, left in outgrowing([plan.need for plan in plans], usable(host_memory())).items():
        plans[index].blockers.append(Blocker("host_memory", no_room_to_grow(plans[index].need, left)))
    # One after another, so the slowest disk is what it can be at the worst.
    speed = min(copy_speed(_existing(folder), durable=True) for folder in needs)
    # They are restored one after another, so each waits for the profiles of those before it.
    confinement = sum(plan.confinement for plan in plans)
    for plan, away in zip(plans, predicted_absences([plan.need.image for plan in plans], speed, reboot)):
        plan.predicted = away + confinement + (quiesce.TAKES if plan.quiesce else 0.0)
        if plan.predicted > limit:
            plan.blockers.append(Blocker("pause_limit", f"it would be away for about {plan.predicted:.0f} s, more than the limit of {limit:g} s"))


def _existing(folder: str) -> str:
    """A folder, or what it will be made in."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _free(needs: t.Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """By folder, what its file system has and what is needed there, bytes. Folders on the same file system need it together."""
    systems: dict[int, list[str]] = {}
    there: dict[str, os.statvfs_result] = {}
    for folder in needs:
        found = _existing(folder)
        there[folder] = os.statvfs(found)
        systems.setdefault(os.stat(found).st_dev, []).append(folder)
    return {
        folder: (there[folder].f_bavail * there[folder].f_frsize, sum(needs[one] for one in folders))
        for folders in systems.values() for folder in folders
    }


def _described(plan: Plan, one: SavedGuest | None) -> dict[str, t.Any]:
    guest = plan.candidate.guest
    found: dict[str, t.Any] = {
        "name": guest.name, "uuid": guest.uuid, "before": plan.candidate.facts.state.as_dict(), "memory": plan.memory, "predicted": round(plan.predicted, 3),
        "blockers": [blocker.as_dict() for blocker in plan.blockers], "changed": False, "outcome": None, "message": "",
        "no_way_back": plan.no_way_back, "files": plan.files(), "quiesce": plan.quiesce,
    }
    if one is not None:
        found.update(changed=one.phase == "saved", outcome="saved" if one.phase == "saved" else one.outcome, message=one.message)
    return found


def save_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_save.

    :param params: The module's parameters.
    :param check_mode: Judge everything and touch nothing.
    :returns: `changed`, `saved`, `reboot_command` and `guests` and, when a guest could not be saved, `failed_because`.
    :raises MaintenanceError: Refused: nothing was touched.
    """
    _check(params)
    targets = checked_targets(params["target_offsets"])
    refuse_container()
    where = places(params["uri"])
    ledger = Ledger(where)
    if check_mode:
        refuse_open(ledger.read())
        refuse_unfinished(where)
        plans, reboot = _admitted(params, where, params["stopped"])
        return {"changed": True, "save_id": None, "reboot_command": [], "reboot_time": reboot, "guests": [_described(plan, None) for plan in plans]}
    ledger.prepare()
    # Before the lock: somebody who has to heal this host must not wait for a backup.
    wait_for_jobs(params["uri"], [], [], params["wait_for_jobs"])
    # What a guest is restored on must not be replaced in the middle of it.
    with package_lock(LOCK_PATIENCE), ledger.locked(5.0):
        refuse_open(ledger.read())
        refuse_unfinished(where)
        forget_proof(params["uri"], where)
        plans, reboot = _admitted(params, where)
        prove(params["uri"], where, plans)
        _refuse(plans)
        prepare(images_folder(where))
        keep_ways_back(Connection(params["uri"]), plans)
        # What is armed here: the guard, and the restore at boot.
        saving, command = begin(where, params, REBOOT, [(plan, _entry(plan, images_folder(where), targets)) for plan in plans], _launch.arm_reboot)
        problem = _save_all(saving, plans, where)
        if problem:
            return _taken_back(saving, plans, where, problem)
        return {
            "changed": True, "save_id": saving.id, "reboot_command": command, "reboot_time": reboot,
            "guests": [_described(plan, one) for plan, one in zip(plans, saving.guests)],
        }


def _pids(uri: str, where: Places, uuids: t.Container[str]) -> set[int]:
    """The QEMUs of these guests."""
    known = preflight([guest for guest in Connection(uri).running() if guest.uuid in uuids], where)
    return {one.process.process.pid for one in known if one.process is not None}


def _refuse_foreign(plans: t.Sequence[Plan], known: t.Container[int] = ()) -> None:
    """Refuse when a QEMU runs on the host that libvirt does not know under this URI: the reboot would end it.

    :param known: QEMUs that libvirt knows beside those of the plans.
    """
    mine = {plan.candidate.process.process.pid for plan in plans if plan.candidate.process is not None}
    foreign = [one for one in unknown(mine) if one.pid not in known]
    if foreign:
        raise MaintenanceError(
            f"refused, no guest was touched: guests run on this host that its libvirt ({SYSTEM_URI}) does not know, and a reboot would end them: "
            f"{'; '.join(one.words for one in foreign)}. Shut them down, or move them away, first", "foreign_guests",
        )


def _refuse(plans: t.Sequence[Plan]) -> None:
    refuse_blocked(
        [plan for plan in plans if plan.blockers], [_described(plan, None) for plan in plans],
        ". A reboot affects every guest: move these away, or shut them down, first",
    )


def _admitted(params: t.Mapping[str, t.Any], where: Places, without: t.Sequence[str] = ()) -> tuple[list[Plan], float]:
    plans, reboot = _plans(params, where, without)
    _refuse(plans)
    # Only now: the QEMU of a guest of libvirt's that could not be judged is not known, and would be taken for somebody else's.
    _refuse_foreign(plans, _pids(params["uri"], where, without) if without else ())
    return plans, reboot


def _entry(plan: Plan, folder: str, targets: t.Mapping[str, float]) -> SavedGuest:
    guest = plan.candidate.guest
    if plan.memory == "managed":
        return entry(plan, "", targets, guest.autostart())
    return entry(plan, os.path.join(folder, f"{guest.uuid}.save"), targets)


def _save_all(saving: SavedTogether, plans: t.Sequence[Plan], where: Places) -> str:
    """Save the guests, the last to be restored first.

    :returns: What went wrong; empty when all are saved, and on the disk.
    """
    ledger = SavedLedger(where)
    began = time.monotonic()
    try:
        for plan, one in reversed(list(zip(plans, saving.guests))):
            one.phase, one.began_at = "moving", time.time()
            ledger.write(saving)
            transfer.save(plan.candidate.guest, one, max(1.0, saving.pause_limit - (time.monotonic() - began)), plan.formats)
            if one.autostart:
                # At boot libvirt would start it before its turn.
                plan.candidate.guest.set_autostart(False)
            one.phase = "saved"
        sync = Call(os.sync)
        run_lanes([[sync]], 1, SYNC_TIMEOUT)
        sync.result()
        ledger.write(saving)
    except TimeoutError:
        return f"the disk did not take the images within {SYNC_TIMEOUT:.0f} s"
    except Exception as error:  # MaintenanceError says it; anything else is libvirt's
        return str(error) if isinstance(error, MaintenanceError) else describe(error)
    return ""


def _taken_back(saving: SavedTogether, plans: t.Sequence[Plan], where: Places, problem: str) -> dict[str, t.Any]:
    """Not every guest could be saved: those that were are restored, and the host is not rebooted."""
    rest = "every guest is back, as it was"
    try:
        finish_saved(saving.uri, where, False, transfer.ABORT_TIMEOUT)
    except MaintenanceError as error:
        rest = str(error)
    found = SavedLedger(where).read() or saving
    gone = lost(found)
    return {
        "changed": False, "save_id": saving.id, "reboot_command": [], "reboot_time": None,
        "guests": [_described(plan, one) for plan, one in zip(plans, found.guests)],
        "failed_because": ("save", f"{problem}; the host must not be rebooted; {f'not every guest is what it was: {gone}' if gone else rest}"),
    }
