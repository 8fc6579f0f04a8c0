# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of clocks: whoever resumes a guest puts its clock right at once; and no clock is set that is not ours to set."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import catalogue, clocks, guests
from .catalogue import fault
from .errors import expect
from .faults_agents import AGENT, IMPOSTOR, PORT
from .faults_processes import UPDATE
from .faults_refresh import make_stale
from .guests import WITNESS, Guest
from .host import Host, wait_for
from .saved_stage import SavedStage
from .stage import PATIENCE, Stage

#: Seconds by which an owner has his guest's clock ahead.
AHEAD = 3600
_AGENTS = ("normal", "transient", "shared")


@contextmanager
def _watched(host: Host, addresses: dict[str, str]) -> Iterator[None]:
    clocks.start(host, addresses)
    try:
        yield
    finally:
        clocks.stop(host)


def _witness(stage: Stage) -> dict[str, str]:
    return {WITNESS.name: stage.address(WITNESS.name)}


@fault("clock-by-module", "clock of a guest after its resume by the module")
def clock_by_module(stage: Stage) -> str:
    """It stood still for three seconds."""
    stage.open()
    with _watched(stage.host, _witness(stage)):
        answer = stage.commands(["sleep", "3"])
        expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
        stage.see_all_well()
        return clocks.see_right(stage.host, _witness(stage))


@fault("clock-command-goes-on", "clock of a guest after its resume, while the update command goes on (on_deadline: leave)", limit=6)
def clock_command_goes_on(stage: Stage) -> str:
    """The clock does not wait for the command."""
    stage.open()
    with _watched(stage.host, _witness(stage)):
        run = stage.start_commands(list(UPDATE), on_deadline="leave", command_timeout=20)
        stage.wait_in("paused")
        stage.wait_in("running")
        told = clocks.see_right(stage.host, _witness(stage))
        expect(not run.ended(), "the command should still go on")
        run.answer(PATIENCE)
        stage.see_all_well()
        return told


@fault("clock-by-guard", "clock of a guest after its resume by the guard (controller killed)", limit=6)
def clock_by_guard(stage: Stage) -> str:
    """Nobody else comes."""
    stage.open()
    with _watched(stage.host, _witness(stage)):
        run = stage.start_commands(list(UPDATE))
        stage.wait_in("paused")
        run.kill()
        stage.signal("KILL", stage.host.call("ledger")["window"]["opener_pid"])
        stage.see_all_well()
        return clocks.see_right(stage.host, _witness(stage))


def _saved_addresses(stage: SavedStage) -> dict[str, str]:
    return {one["name"]: one["address"] for one in stage.guests if one["kind"] in _AGENTS}


@catalogue.fault("clock-by-refresh", "clocks of guests after they were moved to the installed QEMU", limit=30, last=True, stage=SavedStage)
def clock_by_refresh(stage: SavedStage) -> str:
    """Copied and in place, each right after its own resume."""
    stage.open()
    make_stale(stage)
    with _watched(stage.host, _saved_addresses(stage)):
        answer = stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit)
        expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
        return clocks.see_right(stage.host, _saved_addresses(stage))


@catalogue.fault("clock-at-boot", "clocks of guests after they were restored at boot", limit=600, last=True, stage=SavedStage)
def clock_at_boot(stage: SavedStage) -> str:
    """By the host alone: nobody calls it afterwards."""
    stage.open()
    with _watched(stage.host, _saved_addresses(stage)):
        stage.well_rebooted(stage.save())
        stage.wait_closed(stage.limit)
        return clocks.see_right(stage.host, _saved_addresses(stage))


def _ahead(stage: Stage, name: str) -> float:
    """How far a guest's clock is ahead of the host's, seconds, as the guest shows it."""
    shown = wait_for(f"an answer of {name}", lambda: stage.evidence(name), PATIENCE)
    return shown["clock"] - time.time()


@fault("clock-of-others", "excluded guest whose owner keeps its clock an hour ahead: host_update, recover.yml")
def clock_of_others(stage: Stage) -> str:
    """Not ours, so never set; not by healing either."""
    stage.open([Guest("chaos-ahead", role="aside", kind="normal"), Guest("chaos-1"), *guests.bystanders()])
    stage.host.call("set_guest_clock", name="chaos-ahead", ahead=AHEAD)
    run = stage.start_update(["true"])
    code = run.wait(180)
    expect(math.isclose(_ahead(stage, "chaos-ahead"), AHEAD, abs_tol=30), f"after the update chaos-ahead is ahead by {_ahead(stage, 'chaos-ahead'):.0f} s")
    expect(code == 0, f"the update should have succeeded: {run.complaint()}")
    stage.operator.recover()
    expect(math.isclose(_ahead(stage, "chaos-ahead"), AHEAD, abs_tol=30), f"after recover.yml it is ahead by {_ahead(stage, 'chaos-ahead'):.0f} s")
    stage.see_all_well()
    return " ".join(line for line in run.text().splitlines() if "chaos-ahead" in line)


#: Answers a quarter of a second after it has looked; its guest shows whether it was ever told to set the clock.
_SLOW = """{
    now=$EPOCHREALTIME; sleep 0.25
    case "$line" in
    *guest-get-time*) echo "{\\"return\\": ${now%.*}${now#*.}000}" ;;
    *guest-set-time*) echo '"set"' > /www/set; echo '{"return": {}}' ;;
    *guest-get-osinfo*) echo '{"return": {"id": "slow", "kernel-release": "6.1"}}' ;;
    *) echo '{"return": {}}' ;;
    esac
}"""


@fault("clock-slow-agent", "agent that takes 0.25 s for an answer, its guest's clock right: guest_clock, host_update, recover.yml")
def clock_slow_agent(stage: Stage) -> str:
    """Not proved wrong, so not set, and no reason to fail the host."""
    name = "chaos-slow"
    stage.open([Guest(name, role="aside", kind="normal"), Guest("chaos-1"), *guests.bystanders()])
    script = AGENT.format(signal="-KILL") + IMPOSTOR.format(port=PORT, answer=_SLOW)
    stage.host.call("in_guest", name=name, script=f"(sleep 1; {script}) > /dev/null 2>&1 < /dev/null &")
    ask = f"virsh --quiet qemu-agent-command --timeout 2 {name} '{{\"execute\": \"guest-get-osinfo\"}}'"
    wait_for("the slow agent", lambda: '"slow"' in stage.host.shell(ask, check=False), PATIENCE)

    def is_set() -> bool:
        return bool(stage.host.call("evidence", address=stage.address(name), page="set"))

    measured = stage.operator.module("guest_clock", name=[name])
    said = measured.guest(name)
    expect(not measured.failed and said.get("verdict") in ("unverified", "in_sync"), f"guest_clock: {measured.verdict} {measured.message} {said}")
    expect(not is_set(), f"guest_clock set a clock that is not proved wrong: {said}")
    run = stage.start_update(["true"])
    code = run.wait(180)
    expect(code == 0, f"the update should have succeeded: {run.complaint()}")
    stage.operator.recover()
    expect(not is_set(), "the clock of a guest that is not ours was set")
    stage.see_all_well()
    return f"{measured.verdict} {said}"
