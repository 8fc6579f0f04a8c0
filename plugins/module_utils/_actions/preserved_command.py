# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pause, run commands, resume: the shortest window, in one process on the host. What preserved_command does."""
from __future__ import annotations

import time
import typing as t

from .._core.errors import MaintenanceError
from .._core.places import places
from .._pause.ledger import Ledger
from .._pause.limits import check_patience, lead
from .._system.commands import CommandList
from .._system.package_lock import package_lock
from .guest_pause import pause_guests, pause_request
from .guest_resume import resume_guests

#: Seconds before the guard would begin at which the module itself resumes: both would do, one is enough.
AHEAD_OF_GUARD = 0.3
#: Seconds to go on trying to resume.
PATIENCE = 20.0


def _checked_commands(raw: t.Sequence[t.Any]) -> list[list[str]]:
    commands: list[list[str]] = []
    for number, argv in enumerate(raw, 1):
        if not isinstance(argv, list) or not argv or not all(isinstance(word, (str, int, float)) and not isinstance(word, bool) for word in argv):
            raise MaintenanceError(
                f"command {number} is {argv!r}, it must be a list of the program and its arguments, for example [systemctl, restart, x]; "
                "no guest was touched", "commands",
            )
        commands.append([str(word) for word in argv])
    if not commands:
        raise MaintenanceError("commands is empty, so there is nothing to pause the guests for; no guest was touched", "commands")
    return commands


def _failure(commands: CommandList, deadline_missed: bool, on_deadline: str, pause_limit: float) -> tuple[str, str] | None:
    """What went wrong, as code and words for the operator, or `None`."""
    if deadline_missed:
        late = commands.current or commands.commands[0]
        fate = {
            "killed": "it was ended", "timed_out": "it went on and was ended at its own time-out",
            "finished": f"it went on and ended by itself with {late.rc}",
        }.get(late.state, late.state)
        return "deadline", (
            f"the update outlasts the pause limit of {pause_limit:g} s: all guests were resumed on time, and command {late.argv[0]!r} was "
            f"still running; {fate} (on_deadline={on_deadline}). The guests run; the host may be half updated: look at the output of the "
            "command, finish the update with the guests running or with a longer limit, and run again"
        )
    failed = next((command for command in commands.commands if not command.succeeded), None)
    if failed is None:
        return None
    if failed.state == "unstartable":
        how = failed.message
    elif failed.state == "timed_out":
        how = f"it did not end within its time-out and was ended after {failed.seconds:.0f} s"
    else:
        how = f"it ended with {failed.rc}"
    last = failed.as_dict()
    words = " ".join((last["stderr"] or last["stdout"]).split())[-300:]
    return "command", (
        f"command {' '.join(failed.argv)!r} failed: {how}{': ' + words if words else ''}. No further command was run, and every guest that "
        "had been paused was resumed. Repair the host and run again"
    )


def preserved_command(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of the module.

    :param params: The module's parameters.
    :returns: `changed`, `window`, `guests`, `commands`, `deadline_missed` and, on failure, `failed_because`.
    :raises MaintenanceError: Nothing was run; or guests could not be resumed.
    """
    argvs = _checked_commands(params["commands"])
    if not params["command_timeout"] > 0:
        raise MaintenanceError(f"command_timeout is {params['command_timeout']:g} s, it must be more than 0; no guest was touched", "limit")
    check_patience(params["second_look"])
    if check_mode or params["package_lock"] is None:
        return _preserve(params, argvs, check_mode)
    with package_lock(params["package_lock"]):
        return _preserve(params, argvs, check_mode)


def _preserve(params: dict[str, t.Any], argvs: list[list[str]], check_mode: bool) -> dict[str, t.Any]:
    request = pause_request(params)
    ledger = Ledger(places(request.uri))
    paused = pause_guests(request, check_mode)
    if not check_mode and paused["window"] is not None and not paused["changed"]:
        raise MaintenanceError(
            f"the guests are paused already, by window {paused['window']['id']}; no command was run. Close it with guest_resume first", "window_busy"
        )
    commands = CommandList(argvs, params["command_timeout"])
    result: dict[str, t.Any] = {
        "changed": True, "window": None, "guests": paused["guests"], "deadline_missed": False,
        "commands": [command.as_dict() for command in commands.commands],
    }
    if check_mode:
        return result
    window = ledger.read() if paused["window"] is not None else None
    stopped_again = None
    commands.start()
    if window is None:
        commands.wait()
    else:
        patience = window.deadline - lead(window.pause_limit, window.paused_within) - AHEAD_OF_GUARD - time.monotonic()
        ended = commands.wait(max(0.0, patience))
        if not ended:
            commands.stop(kill=params["on_deadline"] == "kill")
        try:
            resumed = resume_guests(request.uri, window.id, PATIENCE, params["second_look"], check_mode=False)
        except MaintenanceError as error:
            # With the end of this module the commands would lose their output, and themselves with it.
            commands.wait()
            error.result["commands"] = [command.as_dict() for command in commands.commands]
            raise
        stopped_again = resumed.get("failed_because")
        result["deadline_missed"] = not ended
        if not ended:
            commands.wait()
        skipped = [{**guest, "outcome": None, "paused_for": None, "resumed_by": None} for guest in paused["guests"] if not guest["changed"]]
        before = {guest["uuid"]: guest["before"] for guest in paused["guests"]}
        records = [{**guest, "before": before.get(guest["uuid"], guest["before"]), "changed": True} for guest in resumed["guests"]]
        warnings = list(resumed["warnings"])
        if ended and resumed["window"]["closed_by"] == "guard":
            warnings.append("the commands had ended, but the guests were resumed by the guard at the deadline and not by this run; "
                            "see journalctl -u 'vm-preserving-guard-*' on the host for what blocked libvirt")
        result.update(window=resumed["window"], guests=records + skipped, warnings=warnings)
    result["commands"] = [command.as_dict() for command in commands.commands]
    failure = _failure(commands, result["deadline_missed"], params["on_deadline"], request.pause_limit) or stopped_again
    if failure is not None:
        result["failed_because"] = failure
    return result
