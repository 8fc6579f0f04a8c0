# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: the host's clock is set, the host is rebooted."""

from __future__ import annotations

import base64
import subprocess
import tempfile
import time
from pathlib import Path

from . import guests
from .catalogue import fault
from .errors import Broken, expect
from .guests import Guest
from .host import wait_for
from .stage import PATIENCE, Stage

_SHIFT_SOURCE = Path(__file__).with_name("clock_shift.c")
_SHIFT = f"{guests.FOLDER}/clock_shift.so"


def _another_wall_clock(stage: Stage) -> None:
    """Every process of the host, process 1 and libvirtd included, sees a wall clock that a file sets (see clock_shift.c).

    A host of the lab shares its clock with the machine, so it cannot simply be set.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "clock_shift.so"
        try:
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, _SHIFT_SOURCE], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Broken(f"this fault needs a C compiler (package gcc): {error}") from error
        text = base64.b64encode(library.read_bytes()).decode()
    stage.host.shell(f"base64 -d > {_SHIFT}", text_in=text)
    _set_clock(stage, 0)
    stage.host.shell(f"echo {_SHIFT} > /etc/ld.so.preload && systemctl daemon-reexec && systemctl restart libvirtd")
    stage.host.shell("grep -q clock_shift /proc/1/maps && grep -q clock_shift /proc/$(cat /run/libvirtd.pid)/maps")


def _set_clock(stage: Stage, seconds: int) -> None:
    """Set the host's wall clock to so many seconds ahead of the machine's, at once."""
    stage.host.shell(f"echo {seconds} > {guests.FOLDER}/offset.new && mv {guests.FOLDER}/offset.new {guests.FOLDER}/offset")


def _see_clock(stage: Stage, seconds: int) -> None:
    """See that programs of the host take the clock for that."""
    ahead = int(stage.host.shell("date +%s")) - time.time()
    expect(abs(ahead - seconds) < 30, f"the host's wall clock should be ahead by {seconds} s, it is by {ahead:.0f} s")


def _clock_set(stage: Stage, first: int, then: int) -> str:
    """A window in which the clock is set from one offset to another; the guard ends it."""
    stage.open([*guests.bystanders()])
    _another_wall_clock(stage)
    # After the library, so that their QEMUs have it too.
    stage.add([Guest("chaos-1"), Guest("chaos-2"), Guest("chaos-3")])
    _set_clock(stage, first)
    window = stage.pause()
    stage.host.shell("grep -q clock_shift /proc/$(systemctl show --property=MainPID --value 'vm-preserving-guard-*')/maps")
    _set_clock(stage, then)
    _see_clock(stage, then)
    stage.see_all_well()
    return stage.told_afterwards(window)


@fault("clock-set-forward", "host clock set forward by an hour in the window")
def clock_set_forward(stage: Stage) -> str:
    """The deadline is on the monotonic clock."""
    return _clock_set(stage, 0, 3600)


@fault("clock-set-back", "host clock set back by an hour in the window")
def clock_set_back(stage: Stage) -> str:
    """As forward."""
    return _clock_set(stage, 0, -3600)


@fault("clock-set-and-guard-killed", "host clock set back by an hour in the window, and the guard killed")
def clock_set_and_guard_killed(stage: Stage) -> str:
    """The timer of process 1 is on the monotonic clock too."""
    stage.open([*guests.bystanders()])
    _another_wall_clock(stage)
    stage.add([Guest("chaos-1"), Guest("chaos-2")])
    window = stage.pause()
    _set_clock(stage, -3600)
    _see_clock(stage, -3600)
    stage.host.shell("kill -KILL $(systemctl show --property=MainPID --value 'vm-preserving-guard-*')")
    stage.see_all_well()
    return stage.told_afterwards(window)


@fault("host-rebooted", "host rebooted in the window", limit=30, last=True)
def host_rebooted(stage: Stage) -> str:
    """The guests are lost with their host; the ledger knows that it was another boot, and touches nothing of this one."""
    again = Guest("chaos-2")
    stage.open([Guest("chaos-1"), again, *guests.bystanders()])
    stage.pause()
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = stage.host.shell(boot)
    stage.host_is_lost()
    stage.host.shell("systemctl reboot", check=False)
    stage.operator.disconnect()
    wait_for("the host's end", lambda: not stage.host.answers(), PATIENCE)
    wait_for("an SSH login after the reboot", stage.host.answers, 180)
    expect(stage.host.shell(boot) != before, "the host should have been rebooted")
    wait_for("libvirt after the reboot", lambda: "chaos-2" in stage.virsh("list", "--all", check=False), PATIENCE)
    # Its owner has started one of them, and paused it: the same name and UUID as in the ledger.
    stage.host.call("prepare")
    stage.watch()
    stage.add([Guest(again.name, role="owner", uuid=again.uuid)])
    refused = stage.start_pause().answer(PATIENCE)
    expect(refused.failed and refused.code == "window_busy", f"before a recovery it should be refused: {refused.verdict} {refused.message}")
    answer = stage.resume()
    expect(not answer.failed, f"the recovery should succeed: {answer.message}")
    expect(stage.all_in("paused", [again.name]), "chaos-2, which its owner has paused since, should still be paused")
    return f"{refused.message}; recovery: {answer.guest('chaos-1')['message']}"
