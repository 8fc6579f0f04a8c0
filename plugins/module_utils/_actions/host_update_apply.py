# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying packages while the guests run, with the restarts that need a pause held back. What host_update_apply does."""
from __future__ import annotations

import signal
import typing as t

from .._core.errors import MaintenanceError
from .._system.commands import CommandList
from .._updates import held, restarts, systemctl_stand_in, techniques
from .._updates.facts import facts
from .._updates.managers import manager
from .._updates.package_manager import PackageManager, asked_for, refuse

#: Seconds for systemd to do what it is asked for while the guests run.
RESTART_TIMEOUT = 300.0


def _prepare(due: t.Sequence[held.Asked]) -> None:
    """Put the stand-in for systemctl and its record where the command will find them.

    :param due: What the record has from an earlier run.
    """
    try:
        systemctl_stand_in.write(restarts.FOLDER)
        # Anew: to half a line, as a killed writer leaves it, the next would be added.
        restarts.begin(due)
    except OSError as error:
        raise MaintenanceError(
            f"restarts cannot be held back on this host ({error}); nothing was applied, and no guest was touched. Look at {restarts.FOLDER} and "
            f"{restarts.RECORD}", "held",
        ) from error


def _command(found: PackageManager, lock_timeout: int) -> list[str]:
    environment = systemctl_stand_in.environment(restarts.RECORD)
    return ["env", *(f"{name}={value}" for name, value in environment.items()), *found.apply_with(systemctl_stand_in.path(restarts.FOLDER), lock_timeout)]


def _last_words(command: t.Mapping[str, t.Any]) -> str:
    words = [*command["stdout"].splitlines()[-3:], *command["stderr"].splitlines()[-5:]]
    how = command["message"] or (f"it ended with {command['rc']}" if command["state"] == "finished" else f"it was ended after {command['seconds']:.0f} s")
    return "; ".join([how, *(word.strip() for word in words if word.strip())])


def _run(argvs: t.Sequence[t.Sequence[str]], timeout: float) -> list[dict[str, t.Any]]:
    """Run commands, each whatever became of the one before."""
    done = []
    for argv in argvs:
        commands = CommandList([argv], timeout)
        commands.start()
        commands.wait()
        done.append(commands.commands[0].as_dict())
    return done


def _restart(wanted: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Do what was held back and needs no pause. What fails is told, and no reason not to go on: the package manager would not have stopped either."""
    return [
        f"{' '.join(command['argv'])!r} failed: {_last_words(command)}. See systemctl status on the host"
        for command in _run(restarts.commands(wanted), RESTART_TIMEOUT) if command["state"] != "finished" or command["rc"]
    ]


def apply_update(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """The body of the module.

    :param params: The module's parameters.
    :returns: `changed`, `command`, `restarts`, `commands`, `problems`.
    :raises MaintenanceError: Nothing was applied; or code `update`: the package manager failed, and what it asked for is still held back.
    """
    rules = techniques.operator_rules(params["rules"])
    found = manager(asked_for(params["packages"]), params["default_release"], params["only_upgrade"])
    plan = found.plan()
    refuse(plan)
    changes = plan.changes if params["apply"] else []
    due = restarts.left_over()
    result: dict[str, t.Any] = {"changed": bool(changes or due), "command": None, "restarts": [], "commands": [], "problems": []}
    if check_mode or not result["changed"]:
        return result
    # Half an update is worse than one that nobody waits for any more: a lost connection ends neither the package manager nor what follows it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if changes:
        _prepare(due)
        result["command"] = _run([_command(found, params["lock_timeout"])], params["command_timeout"])[0]
    # What the scripts asked for by the full path of systemctl was not done, but for systemd's own files it does not matter when.
    result["problems"] = [
        f"{' '.join(command['argv'])!r} failed: {_last_words(command)}" for command in _run([["systemctl", "daemon-reload"]], RESTART_TIMEOUT)
        if command["state"] != "finished" or command["rc"]
    ]
    asked = restarts.left_over()
    wanted = restarts.restarts(found, asked, rules, facts())
    for one in wanted:
        one["in_pause"] = {"needed": one["in_pause"], "all": True, "none": False}[params["restarts_in_pause"]]
    command = result["command"]
    if command is not None and (command["state"] != "finished" or command["rc"]):
        units = ", ".join(one["unit"] for one in wanted)
        raise MaintenanceError(
            f"the update failed while the guests ran; no guest was paused, moved or saved for it, and the host may be half updated: {_last_words(command)}. "
            f"{f'Still to be restarted, which the next run does: {units}. ' if units else ''}Repair the host and run again", "update",
            result={**result, "restarts": wanted},
        )
    result["problems"] += _restart([one for one in wanted if not one["in_pause"]])
    later = [one for one in wanted if one["in_pause"]]
    names = {one["unit"] for one in later}
    restarts.keep([one for one in asked if one.unit in names])
    result["restarts"] = wanted
    # Gone only when all of it was done: a run that is cut short before is carried on by the next.
    result["commands"] = [*restarts.commands(later), ["rm", "-f", restarts.RECORD]] if later else []
    return result
