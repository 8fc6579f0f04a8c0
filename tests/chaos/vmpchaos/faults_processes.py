# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what pauses and resumes is killed, cut off or stopped: controller, SSH, module, guard, libvirtd."""

from __future__ import annotations

from typing import Any

from .catalogue import fault
from .errors import expect
from .host import wait_for
from .stage import PATIENCE, Stage, journal_has

#: An update that outlasts every window. Its number is how on_host.clean finds what is left of it.
UPDATE = ("sleep", "3017")
_SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


def opener(stage: Stage) -> int:
    """The process on the host that opened the window, by the ledger."""
    return wait_for("the ledger's window", lambda: stage.host.call("ledger"), PATIENCE)["window"]["opener_pid"]


def guard(stage: Stage) -> int:
    """The guard's process, by systemd."""
    text = stage.host.shell("systemctl show --property=MainPID --value 'vm-preserving-guard-*'")
    return int(text.split()[0])


def _pause_task(stage: Stage) -> dict[str, Any]:
    return {"name": "Pause", "vm_preserving.maintenance.guest_pause": stage.options()}


@fault("controller-killed", "controller killed (SIGKILL) just after the suspend", limit=6, fast=True)
def controller_killed(stage: Stage) -> str:
    """ansible-playbook and its workers vanish in the window; no resume is asked for any more."""
    stage.open()
    run = stage.operator.start_playbook([_pause_task(stage), {"name": "Update", "ansible.builtin.command": " ".join(UPDATE)}])
    stage.wait_in("paused")
    run.kill()
    stage.see_all_well()
    told = stage.operator.recover()
    expect("failed=0" in told, f"recover.yml should find everything well: {told[-400:]}")
    return f"journal: {stage.journal()}"


@fault("ssh-cut", "SSH session cut (sshd and the control master killed) in the window")
def ssh_cut(stage: Stage) -> str:
    """The module's own SSH session is killed on the host."""
    stage.open()
    run = stage.start_commands(list(UPDATE))
    stage.wait_in("paused")
    module = opener(stage)
    sessions = stage.host.call("session_of", pid=module)
    expect(sessions, "the module should have come by SSH")
    stage.signal("KILL", *sessions)
    answer = run.answer(PATIENCE)
    expect(answer.failed, f"ansible should report the lost connection, and said {answer.verdict}")
    stage.see_all_well()
    after = stage.operator.module("guest_info", name=stage.names())
    return f"{answer.verdict} {answer.message}; then guest_info: window closed by {after.result['window']['closed_by']}"


@fault("module-killed-suspending", "module killed (SIGKILL) in the middle of suspending, one QEMU stopped", fast=True)
def module_killed(stage: Stage) -> str:
    """The suspend of a stopped QEMU hangs; the module dies in that time; the guests paused by then are resumed, the late one too."""
    stage.open()
    pid = stage.freeze("chaos-2")
    run = stage.start_pause(pause_budget=7.0)
    stage.wait_in("paused", ["chaos-1", "chaos-3"])
    stage.signal("KILL", opener(stage))
    answer = run.answer(PATIENCE)
    expect(answer.failed, f"ansible should report the dead module, and said {answer.verdict}")
    stage.wait_in("running", ["chaos-1", "chaos-3"])
    journal_has(stage, "chaos-2")
    late = stage.thaw("chaos-2", pid)
    expect(late < stage.limit, f"once its QEMU answered, chaos-2 stood still for {late:.2f} s")
    stage.see_all_well()
    return f"{answer.verdict} {answer.message}; journal: {stage.journal()}"


@fault("guard-killed", "guard killed (SIGKILL) in the window", limit=6, fast=True)
def guard_killed(stage: Stage) -> str:
    """Nothing of ours is left but what process 1 knows."""
    stage.open()
    window = stage.pause()
    stage.signal("KILL", guard(stage))
    stage.see_all_well()
    return stage.told_afterwards(window)


@fault("guard-and-module-killed", "guard and module killed (SIGKILL) in the window")
def guard_and_module_killed(stage: Stage) -> str:
    """As the guard alone, with a module that would have resumed the guests ahead of it."""
    stage.open()
    run = stage.start_commands(list(UPDATE))
    stage.wait_in("paused")
    stage.signal("KILL", guard(stage), opener(stage))
    answer = run.answer(PATIENCE)
    stage.see_all_well()
    return f"{answer.verdict} {answer.message}; journal: {stage.journal()}"


@fault("libvirtd-stopped", "libvirtd stopped, with its sockets, before the deadline", limit=8, fast=True)
def libvirtd_stopped(stage: Stage) -> str:
    """Only QEMU's own monitors are left; when libvirtd comes back it learns that they run."""
    stage.open()
    window = stage.pause()
    stage.host.shell(f"systemctl stop {_SOCKETS} libvirtd.service")
    stage.wait_in("running")
    expect("libvirtd" not in stage.host.shell("ps -eo comm"), "libvirtd should still be stopped")
    stage.host.shell(f"systemctl start {_SOCKETS} libvirtd.service")
    stage.see_all_well()
    return stage.told_afterwards(window)


@fault("libvirtd-stopped-and-resumed", "libvirtd stopped, with its sockets; guest_resume before the deadline", limit=15)
def libvirtd_stopped_and_resumed(stage: Stage) -> str:
    """The module does it through the monitors too, and says so."""
    stage.open()
    window = stage.pause()
    stage.host.shell(f"systemctl stop {_SOCKETS} libvirtd.service")
    answer = stage.resume(window)
    stage.wait_in("running")
    stage.host.shell(f"systemctl start {_SOCKETS} libvirtd.service")
    for name in stage.names():
        stage.virsh("resume", name, check=False)  # what the message should say: libvirt may not know it yet
    stage.see_all_well()
    told = f"{answer.verdict} {answer.message if answer.failed else ''} {answer.guest('chaos-1').get('message', '')} {answer.result.get('warnings', '')}"
    expect(answer.guest("chaos-1").get("outcome") == "resumed", f"it should say that the guests were resumed: {told}")
    return told


@fault("libvirtd-killed", "libvirtd killed (SIGKILL) in the window; systemd starts it anew")
def libvirtd_killed(stage: Stage) -> str:
    """It comes back by itself and has forgotten why the guests are paused."""
    stage.open()
    window = stage.pause()
    stage.host.shell("kill -KILL $(cat /run/libvirtd.pid)")
    stage.see_all_well()
    return stage.told_afterwards(window)


def _wait_for_age(stage: Stage) -> None:
    """The guard lets a young libvirtd be: it may be starting."""
    wait_for("a libvirtd that is not young", lambda: int(stage.host.shell("ps -o etimes= -p $(cat /run/libvirtd.pid)")) > 12, PATIENCE)


@fault("libvirtd-hangs", "libvirtd SIGSTOPped in the window", limit=10)
def libvirtd_hangs(stage: Stage) -> str:
    """It holds the monitors and does not answer: the last resort is to kill it."""
    stage.open()
    _wait_for_age(stage)
    stage.pause()
    stage.host.shell("kill -STOP $(cat /run/libvirtd.pid)")
    stage.wait_in("running")
    stage.see_all_well()
    return f"journal: {stage.journal()}"


@fault("libvirtd-hangs-one-guest", "libvirtd SIGSTOPped in a window of exactly one guest", limit=10)
def libvirtd_hangs_one_guest(stage: Stage) -> str:
    """One monitor that does not greet is as good a sign as many."""
    stage.open()
    _wait_for_age(stage)
    answer = stage.start_pause(name=["chaos-1"]).answer(PATIENCE)
    expect(answer.verdict == "CHANGED", f"guest_pause should have paused: {answer.message}")
    stage.wait_in("paused", ["chaos-1"])
    stage.host.shell("kill -STOP $(cat /run/libvirtd.pid)")
    stage.wait_in("running", ["chaos-1"])
    stage.see_all_well()
    return f"journal: {stage.journal()}"


@fault("monitor-away", "monitor socket of a guest moved away before the pause", fast=True)
def monitor_away(stage: Stage) -> str:
    """Without libvirtd that guest could not be resumed: refused while everything is well."""
    stage.open()
    stage.host.call("move_monitor", name="chaos-2", away=True)
    try:
        answer = stage.refused()
    finally:
        stage.host.call("move_monitor", name="chaos-2", away=False)
    expect("'chaos-2'" in answer.message and "monitor" in answer.message, f"it should name the guest and why: {answer.message}")
    stage.see_all_well()
    return answer.message


@fault("libvirtd-restarted", "libvirtd restarted in the window")
def libvirtd_restarted(stage: Stage) -> str:
    """The usual upgrade of libvirt; the guests are resumed by the module, not by the guard."""
    stage.open()
    answer = stage.commands(["systemctl", "restart", "libvirtd"])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
    stage.see_all_well()
    rows = "; ".join(f"{one['name']}: {one['message']} ({one['paused_for']} s)" for one in answer.result["guests"] if one.get("outcome"))
    return f"{answer.verdict}: window closed by {answer.result['window']['closed_by']}: {rows}"


@fault("two-runs", "two runs at once", fast=True)
def two_runs(stage: Stage) -> str:
    """The second is refused, with who holds the window and since when; the first goes on."""
    stage.open()
    run = stage.start_commands(["sleep", "6"], name=["chaos-1", "chaos-2"], pause_limit=stage.limit)
    stage.wait_in("paused", ["chaos-1", "chaos-2"])
    second = stage.start_pause(name=["chaos-3"]).answer(PATIENCE)
    expect(second.failed and second.code == "window_busy", f"the second run should be refused: {second.verdict} {second.message}")
    expect(stage.stops("chaos-3") == 0, "the second run should not have paused chaos-3")
    expect("since 20" in second.message and "opened by root" in second.message, f"it should say who and since when: {second.message}")
    first = run.answer(PATIENCE)
    expect(first.verdict == "CHANGED", f"the first run should have succeeded: {first.message}")
    stage.see_all_well()
    return f"{second.verdict} {second.message}"


@fault("lock-of-a-dead-run", "a run that died while it held the lock")
def lock_of_a_dead_run(stage: Stage) -> str:
    """The kernel gives up the lock with the process: the next run takes over."""
    stage.open()
    pid = stage.freeze("chaos-2")
    run = stage.start_pause(pause_budget=7.0)
    stage.wait_in("paused", ["chaos-1", "chaos-3"])
    second = stage.start_pause().answer(PATIENCE)
    expect(second.code == "window_busy", f"while the first lives the second should be refused: {second.verdict} {second.message}")
    stage.host.shell(f"kill -KILL {opener(stage)}", check=False)
    run.answer(PATIENCE)
    stage.thaw("chaos-2", pid)
    stage.see_all_well()
    third = stage.commands(["true"])
    expect(third.verdict == "CHANGED", f"the next run should take over: {third.message}")
    return f"{second.verdict} {second.message}"
