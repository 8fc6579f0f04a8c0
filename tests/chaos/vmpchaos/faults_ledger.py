# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: the ledger cannot be written, or says what we did not write; before the pause and in the window."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from .catalogue import fault
from .errors import expect
from .guests import LEDGER_FOLDER as STATE
from .stage import Stage

_LEDGER = f"{STATE}/ledger.json"
_FULL = f"dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null; dd if=/dev/zero of={STATE}/filler2 bs=1 2>/dev/null; true"
#: A file system of its own for the ledger, with what is in it: one that can be made read-only, or be filled.
_OWN_FILE_SYSTEM = (
    f"mkdir -p {STATE} && cp -a {STATE} /run/vmp-chaos/kept && mount -t tmpfs -o mode=0700,size=1m tmpfs {STATE} && "
    f"cp -a /run/vmp-chaos/kept/. {STATE}/"
)

#: Name to what people call it and how it is done to the ledger file, by a shell.
DAMAGE = {
    "truncated": ("cut off in the middle", f"truncate -s 100 {_LEDGER}"),
    "empty": ("empty", f"truncate -s 0 {_LEDGER}"),
    "garbage": ("garbage", f"head -c 5000 /dev/urandom > {_LEDGER}"),
    "deep": ("JSON nested 200 000 deep", f"head -c 200000 /dev/zero | tr '\\0' '[' > {_LEDGER}"),
    "symlink": ("a symbolic link", f"mv {_LEDGER} /run/vmp-chaos/real.json && ln -s /run/vmp-chaos/real.json {_LEDGER}"),
    "fifo": ("a named pipe, which blocks its readers", f"rm {_LEDGER} && mkfifo -m 600 {_LEDGER}"),
    "folder": ("a folder", f"rm {_LEDGER} && mkdir {_LEDGER}"),
    "other-owner": ("of another owner", f"chown operator {_LEDGER}"),
    "huge": ("of 1 GiB", f"truncate -s 1G {_LEDGER}"),
    "version": ("of a later version", f"sed -i 's/\"version\": 2/\"version\": 3/' {_LEDGER}"),
}  # fmt: skip


def _with_a_closed_window(stage: Stage) -> None:
    """A host on which a window has been before, so that there is a ledger to damage."""
    stage.open()
    answer = stage.commands(["true"])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")


def _refused_for_the_ledger(stage: Stage, stops_before: int) -> str:
    """The pause is refused with the ledger as the reason, and no guest stops."""
    answer = stage.start_pause().answer(90)
    expect(answer.failed and answer.code in ("ledger", "guard"), f"it should be refused for the ledger: {answer.verdict} {answer.message}")
    expect(sum(map(stage.stops, stage.names())) == stops_before, "no guest should have been stopped")
    return answer.message


@fault("ledger-damaged-before", "ledger " + ", ".join(text for text, _shell in DAMAGE.values()) + "; before the pause")
def ledger_damaged_before(stage: Stage) -> str:
    """Each is refused, with what to do; nothing is guessed."""
    _with_a_closed_window(stage)
    stage.host.shell(f"cp -a {_LEDGER} /run/vmp-chaos/good.json")
    stops = sum(map(stage.stops, stage.names()))
    told = ""
    for name, (_text, shell) in DAMAGE.items():
        stage.host.shell(shell)
        said = _refused_for_the_ledger(stage, stops)
        told = told or f"{name}: {said}"
        stage.host.shell(f"rm -rf {_LEDGER} && cp -a /run/vmp-chaos/good.json {_LEDGER}")
    stage.see_all_well()
    return told


@fault("ledger-truncated-before", "ledger cut off in the middle, before the pause", fast=True)
def ledger_truncated_before(stage: Stage) -> str:
    """One of them, for the fast subset."""
    _with_a_closed_window(stage)
    stage.host.shell(DAMAGE["truncated"][1])
    told = _refused_for_the_ledger(stage, sum(map(stage.stops, stage.names())))
    stage.see_all_well()
    return told


@fault("ledger-unwritable-before", "ledger's folder read-only, then a file, before the pause")
def ledger_unwritable_before(stage: Stage) -> str:
    """Without a ledger no guest is paused."""
    stage.open()
    stage.host.shell(f"{_OWN_FILE_SYSTEM} && mount -o remount,ro {STATE}")
    told = _refused_for_the_ledger(stage, 0)
    stage.host.shell(f"umount {STATE} && rm -rf {STATE} && touch {STATE}")
    told += "; then: " + _refused_for_the_ledger(stage, 0)
    stage.host.shell(f"rm {STATE}")
    stage.see_all_well()
    return told


@fault("disk-full-before", "disk full before the pause")
def disk_full_before(stage: Stage) -> str:
    """Full for everything, and full for all but the guard's program."""
    stage.open()
    stage.host.shell(f"{_OWN_FILE_SYSTEM} && {_FULL}")
    told = _refused_for_the_ledger(stage, 0)
    stage.host.shell(f"rm {STATE}/filler2 && truncate -s -16k {STATE}/filler")
    again = stage.start_pause().answer(90)
    expect(again.failed and not sum(map(stage.stops, stage.names())), f"with 16 KiB left it should be refused: {again.verdict} {again.message}")
    stage.see_all_well()
    return f"{told}; with 16 KiB left: {again.message}"


def _in_the_window(stage: Stage, damage: Callable[[], Any]) -> str:
    """Pause, do something to the ledger, ask for the resume, and see that the guard resumes all in time. Returns what was reported."""
    stage.open()
    stage.pause()
    damage()
    answer = stage.resume()
    stage.see_all_well()
    return f"guest_resume: {answer.verdict} {answer.message if answer.failed else ''}; journal: {stage.journal()}"


def _damaged(name: str, text: str, shell: str) -> None:
    @fault(f"ledger-{name}-in-window", f"ledger {text}; in the window")
    def act(stage: Stage) -> str:
        return _in_the_window(stage, lambda: stage.host.shell(shell))

    act.__doc__ = f"The ledger becomes {text} in the window."


for _name, (_words, _shell) in DAMAGE.items():
    _damaged(_name, _words, _shell)
_damaged("removed", "removed with its folder", f"rm -rf {STATE}")
_damaged("folder-a-file", "replaced with its folder by a file", f"rm -rf {STATE} && touch {STATE}")


@fault("ledger-unwritable-in-window", "ledger's file system becomes read-only in the window")
def ledger_unwritable_in_window(stage: Stage) -> str:
    """The guard reads it, resumes, and says that it cannot write."""
    return _in_the_window(stage, lambda: stage.host.shell(f"{_OWN_FILE_SYSTEM} && mount -o remount,ro {STATE}"))


@fault("disk-full-in-window", "disk full in the window")
def disk_full_in_window(stage: Stage) -> str:
    """As read-only."""
    return _in_the_window(stage, lambda: stage.host.shell(f"{_OWN_FILE_SYSTEM} && {_FULL}"))


Change = Callable[[Stage, dict[str, Any]], None]


def _deadline_far(_stage: Stage, window: dict[str, Any]) -> None:
    window["deadline"] += 1e6
    window["pause_limit"] = 1e6


def _deadline_not_a_number(_stage: Stage, window: dict[str, Any]) -> None:
    window["deadline"] = float("nan")


def _no_guests(_stage: Stage, window: dict[str, Any]) -> None:
    window["guests"] = []


def _closed(_stage: Stage, window: dict[str, Any]) -> None:
    window["closed_at"], window["closed_by"] = window["opened_at"], "module"


def _another_window(_stage: Stage, window: dict[str, Any]) -> None:
    window["id"] = "00000000-0000-4000-8000-000000000000"


def _other_boot(_stage: Stage, window: dict[str, Any]) -> None:
    window["boot_id"] = "00000000-0000-4000-8000-000000000000"


def _others_guests(stage: Stage, window: dict[str, Any]) -> None:
    window["guests"] = [stage.host.call("identity", name=name) for name in ("chaos-owner", "chaos-aside")]


def _opener_is_libvirtd(stage: Stage, window: dict[str, Any]) -> None:
    """The guard ends a process that is still suspending guests at the deadline: this says that it is libvirtd."""
    facts = stage.host.call("process_facts", pid=int(stage.host.shell("cat /run/libvirtd.pid")))
    window["opener_pid"], window["opener_start_time"] = facts["pid"], facts["start_time"]
    for entry in window["guests"]:
        entry["phase"] = "pausing"


#: Name to what people call it, and what is made of the true document.
HOSTILE: dict[str, tuple[str, Change]] = {
    "deadline-far": ("that says a deadline in eleven days", _deadline_far),
    "deadline-nan": ("that says a deadline that is no number", _deadline_not_a_number),
    "no-guests": ("that names no guests any more", _no_guests),
    "closed": ("that says that the window is closed while guests are paused", _closed),
    "another-window": ("that says another window's id", _another_window),
    "other-boot": ("that says another boot", _other_boot),
    "others-guests": ("that names others' guests instead, truthfully", _others_guests),
    "opener-libvirtd": ("that says that libvirtd opened the window", _opener_is_libvirtd),
}


def _hostile(name: str, text: str, change: Change) -> None:
    @fault(f"ledger-{name}-in-window", f"ledger {text}; in the window", fast=name == "others-guests")
    def act(stage: Stage) -> str:
        def damage() -> None:
            document = copy.deepcopy(stage.host.call("ledger"))
            change(stage, document["window"])
            stage.host.call("put_ledger", document=document)

        stage.open()
        stage.pause()
        libvirtd = stage.host.shell("cat /run/libvirtd.pid")
        damage()
        # No resume is asked for here: the module believes the ledger of its own user, the guard has seen the true one.
        stage.wait_in("running", timeout=stage.limit + 30)
        expect(stage.host.shell("cat /run/libvirtd.pid") == libvirtd, "libvirtd should not have been killed")
        stage.see_all_well()
        return f"journal: {stage.journal()}"

    act.__doc__ = f"The ledger becomes one {text}."


for _name, (_words, _change) in HOSTILE.items():
    _hostile(_name, _words, _change)


def _forged(stage: Stage, names: list[str]) -> dict[str, Any]:
    """A ledger that we did not write: an open window, past its deadline, of others' guests. Every single value is true."""
    boot = stage.host.shell("cat /proc/sys/kernel/random/boot_id").strip()
    facts = stage.host.call("process_facts", pid=1)
    return {"version": 2, "window": {
        "id": "11111111-1111-4111-8111-111111111111", "uri": "qemu:///system", "boot_id": boot, "opener": "root", "opener_pid": facts["pid"],
        "opener_start_time": facts["start_time"], "opened_at": "2026-01-01T00:00:00Z", "pause_limit": 30.0, "deadline": time.monotonic() - 60,
        "guests": [stage.host.call("identity", name=name) for name in names], "correct_clocks": True,
        "clock_tolerance": 0.1, "closed_at": None, "closed_by": None, "paused_within": None,
        "resumed_within": None,
    }}  # fmt: skip


@fault("ledger-forged-before", "ledger forged before: an open window of others' guests, with libvirtd and without")
def ledger_forged_before(stage: Stage) -> str:
    """recover leaves what does not carry our mark, through libvirt and through the monitors."""
    stage.open()
    stage.host.call("put_ledger", document=_forged(stage, ["chaos-owner", "chaos-aside"]))
    answer = stage.resume()
    expect(stage.all_in("paused", ["chaos-owner"]), "chaos-owner should still be paused")
    sockets = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
    stage.host.call("put_ledger", document=_forged(stage, ["chaos-owner", "chaos-aside"]))
    stage.host.shell(f"systemctl stop {sockets} libvirtd.service")
    again = stage.resume()
    stage.host.shell(f"systemctl start {sockets} libvirtd.service")
    expect(stage.all_in("paused", ["chaos-owner"]), "chaos-owner should still be paused after a recovery without libvirtd")
    stage.see_all_well()
    without = again.guest("chaos-owner").get("message") or again.message
    return f"chaos-owner: {answer.guest('chaos-owner').get('message') or answer.message}; without libvirtd: {without}"
