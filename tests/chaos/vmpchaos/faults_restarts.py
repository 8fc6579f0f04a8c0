# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: packages are applied with restarts held back, and something goes wrong before, in or after the pause for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .catalogue import fault
from .errors import expect
from .host import wait_for
from .operator import Run
from .stage import PATIENCE, Stage

_SOURCE = Path(__file__).with_name("restarts_on_host.py").read_text(encoding="utf-8")
_FOLDER = "/var/lib/vmp-chaos-packages"
_RECORD = "/run/vm_preserving/held_restarts"
_RESTART = "systemctl restart vmp-chaos-switch"


def _call(stage: Stage, function: str, **arguments: Any) -> Any:
    return stage.host.call(function, source=_SOURCE, **arguments)


@contextlib.contextmanager
def _offered(stage: Stage, script: str = _RESTART, start: str = "true") -> Iterator[None]:
    """An update whose script asks for a restart; the service is up before it."""
    _call(stage, "offer", script=script, start=f"test -e {_FOLDER}/first || {{ {start}; }}")
    try:
        yield
    finally:
        _call(stage, "withdraw")


def _update(stage: Stage, **more: Any) -> Run:
    """The operator updates the host, each package with what it needs."""
    return stage.start_update(host_update_commands=[], host_update_packages=["openvswitch-chaos"], host_update_technique="auto", **more)


def _well(stage: Stage, run: Run, starts: int) -> str:
    """The update ends well, the service was restarted so often in all, and nothing is held back any more."""
    code = run.wait(180)
    expect(code == 0, f"the update should have succeeded: {run.complaint()}")
    found = _call(stage, "state")
    expect(found == {"starts": starts, "package": "2 installed", "record": ""}, f"the service should have been started {starts} times: {found}")
    return next((line.strip() for line in run.text().splitlines() if "updated;" in line), "")


def _failed(stage: Stage, run: Run, *words: str) -> str:
    code = run.wait(180)
    told = run.complaint()
    expect(code != 0, f"the update should have failed: {run.text()[-400:]}")
    expect(all(word in run.text() for word in words), f"it should tell {words}: {told}")
    return told


@fault("restart-held", "a package whose script restarts a service, three times over")
def restart_held(stage: Stage) -> str:
    """No fault yet: the service is restarted once, with the guests paused, whatever the package manager takes."""
    stage.open()
    with _offered(stage, script=f"sleep 9; {_RESTART}; {_RESTART}; deb-systemd-invoke restart vmp-chaos-switch.service"):
        told = _well(stage, _update(stage), 2)
        expect("guests paused" in told, f"they should have been paused: {told}")
    stage.see_all_well()
    return told


@fault("restart-held-module-killed", "module killed while it applies packages with restarts held back")
def restart_held_module_killed(stage: Stage) -> str:
    """The package manager goes on, the service stays as it was, nobody is paused; the next run does what is left, once."""
    stage.open()
    with _offered(stage, script=f"{_RESTART}; touch {_FOLDER}/asked; while test ! -e {_FOLDER}/go-on; do sleep 0.2; done"):
        run = _update(stage)
        wait_for("the script of the package", lambda: run.ended() or stage.host.shell(f"ls {_FOLDER}/asked", check=False), PATIENCE)
        stage.host.shell("pkill -KILL -f [A]nsiballZ_host_update_apply || pkill -KILL -f '[h]ost_update_apply'")
        stage.host.shell(f"touch {_FOLDER}/go-on")
        told = _failed(stage, run)
        wait_for("the end of the package manager", lambda: _call(stage, "state")["package"] == "2 installed", PATIENCE)
        found = _call(stage, "state")
        expect(found["starts"] == 1 and "restart vmp-chaos-switch" in found["record"], f"the service should be as it was, and its restart on record: {found}")
        expect(all(stage.stops(f"chaos-{number}") == 0 for number in (1, 2, 3)), "nobody should have been paused")
        again = _well(stage, _update(stage), 2)
    stage.see_all_well()
    return f"{told} || {again}"


@fault("restart-held-fails", "a service does not come up again in the pause")
def restart_held_fails(stage: Stage) -> str:
    """The guests are resumed at once, the operator reads which; after the repair the next run restarts it."""
    stage.open()
    with _offered(stage, start=f"test -e {_FOLDER}/repaired"):
        told = _failed(stage, _update(stage), "systemctl restart vmp-chaos-switch.service", "every guest that had been paused was resumed")
        expect("restart" in _call(stage, "state")["record"], "its restart should still be on record")
        stage.host.shell(f"touch {_FOLDER}/repaired")
        again = _well(stage, _update(stage), 3)
    stage.see_all_well()
    return f"{told} || {again}"


@fault("restart-held-hangs", "a restart in the pause outlasts the limit", limit=6)
def restart_held_hangs(stage: Stage) -> str:
    """The guests run again by the deadline, whatever the service does."""
    stage.open()
    with _offered(stage, start="sleep 20"):
        told = _failed(stage, _update(stage, host_update_pause_budget=3), "the update outlasts the pause limit of 6 s")
    stage.see_all_well()
    return told


def _damaged(name: str, text: str, command: str) -> None:
    @fault(f"restart-record-{name}", f"the record of held-back restarts is {text}")
    def damaged(stage: Stage) -> str:
        """Refused, with the file; nothing is applied, nobody is paused."""
        stage.open()
        with _offered(stage):
            stage.host.shell(f"mkdir -p /run/vm_preserving; {command}")
            told = _failed(stage, _update(stage), _RECORD, "no guest was touched")
            expect(_call(stage, "state")["package"] == "1 installed", "nothing should have been applied")
        stage.see_all_well()
        return told


_damaged("symlink", "a symbolic link", f"ln -s /etc/passwd {_RECORD}")
_damaged("folder", "a folder", f"mkdir {_RECORD}")


@fault("restart-record-garbage", "the record of held-back restarts is 50 MB of garbage")
def restart_record_garbage(stage: Stage) -> str:
    """What is no line of ours asks for nothing; the update goes its way."""
    stage.open()
    with _offered(stage):
        stage.host.shell(f"mkdir -p /run/vm_preserving; head -c 50000000 /dev/urandom > {_RECORD}")
        told = _well(stage, _update(stage), 2)
    stage.see_all_well()
    return told


@fault("package-lock-taken", "another package manager holds the lock when the guests are about to be paused, and when packages are")
def package_lock_taken(stage: Stage) -> str:
    """Waited for as long as the operator says; then it is told who, and nobody is paused."""
    stage.open()
    holder = "import fcntl, time; f = open(\\\"/var/lib/dpkg/lock-frontend\\\", \\\"r+\\\"); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)"
    with _offered(stage):
        stage.host.shell(f"systemd-run --quiet --collect --unit=vmp-chaos-lock python3 -c \"{holder}\"")
        try:
            told = _failed(stage, _update(stage, host_update_lock_timeout=2), "lock-frontend")
            expect(_call(stage, "state")["package"] == "1 installed", "nothing should have been applied")
            answer = stage.commands(["true"], package_lock=1)
            expect(answer.failed and answer.code == "package_lock" and "python3" in answer.message, f"it should say who: {answer.message}")
            moved = stage.operator.module("guest_refresh", pause_limit=stage.limit)
            expect(moved.failed and moved.code == "package_lock", f"no guest should be moved meanwhile: {moved.message}")
        finally:
            stage.host.shell("systemctl stop vmp-chaos-lock", check=False)
        expect(all(stage.stops(f"chaos-{number}") == 0 for number in (1, 2, 3)), "nobody should have been paused")
    stage.see_all_well()
    return f"{told} || {answer.message}"
