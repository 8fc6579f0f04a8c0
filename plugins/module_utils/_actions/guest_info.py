# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the guests of a host: what guest_info returns."""
from __future__ import annotations

import base64
import contextlib
import json
import re
import time
import typing as t
import xml.etree.ElementTree as ET

from .._clock.measurement import WINDOWS
from .._core.calls import Call, run_lanes
from .._core.errors import MaintenanceError
from .._core.places import SYSTEM_URI, places
from .._core.policy import policy
from .._core.states import Blocker, State
from .._pause.ledger import Ledger
from .._pause.window import summary
from .._saved.in_place import memory as in_place
from .._saved.ownership import Owners, managed
from .._saved.plan import move_blockers, running_version, why_copy
from .._saved.rules import memory_folder
from .._saved.unfinished import saved_summary
from .._stopped.rules import is_allowed
from .._stopped.summary import stopped_summary
from .._system.guests import Candidate, preflight, select
from .._system.hypervisor import AGENTS_AT_ONCE, Connection, Guest, Lanes, agent_silent, describe

#: Guests of a session are not refreshed.
_NO_REFRESH = Blocker("uri", f"guests can be refreshed at {SYSTEM_URI} only")
#: Seconds for all guests together.
TIMEOUT = 60.0
#: Seconds that each agent has at first, and how many rounds of patience there are.
QUICK = 1
#: Seconds that an agent has to be there again which answered before.
EXPECTED = 30.0
PATIENT_ROUNDS = 3
_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
#: What os-release allows for ID.
_SYSTEM = re.compile(r"[a-z0-9._-]{1,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def agent_state(xml: ET.Element) -> str:
    """The guest agent by libvirt's knowledge: `connected`, `disconnected`, or `absent` (no channel).

    :param xml: The live XML.
    """
    for target in xml.findall("devices/channel/target"):
        if target.get("name") == "org.qemu.guest_agent.0":
            return "connected" if target.get("state") == "connected" else "disconnected"
    return "absent"


def availability_set(xml: ET.Element) -> str | None:
    """The availability set that a guest's own metadata names, `None` without one.

    :param xml: The live XML.
    """
    return policy(xml).get("availability_set") or None


def parse_boot_id(answer: str) -> str | None:
    """The boot id in the agent's answer to guest-file-read, or `None`: the agent is not to be trusted.

    :param answer: The agent's answer, JSON.
    """
    try:
        content = base64.b64decode(json.loads(answer)["return"]["buf-b64"], validate=True).decode("ascii").strip()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if _UUID.fullmatch(content) else None


def parse_system(answer: str) -> str | None:
    """The id of the operating system in the agent's answer to guest-get-osinfo, or `None`: the agent is not to be trusted.

    :param answer: The agent's answer, JSON.
    """
    try:
        found = json.loads(answer)["return"]["id"]
        return found if _SYSTEM.fullmatch(found) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _ask(guest: Guest, timeout: int, command: str, **arguments: t.Any) -> str:
    return guest.agent_command(json.dumps({"execute": command, "arguments": arguments}), timeout)


def _boot_id(guest: Guest, timeout: int) -> str | None:
    """The boot id of a Linux guest, read by its agent; `None` when the agent cannot, or may not, read files."""
    try:
        handle = json.loads(_ask(guest, timeout, "guest-file-open", path=_BOOT_ID_FILE, mode="r"))["return"]
    except Exception:  # no agent, no Linux, or guest-file-* forbidden by the guest: all mean "not available"
        return None
    answer = ""
    for command, arguments in (("guest-file-read", {"handle": handle, "count": 64}), ("guest-file-close", {"handle": handle})):
        try:
            said = _ask(guest, timeout, command, **arguments)
        except Exception:  # the same; the file is closed by the agent's end at the latest
            continue
        answer = answer or said
    return parse_boot_id(answer)


def agent_facts(guest: Guest, timeout: int) -> dict[str, t.Any]:
    """What a guest says of itself.

    Windows has nothing that an agent can read and that changes with every boot. It is not asked for the file of Linux: there that would be a file like any
    other, which a reboot does not change.

    :param timeout: Seconds for each answer. An agent that gives none is not asked again.
    :returns: `os` and `boot_id`, each `None` when it is not available; `silent`: it gave no answer at all.
    """
    try:
        # Else libvirt waits for 5 seconds for an agent that has not answered the question before.
        guest.set_agent_timeout(timeout)
    except Exception:  # it is not connected any more
        return {"os": None, "boot_id": None, "silent": False}
    try:
        return _said(guest, timeout)
    finally:
        with contextlib.suppress(Exception):  # the guest may have ended meanwhile, and its time-out with it
            guest.reset_agent_timeout()


def _said(guest: Guest, timeout: int) -> dict[str, t.Any]:
    try:
        system = parse_system(_ask(guest, timeout, "guest-get-osinfo"))
    except Exception as error:  # an agent before QEMU 2.10, or one that may not say, can still have a boot id
        if agent_silent(error):
            return {"os": None, "boot_id": None, "silent": True}
        system = None
    return {"os": system, "boot_id": None if system == WINDOWS else _boot_id(guest, timeout), "silent": False}


def _folder(backends: t.Sequence[t.Mapping[str, t.Any]]) -> str | None:
    """The `memory_backing_dir` that a guest's memory files are under; `None`: it has none there."""
    return next((folder for folder in (memory_folder(str(one.get("mem-path", ""))) for one in backends) if folder is not None), None)


def _describe(guest: Guest, candidate: Candidate, uri: str, owners: Owners) -> dict[str, t.Any]:
    xml = guest.xml()
    agent = agent_state(xml)
    backends = [] if candidate.process is None else in_place.backends_of(candidate.process.process.pid, xml)
    blockers = [*move_blockers(candidate, xml, backends), *owners.blockers(xml, reboot=False)] if uri == SYSTEM_URI else [_NO_REFRESH]
    if candidate.process is None:
        reason: str | None = "its QEMU is not known"
    else:
        reason = why_copy(xml, backends, running_version(candidate.process.process.pid)) if uri == SYSTEM_URI else _NO_REFRESH.message
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "id": guest.id,
        **candidate.facts.state.as_dict(),
        "persistent": guest.persistent(),
        "memory": guest.memory(),
        "agent": agent,
        "availability_set": availability_set(xml),
        "stop_allowed": is_allowed(xml),
        "process": None if candidate.process is None else candidate.process.process._asdict(),
        "os": None,
        "boot_id": None,
        "managed_by": managed(owners, xml),
        "memory_in_place": {"qualifies": reason is None, "reason": reason, "folder": _folder(backends)},
        "blockers": {
            "pause": [blocker.as_dict() for blocker in candidate.blockers],
            "refresh": [blocker.as_dict() for blocker in blockers],
        },
        "fallback": None if candidate.facts.no_fallback is None else candidate.facts.no_fallback.as_dict(),
    }


def _inactive(connection: Connection) -> list[dict[str, t.Any]]:
    """The defined guests that do not run, with libvirt's reason why."""
    guests = [one for one in connection.defined() if one.id < 0]
    calls = [Call(guest.state) for guest in guests]
    run_lanes([calls], 4, TIMEOUT)
    return [
        {"name": guest.name, "uuid": guest.uuid, **t.cast(State, call.value).as_dict()} for guest, call in zip(guests, calls) if call.state == "done"
    ]


def _answers(lanes: Lanes, uuids: t.Iterable[str], timeout: int, together: float) -> dict[str, dict[str, t.Any]]:
    """What the agents say, by the guests' UUIDs; without those whose call did not come back.

    :param timeout: Seconds for each answer.
    :param together: Seconds for all of them.
    """
    calls = lanes.each(uuids, lambda guest: agent_facts(guest, timeout), together)
    return {uuid: call.value for uuid, call in calls.items() if call.state == "done" and call.value is not None}


def _ask_agents(lanes: Lanes, candidates: t.Sequence[Candidate], found: t.Sequence[dict[str, t.Any]], agent_timeout: int) -> None:
    """Ask the agents, and put what they say into the records. Those that do not answer at once are asked again, last: they must not keep the others waiting.

    :param agent_timeout: Seconds for each answer.
    """
    waiting = [
        record for candidate, record in zip(candidates, found) if record.get("agent") == "connected" and candidate.facts.state.executes
    ]
    for timeout, together in ((min(QUICK, agent_timeout), TIMEOUT), (agent_timeout, agent_timeout * PATIENT_ROUNDS)):
        answers = _answers(lanes, [record["uuid"] for record in waiting], timeout, together)
        silent = []
        for record in waiting:
            facts = answers.get(record["uuid"])
            if facts is None or facts["silent"]:
                silent.append(record)
            else:
                record.update(os=facts["os"], boot_id=facts["boot_id"])
        waiting = silent
        if timeout == agent_timeout:
            break


def _await_agents(lanes: Lanes, found: t.Sequence[dict[str, t.Any]], names: t.Collection[str], timeout: int) -> None:
    """Ask the agents again that answered before, for a while: a guest that was rebooted by its owner just now needs one.

    :param names: Names or UUIDs of the guests.
    :param timeout: Seconds for each answer.
    """
    missing = [
        record for record in found if record["boot_id"] is None and record["state"] == "running" and {record["name"], record["uuid"]} & set(names)
    ]
    give_up = time.monotonic() + EXPECTED
    while missing and time.monotonic() < give_up:
        answers = _answers(lanes, [record["uuid"] for record in missing], timeout, timeout * PATIENT_ROUNDS)
        for record in missing:
            facts = answers.get(record["uuid"])
            if facts is not None:
                record.update(os=facts["os"], boot_id=facts["boot_id"])
        missing = [record for record in missing if record["boot_id"] is None]
        if missing:
            time.sleep(1.0)


def guest_info(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The body of guest_info.

    :param params: The module's parameters.
    :returns: `guests` and `window`.
    :raises MaintenanceError: libvirt cannot be reached, or a guest does not exist.
    """
    if not 1 <= params["agent_timeout"] <= 300:
        raise MaintenanceError(f"agent_timeout is {params['agent_timeout']} s, it must be from 1 to 300 s", "limit")
    where = places(params["uri"])
    connection = Connection(params["uri"])
    guests = select(connection.running(), connection.inactive_names(), params["name"])
    candidates = preflight(guests, where)
    owners = Owners()
    calls = [Call(lambda one=one: _describe(one.guest, one, params["uri"], owners)) for one in candidates]
    run_lanes([calls], 4, TIMEOUT)
    found: list[dict[str, t.Any]] = []
    for candidate, call in zip(candidates, calls):
        try:
            found.append(call.result())
        except Exception as error:  # a guest that hangs is reported; the others are still of use
            found.append({
                "name": candidate.guest.name, "uuid": candidate.guest.uuid, "id": candidate.guest.id, **candidate.facts.state.as_dict(),
                "os": None, "boot_id": None, "stop_allowed": False,
                "memory_in_place": {"qualifies": False, "reason": "it could not be looked at", "folder": None},
                "blockers": {
                    "pause": [blocker.as_dict() for blocker in candidate.blockers],
                    "refresh": [{"code": "no_answer", "message": f"it could not be looked at ({describe(error)})"}],
                },
                "error": {"code": "no_answer", "message": describe(error)},
            })
    if params["boot_id"]:
        # On connections of their own: libvirtd serves five calls at once on each, and agents that hang would keep the others waiting.
        lanes = Lanes(params["uri"], [record["uuid"] for record in found if "error" not in record], at_once=AGENTS_AT_ONCE)
        _ask_agents(lanes, candidates, found, params["agent_timeout"])
        _await_agents(lanes, found, params["expect_agents"], params["agent_timeout"])
    window = Ledger(where).read()
    return {
        "changed": False, "guests": found, "inactive": _inactive(connection), "window": None if window is None else summary(window),
        "saved": saved_summary(where), "stopped": stopped_summary(where),
    }
