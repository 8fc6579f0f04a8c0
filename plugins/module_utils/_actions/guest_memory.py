# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the memory of guests can stay in place, now and after their next start, and what makes it so: what guest_memory does."""
from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from .._core.errors import MaintenanceError
from .._core.places import SYSTEM_URI, Places, places
from .._saved.in_place import memory as in_place
from .._saved.in_place.definition import for_in_place, memory_lines, next_start_obstacle, room_problem
from .._saved.plan import running_version, why_copy
from .._system import memory_backing
from .._system.hypervisor import Connection, Guest, describe
from .._system.status_file import guest_process


@dataclasses.dataclass
class _Found:
    """A persistent guest.

    :ivar guest: Its handle.
    :ivar before: Its definition, secrets included.
    :ivar after: The definition that it is to get.
    :ivar problem: Why it could not be looked at or cannot be changed; `None`: it can.
    :ivar changed: It has got another definition.
    """

    guest: Guest
    before: str = ""
    after: str = ""
    problem: str | None = None
    changed: bool = False


def _select(guests: t.Sequence[Guest], names: t.Sequence[str]) -> list[Guest]:
    """The guests that were named, or all.

    :raises MaintenanceError: code `guest_unknown`: a name is no persistent guest here.
    """
    by_key = {key: guest for guest in guests for key in (guest.uuid, guest.name)}
    missing = [name for name in names if name not in by_key]
    if missing:
        raise MaintenanceError(
            f"no definition is kept on this host of {', '.join(map(repr, missing))} (it does not exist, or is transient); no guest was changed. Guests with a "
            f"definition are: {', '.join(guest.name for guest in guests) or 'none'}", "guest_unknown",
        )
    return list({by_key[name].uuid: by_key[name] for name in names}.values()) if names else list(guests)


def _now(guest: Guest, where: Places) -> dict[str, t.Any] | None:
    """Whether its memory can stay in place as it runs now; `None`: it does not run."""
    if guest.id < 0:
        return None
    process = guest_process(where, guest.name, guest.uuid)
    if process is None:
        reason: str | None = "libvirt's status file of it cannot be read"
    else:
        xml = guest.xml()
        pid = process.process.pid
        reason = why_copy(xml, in_place.backends_of(pid, xml), running_version(pid))
    return {"qualifies": reason is None, "reason": reason}


def _described(found: _Found, where: Places) -> dict[str, t.Any]:
    guest = found.guest
    record: dict[str, t.Any] = {"name": guest.name, "uuid": guest.uuid, "running": guest.id >= 0, "changed": found.changed, "problem": found.problem}
    if not found.before:
        unread = {"qualifies": False, "reason": found.problem}
        return {**record, "now": unread if record["running"] else None, "next_start": unread}
    try:
        reason = next_start_obstacle(ET.fromstring(found.after or found.before))
        if reason is None and guest.has_managed_save():
            reason = "libvirt has a saved image of it, and its next start takes that up as it was saved"
        return {**record, "now": _now(guest, where), "next_start": {"qualifies": reason is None, "reason": reason}}
    except Exception as error:  # a guest that cannot be looked at must not keep the others from being shown
        unknown = {"qualifies": False, "reason": f"it could not be looked at ({describe(error)})"}
        return {**record, "now": unknown if record["running"] else None, "next_start": unknown}


def _look(guest: Guest) -> _Found:
    try:
        text = guest.definition()
    except Exception as error:  # reported with this guest; the others are still of use
        return _Found(guest, problem=f"its definition could not be read ({describe(error)})")
    return _Found(guest, text, text)


def _change(chosen: t.Sequence[_Found], everyone: t.Sequence[_Found], backing: memory_backing.Backing) -> None:
    """Decide what each guest's definition becomes. Nothing is touched.

    :raises MaintenanceError: code `refused`: a guest, or the host, does not allow it.
    """
    problems: list[str] = []
    for found in chosen:
        try:
            if found.problem is None:
                found.after = for_in_place(found.before)
        except MaintenanceError as error:
            found.problem = str(error)
        if found.problem is not None:
            problems.append(f"guest {found.guest.name!r}: {found.problem}")
    room = _room(everyone, backing)
    if room is not None:
        problems.append(room)
    if problems:
        raise MaintenanceError(f"refused, no guest was changed: {'; '.join(problems)}", "refused")


def _room(everyone: t.Sequence[_Found], backing: memory_backing.Backing) -> str | None:
    definitions = [ET.fromstring(found.after) for found in everyone if found.after]
    return room_problem(definitions, backing.path, backing.file_system, backing.in_ram, backing.size)


def _diff(chosen: t.Sequence[_Found]) -> list[dict[str, str]]:
    return [
        {
            "before_header": found.guest.name, "after_header": found.guest.name,
            "before": memory_lines(ET.fromstring(found.before)), "after": memory_lines(ET.fromstring(found.after)),
        }
        for found in chosen if found.changed
    ]


def guest_memory(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of guest_memory.

    :param params: The module's parameters.
    :param check_mode: Say what would be changed, and change nothing.
    :returns: `changed`, `guests`, `folder` and `diff`.
    :raises MaintenanceError: Refused: nothing was changed; or code `define`: libvirt refused one definition, those before it are changed.
    """
    if params["uri"] != SYSTEM_URI:
        raise MaintenanceError(f"memory stays in place at {SYSTEM_URI} only; no guest was changed", "uri")
    if params["apply"] and not params["name"]:
        raise MaintenanceError("apply needs the names of the guests (name) whose definition is to be changed; no guest was changed", "name")
    where = places(params["uri"])
    connection = Connection(params["uri"])
    everyone = [_look(guest) for guest in connection.defined()]
    named = {guest.uuid for guest in _select([found.guest for found in everyone], params["name"])}
    chosen = [found for found in everyone if found.guest.uuid in named]
    try:
        backing = memory_backing.backing()
    except OSError as error:
        raise MaintenanceError(f"where libvirt puts memory files cannot be found out ({error}); no guest was changed", "memory_backing_dir") from error
    result: dict[str, t.Any] = {}
    try:
        if params["apply"]:
            _change(chosen, everyone, backing)
            _define(connection, chosen, check_mode)
    except MaintenanceError as error:
        error.result = {"guests": [_described(found, where) for found in chosen], "folder": _folder(everyone, backing), "changed": _any(chosen)}
        raise
    if params["apply"]:
        result["diff"] = _diff(chosen)
    return {"changed": _any(chosen), "guests": [_described(found, where) for found in chosen], "folder": _folder(everyone, backing), **result}


def _any(chosen: t.Sequence[_Found]) -> bool:
    return any(found.changed for found in chosen)


def _folder(everyone: t.Sequence[_Found], backing: memory_backing.Backing) -> dict[str, t.Any]:
    return {**memory_backing.as_dict(backing), "problem": _room(everyone, backing)}


def _define(connection: Connection, chosen: t.Sequence[_Found], check_mode: bool) -> None:
    """Give each guest its new definition. What runs is not touched by that.

    :raises MaintenanceError: code `define`: libvirt refused one.
    """
    for found in chosen:
        if found.after == found.before:
            continue
        if not check_mode:
            try:
                connection.define(found.after)
            except Exception as error:
                found.after, found.problem = found.before, describe(error)
                done = ", ".join(one.guest.name for one in chosen if one.changed) or "none"
                raise MaintenanceError(
                    f"libvirt refused the new definition of guest {found.guest.name!r} ({describe(error)}); its definition is as it was, and nothing that runs "
                    f"was touched. Changed before it: {done}; correct its definition (virsh edit) and run again", "define",
                ) from error
        found.changed = True
