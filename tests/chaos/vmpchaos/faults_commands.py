# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: the update's commands misbehave in the window."""

from __future__ import annotations

import json

from .catalogue import fault
from .errors import expect
from .faults_processes import UPDATE
from .operator import Answer
from .stage import Stage, journal_has


def _told(answer: Answer) -> str:
    states = ", ".join(f"{command['argv'][0]} {command['state']} rc {command['rc']}" for command in answer.result.get("commands", []))
    return f"{answer.message} [{states}]"


@fault("command-hangs-left", "update command hangs, on_deadline: leave", fast=True)
def command_hangs_left(stage: Stage) -> str:
    """The guests are resumed on time; the command goes on to its own time-out; the next is not started."""
    stage.open()
    answer = stage.commands(list(UPDATE), ["touch", "/run/vmp-chaos/second"], on_deadline="leave", command_timeout=11)
    expect(answer.failed and answer.code == "deadline", f"it should name the deadline: {answer.verdict} {answer.message}")
    expect([one["state"] for one in answer.result["commands"]] == ["timed_out", "not_started"], f"the commands' states: {answer.result['commands']}")
    stage.see_all_well()
    return _told(answer)


@fault("command-hangs-killed", "update command hangs and ignores SIGTERM, on_deadline: kill", limit=6)
def command_hangs_killed(stage: Stage) -> str:
    """The guests do not wait for its end."""
    stage.open()
    answer = stage.commands(["sh", "-c", f"trap '' TERM; {' '.join(UPDATE)}; {' '.join(UPDATE)}"], on_deadline="kill", pause_budget=3)
    expect(answer.failed and answer.code == "deadline", f"it should name the deadline: {answer.verdict} {answer.message}")
    expect(answer.result["commands"][0]["state"] == "killed", f"the command's state: {answer.result['commands']}")
    stage.see_all_well()
    expect(not stage.host.shell(f"pgrep -f '^{' '.join(UPDATE)}'", check=False), "the command should have been ended with all that it started")
    return _told(answer)


@fault("command-fails", "update command fails")
def command_fails(stage: Stage) -> str:
    """The guests are resumed at once, the next command is not started."""
    stage.open()
    answer = stage.commands(["sh", "-c", "echo cannot find the thing >&2; exit 3"], ["touch", "/run/vmp-chaos/second"])
    expect(answer.failed and answer.code == "command" and "cannot find the thing" in answer.message, f"it should say why: {answer.message}")
    stage.see_all_well()
    expect(not stage.host.shell("ls /run/vmp-chaos/second", check=False), "the second command should not have been run")
    return _told(answer)


@fault("command-missing", "update command does not exist")
def command_missing(stage: Stage) -> str:
    """As a failure."""
    stage.open()
    answer = stage.commands(["no-such-program"])
    expect(answer.failed and answer.code == "command", f"it should be reported: {answer.message}")
    stage.see_all_well()
    return _told(answer)


@fault("command-prints-50-MB", "update command prints 50 MB on both streams")
def command_prints(stage: Stage) -> str:
    """The result has the beginning and the end; the guests do not wait for the operator's terminal."""
    stage.open()
    flood = "head -c 50000000 /dev/zero | tr '\\0' x; (head -c 50000000 /dev/zero | tr '\\0' y) >&2"
    answer = stage.commands(["sh", "-c", flood])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message[-300:]}")
    stage.see_all_well()
    size = len(json.dumps(answer.result))
    expect(size < 400_000, f"the result has {size} bytes")
    out = answer.result["commands"][0]["stdout"]
    return f"CHANGED, stdout: x...{out[len(out) // 2 - 40 : len(out) // 2 + 40].strip('x')!r}...x"


@fault("command-starts-a-daemon", "update command starts a daemon which keeps the output open")
def command_starts_a_daemon(stage: Stage) -> str:
    """The command has ended when its own process has: the daemon is not waited for."""
    stage.open()
    answer = stage.commands(["sh", "-c", f"setsid {' '.join(UPDATE)} & echo started"], ["sh", "-c", "yes & echo started"])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
    stage.see_all_well()
    pause = max(one["paused_for"] for one in answer.result["guests"] if one.get("paused_for"))
    expect(pause < stage.limit / 2, f"the guests stood still for {pause} s")
    return f"CHANGED, paused for at most {pause} s, stdout {answer.result['commands'][0]['stdout']!r}"


@fault("command-kills-its-group", "update command kills its process group")
def command_kills_its_group(stage: Stage) -> str:
    """It has a session of its own: the module is not reached."""
    stage.open()
    answer = stage.commands(["sh", "-c", "kill -KILL 0"])
    expect(answer.failed and answer.code == "command", f"it should be reported as a failed command: {answer.message}")
    stage.see_all_well()
    return _told(answer)


@fault("command-kills-the-module", "update command kills the module that started it")
def command_kills_the_module(stage: Stage) -> str:
    """The guard is not reached."""
    stage.open()
    answer = stage.commands(["sh", "-c", "kill -KILL $PPID"])
    expect(answer.failed, "the module should have died")
    stage.see_all_well()
    return f"{answer.verdict} {answer.message}; journal: {journal_has(stage, 'is closed by the guard')}"
