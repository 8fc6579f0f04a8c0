# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the guests of a host to the QEMU that is installed: what guest_refresh does."""
from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import subprocess
import threading
import time
import typing as t
import uuid as uuid_module
import xml.etree.ElementTree as ET

from . import _guard_start, _identity, _ram_in_place, _refresh_move, _running_code, _stale
from ._calls import Call, run_lanes
from ._errors import LedgerError, MaintenanceError, WindowBusy
from ._hypervisor import Connection, Guest, describe
from ._ledger import Ledger, RefreshLedger
from ._places import SYSTEM_URI, Places, places
from ._refresh_document import Move, Refresh
from ._refresh_rules import MIB, affordable, in_place_obstacle, predicted_pause, save_blockers
from ._states import Blocker, pause_blockers
from ._window import Candidate, opener, preflight, refuse_open, select
from ._window_document import MAX_PAUSE_LIMIT

#: Where images go: RAM of the host.
DEFAULT_FOLDER = "/dev/shm/vm_preserving"
#: Bytes that are copied to learn how fast this host copies memory.
PROBE = 64 * MIB
#: Seconds for a QEMU to tell its version.
VERSION_TIMEOUT = 10.0


@dataclasses.dataclass
class Plan:
    """What would be done with one guest.

    :ivar candidate: The guest as the preflight found it.
    :ivar emulator: Path of the QEMU that is installed.
    :ivar left_alone: Why it is not moved, whatever it runs; C(None): it may be.
    :ivar stale: Its QEMU runs code that is not what is installed, and it is not left alone.
    :ivar memory: C(copy) or C(in_place).
    :ivar why_copy: Why its memory cannot stay in place, or C(None).
    :ivar ram: For C(in_place): the ids of its memory backends.
    :ivar kept: For C(in_place): the folder of the second names.
    :ivar resident: Memory of its QEMU in RAM, bytes.
    :ivar predicted: Seconds that it will be away.
    :ivar blockers: Why it cannot be moved.
    """

    candidate: Candidate
    emulator: str = ""
    left_alone: str | None = None
    stale: bool = False
    memory: str = "copy"
    why_copy: str | None = None
    ram: list[str] = dataclasses.field(default_factory=list)
    kept: str = ""
    resident: int = 0
    predicted: float = 0.0
    blockers: list[Blocker] = dataclasses.field(default_factory=list)


def _resident(pid: int) -> int:
    """Memory of a process in RAM, bytes."""
    with open(f"/proc/{pid:d}/status", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def parse_version(text: str) -> tuple[int, ...] | None:
    """QEMU's version in what C(--version) prints: C(QEMU emulator version 7.2.22 (Debian ...))."""
    words = text.split("version", 1)[-1].split()
    parts = words[0].split(".") if words else []
    return tuple(int(part) for part in parts) if parts and all(part.isdigit() for part in parts) else None


def _version(program: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=VERSION_TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(done.stdout)


def _look(connection: Connection, candidate: Candidate, memory: str) -> Plan:
    """Everything that is known of one guest before it is touched."""
    plan = Plan(candidate)
    guest, process = candidate.guest, candidate.process
    xml = guest.xml()
    plan.blockers = [one for one in pause_blockers(candidate.facts) if one.code not in ("not_running", "opted_out")] + save_blockers(xml, candidate.facts.state)
    if not candidate.facts.state.executes and guest.job() is not None:
        plan.blockers.append(Blocker("job", "a job is running on it; wait for its end or abort it (virsh domjobabort)"))
    if process is None:
        plan.blockers.append(Blocker("status_unknown", "libvirt's status file of it cannot be read"))
        return plan
    pid = process.process.pid
    plan.emulator = xml.findtext("devices/emulator", "")
    plan.stale, plan.resident = bool(_stale.old_files(pid, _running_code.code_files(pid) or [])), _resident(pid)
    running, installed = _version(f"/proc/{pid:d}/exe"), _version(plan.emulator)
    if running is not None and installed is not None and installed < running:
        words = [".".join(map(str, version)) for version in (installed, running)]
        plan.blockers.append(Blocker("downgrade", f"the installed QEMU {words[0]} is older than its own {words[1]}, and cannot take its state up"))
    try:
        connection.check_machine(plan.emulator, xml)
    except Exception as error:  # libvirt's own reason is the message
        plan.blockers.append(Blocker("unsupported", f"libvirt cannot start its machine with the installed QEMU ({describe(error)}); update libvirt first"))
    backends = _ram_in_place.memory_backends(_ram_in_place.command_line(pid))
    plan.why_copy = _confined(xml) or in_place_obstacle(xml, backends)
    if plan.why_copy is None:
        plan.ram = [str(one["id"]) for one in backends]
        plan.kept = os.path.join(_ram_in_place.folder_for_links(backends), guest.uuid)
    if memory == "in_place" and plan.why_copy is not None:
        plan.blockers.append(Blocker("memory", plan.why_copy))
    plan.memory = "copy" if memory == "copy" or plan.why_copy is not None else "in_place"
    return plan


def _confined(xml: ET.Element) -> str | None:
    """AppArmor and SELinux keep a QEMU from files that libvirt has not told them of, and the new QEMU would fail at our devices."""
    for label in xml.findall("seclabel"):
        if label.get("model") in ("apparmor", "selinux") and label.get("type") != "none":
            return f"its QEMU is confined by {label.get('model')}, which does not know of the files that the new QEMU is handed"
    return None


def _speed(folder: str) -> float:
    """How fast this host copies memory into a folder, bytes per second."""
    block = os.urandom(MIB)
    handle = os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o600)
    try:
        began = time.monotonic()
        for _number in range(PROBE // MIB):
            os.write(handle, block)
        return PROBE / max(1e-6, time.monotonic() - began)
    finally:
        os.close(handle)


def _available(folder: str) -> int:
    """Memory that the host can give and the folder can take, bytes."""
    with open("/proc/meminfo", encoding="ascii") as stream:
        free = next(int(line.split()[1]) * 1024 for line in stream if line.startswith("MemAvailable:"))
    return min(free, shutil.disk_usage(folder).free)


def _prepare(folder: str) -> None:
    """Make the folder of the images.

    :raises MaintenanceError: code C(folder): it cannot be made, or is not ours alone.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise MaintenanceError(f"the folder of the images {folder} is not a private folder of uid {os.geteuid()}; no guest was touched", "folder")
    except OSError as error:
        raise MaintenanceError(f"the folder of the images {folder} cannot be made ({error.strerror}); no guest was touched", "folder") from error


def plan_refresh(params: t.Mapping[str, t.Any], where: Places) -> tuple[list[Plan], int]:
    """Judge the guests without touching any.

    :returns: A plan for each guest, and how many may be moved at once.
    :raises MaintenanceError: libvirt cannot be reached, or a guest does not exist.
    """
    connection = Connection(params["uri"])
    chosen = select(connection.running(), connection.inactive_names(), params["name"])
    candidates = preflight([guest for guest in chosen if not {guest.name, guest.uuid} & set(params["exclude"])], where)
    plans: list[Plan] = []
    for candidate in candidates:
        try:
            plans.append(_look(connection, candidate, params["memory"]))
        except Exception as error:  # a guest that cannot be looked at is a blocker
            plans.append(Plan(candidate, stale=True, blockers=[Blocker("no_answer", f"it could not be looked at ({describe(error)})")]))
    # A guest that its owner keeps out of pauses is kept out of this one too, unless it is named.
    for plan in plans:
        if plan.candidate.facts.opted_out and not params["name"]:
            plan.left_alone, plan.stale = "its metadata says that it must not be paused", False
    # Also those that are not stale yet: whoever is about to install another QEMU wants to know before.
    movable = [plan for plan in plans if plan.left_alone is None]
    if not movable:
        return plans, params["parallel"]
    folder = params["folder"]
    # The folder may not be there yet (check mode): its file system is.
    there = folder if os.path.isdir(folder) else os.path.dirname(folder)
    copies = [plan for plan in movable if plan.memory == "copy"]
    speed = _speed(there) if copies else 1.0
    width, too_large = affordable([plan.resident for plan in copies], _available(there), params["parallel"])
    for index in too_large:
        copies[index].blockers.append(Blocker(
            "host_memory", f"its {copies[index].resident // MIB} MiB of memory do not fit into the {_available(there) // MIB} MiB that the host has for a copy",
        ))
    for plan in movable:
        # Copies that go on at once share the host's memory bandwidth.
        plan.predicted = predicted_pause(plan.resident, speed / max(1, width if plan.memory == "copy" else 1), plan.memory)
        if plan.predicted > params["pause_limit"]:
            plan.blockers.append(Blocker(
                "pause_limit", f"it would be away for about {plan.predicted:.1f} s, more than the pause limit of {params['pause_limit']:g} s",
            ))
    return plans, max(1, width)


def _described(plan: Plan, move: Move | None) -> dict[str, t.Any]:
    guest = plan.candidate.guest
    found: dict[str, t.Any] = {
        "name": guest.name, "uuid": guest.uuid, "stale": plan.stale, "memory": plan.memory, "why_copy": plan.why_copy,
        "predicted": round(plan.predicted, 3), "blockers": [one.as_dict() for one in plan.blockers] if plan.left_alone is None else [],
        "changed": False, "outcome": None, "message": f"left as it is: {plan.left_alone}" if plan.left_alone else "", "paused_for": None,
    }
    if move is not None:
        found.update(
            changed=move.outcome == "refreshed", outcome=move.outcome, message=move.message,
            paused_for=None if move.paused_for is None else round(move.paused_for, 4),
        )
    return found


def _check(params: t.Mapping[str, t.Any]) -> None:
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"guests can be refreshed at {SYSTEM_URI} only; no guest was touched", "uri")
    if not 1 <= params["pause_limit"] <= MAX_PAUSE_LIMIT:
        raise MaintenanceError(f"pause_limit is {params['pause_limit']:g} s, it must be from 1 to {MAX_PAUSE_LIMIT:g} s; no guest was touched", "limit")
    if not 1 <= params["parallel"] <= 64:
        raise MaintenanceError(f"parallel is {params['parallel']}, it must be from 1 to 64; no guest was touched", "limit")
    if not os.path.isabs(params["folder"]) or os.path.normpath(params["folder"]) in ("/", "/dev/shm", "/tmp"):
        raise MaintenanceError(f"folder is {params['folder']!r}, it must be an absolute path of a folder of our own; no guest was touched", "folder")


def _move(refresh: Refresh, move: Move, guest: Guest, save_limit: float) -> None:
    """Move one guest. The entry tells how it ended; unsettled, it is left to the guard."""
    try:
        if move.memory == "in_place":
            _refresh_move.stay_in_place(guest, move)
        move.began_at = time.monotonic()
        _refresh_move.save(guest, move, save_limit)
    except Exception as error:  # MaintenanceError says it; anything else is libvirt's
        if not isinstance(error, MaintenanceError) or error.code != "unknown":
            move.settle("untouched", describe(error))
        else:
            move.message = str(error)
        return
    for number in range(_refresh_move.TRIES):
        if number:
            time.sleep(_refresh_move.BETWEEN)
        try:
            # A connection of its own: one guest's restore must not wait for another's.
            connection = Connection(refresh.uri)
            _refresh_move.bring_back(connection, refresh, move)
        except Exception as error:  # tried again, then left to the guard
            move.message = f"it could not be restored ({describe(error)})"
        if move.settled:
            return


def refresh_summary(where: Places) -> dict[str, t.Any] | None:
    """The last refresh of this host for a module's result, or C(None) when there never was one."""
    found = RefreshLedger(where).read()
    if found is None:
        return None
    return {
        "id": found.id, "open": found.is_open, "opened_at": found.opened_at, "opened_by": found.opener,
        "closed_at": found.closed_at, "closed_by": found.closed_by,
        "guests": [
            {"name": move.name, "uuid": move.uuid, "memory": move.memory, "outcome": move.outcome, "message": move.message} for move in found.guests
        ],
    }


def has_unfinished(where: Places) -> bool:
    """Whether a refresh was begun on this host and is not finished."""
    found = RefreshLedger(where).read()
    return found is not None and found.is_open


def refuse_unfinished(where: Places) -> None:
    """Refuse while a refresh is not finished.

    :raises WindowBusy: With who began it, when, and what to do.
    """
    found = RefreshLedger(where).read()
    if found is None or not found.is_open:
        return
    names = ", ".join(move.name for move in found.unsettled()) or "none"
    raise WindowBusy(
        f"a refresh of guests was begun on this host at {found.opened_at} (by {found.opener}) and is not finished; guests that may be saved: {names}. "
        "No guest was touched by this run. Run recover.yml, or guest_resume, on this host first"
    )


def finish_refresh(uri: str, where: Places, check_mode: bool, patience: float) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Bring back what an interrupted refresh left saved. The lock is held by the caller.

    :returns: The guests, as guest_resume tells of them, and what went on.
    :raises MaintenanceError: code C(restore): a guest is still saved.
    """
    ledger = RefreshLedger(where)
    refresh = ledger.read()
    if refresh is None or not refresh.is_open:
        return [], []
    left = [move.uuid for move in refresh.unsettled()]
    log: list[str] = []
    if not check_mode:
        give_up = time.monotonic() + patience
        while not _refresh_move.bring_back_all(uri, ledger, refresh, "module", log.append):
            if time.monotonic() > give_up:
                rest = "; ".join(f"guest {move.name!r}: {move.message}" for move in refresh.unsettled())
                raise MaintenanceError(
                    f"not every guest of the interrupted refresh is back: {rest}. What they were is kept in {os.path.dirname(refresh.guests[0].image)}; "
                    "the guard goes on trying", "restore",
                )
            time.sleep(_refresh_move.BETWEEN)
    return [{
        "name": move.name, "uuid": move.uuid, "before": {"state": "shutoff", "reason": "saved"},
        "after": {"state": "running", "reason": "restored"} if move.outcome in ("refreshed", None) else {"state": "unknown", "reason": "unknown"},
        "changed": check_mode or move.outcome == "refreshed",
        "outcome": {"refreshed": "resumed", "untouched": "running"}.get(move.outcome or "", move.outcome),
        "message": move.message, "paused_for": None, "resumed_by": None if check_mode else "module",
    } for move in refresh.guests if move.uuid in left], log


def refresh_guests(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_refresh.

    :param params: The module's parameters.
    :param check_mode: Judge everything and touch nothing.
    :returns: C(changed), C(parallel) and C(guests) and, when a guest could not be moved, C(failed_because).
    :raises MaintenanceError: Refused: nothing was touched.
    """
    _check(params)
    where = places(params["uri"])
    ledger = Ledger(where)
    if check_mode:
        refuse_open(ledger.read())
        refuse_unfinished(where)
        plans, width = _admitted(params, where)
        return {"changed": any(plan.stale for plan in plans), **_planned(params, plans, width)}
    ledger.prepare()
    with ledger.locked(5.0):
        refuse_open(ledger.read())
        refuse_unfinished(where)
        plans, width = _admitted(params, where)
        moving = [plan for plan in plans if plan.stale]
        if not moving:
            return {"changed": False, **_planned(params, plans, width)}
        _prepare(params["folder"])
        refresh = _open(params, where, moving)
        _move_all(refresh, moving, width, params["pause_limit"])
        return _closed(refresh, where, plans, width)


def _planned(params: t.Mapping[str, t.Any], plans: t.Sequence[Plan], width: int) -> dict[str, t.Any]:
    return {"parallel": width, "pause_limit": params["pause_limit"], "guests": [_described(plan, None) for plan in plans]}


def _admitted(params: t.Mapping[str, t.Any], where: Places) -> tuple[list[Plan], int]:
    plans, width = plan_refresh(params, where)
    blocked = [plan for plan in plans if plan.stale and plan.blockers]
    if blocked:
        reasons = "; ".join(f"guest {plan.candidate.guest.name!r}: {', '.join(one.message for one in plan.blockers)}" for plan in blocked)
        raise MaintenanceError(f"refused, no guest was touched: {reasons}", "refused", {"guests": [_described(plan, None) for plan in plans]})
    return plans, width


def _open(params: t.Mapping[str, t.Any], where: Places, moving: t.Sequence[Plan]) -> Refresh:
    """Mark the guests, write the ledger, start the guard: from here on nothing is lost when this process dies."""
    this = _identity.own_identity()
    refresh = Refresh(
        id=str(uuid_module.uuid4()), uri=params["uri"], boot_id=_identity.boot_id(), opener=opener(), opener_pid=this.pid, opener_start_time=this.start_time,
        opened_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), pause_limit=params["pause_limit"],
        guests=[_entry(plan, params["folder"]) for plan in moving],
    )
    RefreshLedger(where).write(refresh)
    try:
        _guard_start.arm_refresh(where, refresh.uri, refresh.id)
        for plan in moving:
            plan.candidate.guest.set_token(refresh.id)
    except Exception as error:
        refresh.closed_at, refresh.closed_by = refresh.opened_at, "module"
        for move in refresh.guests:
            move.settle("untouched", "it was not begun with")
        RefreshLedger(where).write(refresh)
        if isinstance(error, MaintenanceError):
            raise
        raise MaintenanceError(f"a guest could not be marked ({describe(error)}); no guest was touched", "refresh") from error
    return refresh


def _entry(plan: Plan, folder: str) -> Move:
    guest, process = plan.candidate.guest, t.cast(t.Any, plan.candidate.process).process
    return Move(
        guest.name, guest.uuid, guest.id, process.pid, process.start_time, not plan.candidate.facts.state.executes, plan.memory,
        os.path.join(folder, f"{guest.uuid}.save"),
        plan.ram if plan.memory == "in_place" else [], plan.kept if plan.memory == "in_place" else "",
    )


def _move_all(refresh: Refresh, moving: t.Sequence[Plan], width: int, limit: float) -> None:
    """Move the guests, so many at once. After the first that fails no further one is begun."""
    failed = threading.Event()
    ledger = RefreshLedger(places(refresh.uri))
    writing = threading.Lock()

    def one(plan: Plan, move: Move) -> None:
        if failed.is_set():
            move.settle("untouched", "it was not begun with, because another guest failed")
            return
        move.phase, move.began_at = "moving", time.monotonic()
        with writing:
            ledger.write(refresh)
        # Half of what is predicted is the restore, which nothing can hurry.
        _move(refresh, move, plan.candidate.guest, limit - plan.predicted / 2)
        if move.outcome != "refreshed":
            failed.set()
        with writing:
            ledger.write(refresh)

    calls = [Call(lambda plan=plan, move=move: one(plan, move)) for plan, move in zip(moving, refresh.guests)]
    run_lanes([calls], width, (limit + _refresh_move.ABORT_TIMEOUT + 60) * len(calls))


def _closed(refresh: Refresh, where: Places, plans: t.Sequence[Plan], width: int) -> dict[str, t.Any]:
    moves = {move.uuid: move for move in refresh.guests}
    failed = [move for move in refresh.guests if move.outcome != "refreshed"]
    warnings: list[str] = []
    if not refresh.unsettled():
        refresh.closed_at, refresh.closed_by = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "module"
        try:
            RefreshLedger(where).write(refresh)
        except LedgerError as error:
            warnings.append(f"{error.problem}; every guest is back, and the guard on the host closes the record")
    _forget_marks(refresh)
    result: dict[str, t.Any] = {
        "changed": any(move.outcome == "refreshed" for move in refresh.guests), "parallel": width, "pause_limit": refresh.pause_limit,
        "guests": [_described(plan, moves.get(plan.candidate.guest.uuid)) for plan in plans], "warnings": warnings,
    }
    if failed:
        rows = "; ".join(f"guest {move.name!r}: {move.message}" for move in failed)
        saved = [move.name for move in refresh.unsettled()]
        rest = (
            f"Saved and not back yet: {', '.join(saved)}; the guard on the host goes on trying (journalctl -u 'vm-preserving-refresh-*'), and recover.yml does"
            if saved else "Every guest runs"
        )
        result["failed_because"] = ("refresh", f"not every guest could be moved to the installed QEMU: {rows}. {rest}")
    return result


def _forget_marks(refresh: Refresh) -> None:
    """The marks of guests that were not moved; those of the others are gone already."""
    for move in refresh.guests:
        if move.outcome == "untouched":
            try:
                Connection(refresh.uri).guest(move.uuid).clear_token()
            except Exception:  # a mark of a closed refresh is harmless
                continue
