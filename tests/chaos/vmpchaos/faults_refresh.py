# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: guests are moved to the installed QEMU, each saved and restored at once, and everything on the way breaks."""

from __future__ import annotations

import functools
from pathlib import Path

from . import catalogue
from .errors import expect
from .host import wait_for
from .operator import Run
from .saved_stage import SavedStage
from .stage import PATIENCE

fault = functools.partial(catalogue.fault, limit=30.0, last=True, stage=SavedStage)
_STALE = (Path(__file__).resolve().parents[2] / "bench" / "make_stale.py").read_text(encoding="utf-8")
_QEMU = "/usr/bin/qemu-system-x86_64"
#: How the memory of a guest of each kind goes.
WAYS = {"normal": "copied", "transient": "copied, a transient guest", "shared": "in place", "owner-paused": "copied, paused by its owner"}


def make_stale(stage: SavedStage) -> None:
    """Another QEMU is installed than the guests run on."""
    stage.host.shell("python3 -", text_in=_STALE)


def _begin(stage: SavedStage, what: str, name: str) -> Run:
    """Make all guests stale, begin to move them, and have a process stopped at its moment."""
    stage.open(autostart=("normal",))
    make_stale(stage)
    stage.hold(what, name)
    run = stage.operator.start("guest_refresh", pause_limit=stage.limit)
    stage.held()
    return run


def _end(stage: SavedStage, run: Run, lives: bool = False) -> str:
    """What the module said, and how it ended.

    :param lives: The module was let be: it may have got over it.
    """
    answer = run.answer(180)
    expect(answer.failed or lives, f"it should have failed, and said {answer.verdict}")
    told = stage.told(stage.wait_closed(120))
    again = stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit)
    expect(not again.failed, f"the next run should carry on: {again.message}")
    stale = [one["name"] for one in stage.operator.module("guest_refresh", pause_limit=stage.limit).result["guests"] if one["stale"]]
    expect(not stale, f"then no guest should be left on the old QEMU: {', '.join(stale)}")
    return f"{answer.verdict} {answer.message[-300:] if answer.failed else ''}; {told}"


def _module_killed(what: str, kind: str, stage: SavedStage) -> str:
    run = _begin(stage, what, stage.name(kind))
    if what != "saved":  # there the stopper kills it
        stage.kill(stage.opener())
    stage.release()
    return _end(stage, run)


def _libvirtd_killed(what: str, kind: str, stage: SavedStage) -> str:
    run = _begin(stage, what, stage.name(kind))
    stage.kill_libvirtd()
    stage.release()
    return _end(stage, run, lives=what == "restore")


def _all_killed(what: str, kind: str, stage: SavedStage) -> str:
    run = _begin(stage, what, stage.name(kind))
    stage.kill(stage.opener(), stage.guard())
    stage.kill_libvirtd()
    stage.release()
    return _end(stage, run)


_WHEN = {"save": "while a guest is saved", "saved": "when a guest is saved and not restored yet", "restore": "while a guest is restored"}
for _what, _kinds in (("save", ("normal", "shared")), ("saved", ("transient", "shared")), ("restore", ("normal", "transient", "shared", "owner-paused"))):
    for _kind in _kinds:
        fault(f"refresh-module-killed-{_what}-{_kind}", f"guest_refresh killed (SIGKILL) {_WHEN[_what]} ({WAYS[_kind]})")(
            functools.partial(_module_killed, _what, _kind)
        )
for _what, _kinds in (("save", ("normal", "shared")), ("restore", ("normal", "transient", "shared"))):
    for _kind in _kinds:
        fault(f"refresh-libvirtd-killed-{_what}-{_kind}", f"libvirtd killed (SIGKILL) {_WHEN[_what]} ({WAYS[_kind]})")(
            functools.partial(_libvirtd_killed, _what, _kind)
        )
for _what, _kind in (("save", "transient"), ("restore", "normal"), ("restore", "shared")):
    fault(f"refresh-all-killed-{_what}-{_kind}", f"guest_refresh, guard and libvirtd killed (SIGKILL) {_WHEN[_what]} ({WAYS[_kind]})")(
        functools.partial(_all_killed, _what, _kind)
    )


def _qemu_fails(kind: str, stage: SavedStage) -> str:
    """The installed QEMU does not start any more once the guest is saved, and does again later."""
    name = stage.name(kind)
    run = _begin(stage, "save", name)
    stage.host.shell(f"cp -p {_QEMU} {_QEMU}.kept && printf '#!/bin/sh\\nexit 1\\n' > {_QEMU}.new && chmod 755 {_QEMU}.new && mv {_QEMU}.new {_QEMU}")
    stage.release()
    answer = run.answer(180)
    expect(answer.failed and name in answer.message, f"it should name the guest: {answer.verdict} {answer.message}")
    expect(stage.phases()[name] == "moving", f"the guest should still be saved: {stage.phases()}")
    stage.host.shell(f"mv {_QEMU}.kept {_QEMU}")
    told = stage.told(stage.wait_closed(120))
    wait_for("the guest", lambda: (stage.look()[name] or {}).get("state") in ("running", "paused"), PATIENCE)
    return f"{answer.message}; {told}"


for _kind in ("normal", "transient", "shared"):
    fault(f"refresh-qemu-fails-{_kind}", f"the installed QEMU does not start for a while, once a guest is saved ({WAYS[_kind]})")(
        functools.partial(_qemu_fails, _kind)
    )


# --- the way back ---------------------------------------------------------------------------------------------------------------------

_KEPT = "/var/lib/vm_preserving/qemu"
#: It starts like any other, as libvirt asks what it can do, and takes no saved state.
_REFUSING = f"""#!/bin/sh
case " $* " in *" -incoming "*) echo "qemu-system-x86_64: error while loading state for instance 0x0 of device 'chaos'" >&2; exit 1;; esac
exec {_QEMU}.kept "$@"
"""


def break_installed(stage: SavedStage) -> None:
    """The installed QEMU does not take up any state."""
    stage.host.shell(f"cp -p {_QEMU} {_QEMU}.kept && cat > {_QEMU}.new && chmod 755 {_QEMU}.new && mv {_QEMU}.new {_QEMU}", text_in=_REFUSING)


def repair_installed(stage: SavedStage) -> None:
    """The installed QEMU is whole again."""
    stage.host.shell(f"mv {_QEMU}.kept {_QEMU}")


def _outcome(stage: SavedStage, name: str) -> str:
    return next(str(one["outcome"]) for one in stage.wait_closed(120)["guests"] if one["name"] == name)


def none_kept(stage: SavedStage) -> None:
    """See that every guest is moved by the next refresh, and that no QEMU is kept that no guest needs."""
    again = stage.operator.module("guest_refresh", timeout=180, pause_limit=30)
    expect(not again.failed, f"the next run should move them: {again.message}")
    left = stage.host.shell(f"ls -A {_KEPT}").split()
    expect(not left, f"no QEMU should be kept any more: {left}")


def _qemu_refuses(kind: str, stage: SavedStage) -> str:
    """The installed QEMU refuses the state of a guest once that is saved: it comes back on the one that it had."""
    name = stage.name(kind)
    run = _begin(stage, "save", name)
    break_installed(stage)
    stage.release()
    answer = run.answer(180)
    expect(answer.failed and name in answer.message, f"it should name the guest: {answer.verdict} {answer.message}")
    told = stage.told(stage.wait_closed(120))
    expect(_outcome(stage, name) == "returned", f"it should be back on the QEMU that it had: {told}")
    stage.see_memory()
    repair_installed(stage)
    none_kept(stage)
    return f"{answer.message[-300:]}; {told}"


for _kind in ("normal", "transient", "shared"):
    fault(f"refresh-qemu-refuses-{_kind}", f"the installed QEMU refuses the state of a guest ({WAYS[_kind]})")(
        functools.partial(_qemu_refuses, _kind)
    )


def _qemu_refuses_alone(kind: str, stage: SavedStage) -> str:
    """As before, with the module killed as soon as the guest is saved."""
    name = stage.name(kind)
    stage.open()
    make_stale(stage)
    stage.hold("save", name)
    run = stage.operator.start("guest_refresh", pause_limit=stage.limit)
    stage.held()
    break_installed(stage)
    # Not moved on by the module: it is stopped before its image is whole, and killed after.
    opener = stage.opener()
    stage.host.shell(f"kill -STOP {opener}")
    stage.release()
    wait_for("the end of the guest's QEMU", lambda: (stage.look()[name] or {"id": -1})["id"] < 0, PATIENCE)
    stage.kill(opener)
    expect(run.answer(180).failed, "the module was killed")
    told = stage.told(stage.wait_closed(120))
    expect(_outcome(stage, name) == "returned", f"the guard should bring it back on the QEMU that it had: {told}")
    stage.see_memory()
    repair_installed(stage)
    none_kept(stage)
    return told


for _kind in ("normal", "shared"):
    _text = f"the installed QEMU refuses the state of a guest, and guest_refresh is killed once that is saved ({WAYS[_kind]})"
    fault(f"refresh-qemu-refuses-module-killed-{_kind}", _text)(
        functools.partial(_qemu_refuses_alone, _kind)
    )


def _kept_damaged(kind: str, stage: SavedStage) -> str:
    """Neither the installed QEMU nor the kept one takes it up: the guest stays saved until one of them does."""
    name = stage.name(kind)
    run = _begin(stage, "save", name)
    break_installed(stage)
    (kept,) = stage.host.shell(f"ls {_KEPT}/*/program{_QEMU}").split()
    stage.host.shell(f"mv {kept} {kept}.right && printf '#!/bin/sh\\nexit 1\\n' > {kept} && chmod 755 {kept}")
    stage.release()
    answer = run.answer(180)
    expect(answer.failed and "did not take it up" in answer.message and "did not either" in answer.message, f"it should say what both said: {answer.message}")
    expect(stage.phases()[name] == "moving", f"the guest should still be saved: {stage.phases()}")
    stage.host.shell(f"mv {kept}.right {kept}")
    told = stage.told(stage.wait_closed(120))
    expect(_outcome(stage, name) == "returned", f"then the guard should bring it back: {told}")
    stage.see_memory()
    repair_installed(stage)
    none_kept(stage)
    return f"{answer.message}; {told}"


for _kind in ("normal", "transient", "shared"):
    fault(f"refresh-kept-damaged-{_kind}", f"the installed QEMU refuses the state of a guest, and the kept one does not start for a while ({WAYS[_kind]})")(
        functools.partial(_kept_damaged, _kind)
    )


@fault("refresh-pair-broken", "the installed QEMU takes up nothing that was saved, by whichever QEMU")
def pair_broken(stage: SavedStage) -> str:
    """It is seen on a guest that is thrown away, and all others run on."""
    stage.open(autostart=("normal",))
    make_stale(stage)
    before = stage.look()
    stage.break_pair()
    answer = stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit)
    refused = answer.code == "refused" and "nothing is taken up today" in answer.message
    expect(refused, f"it should be refused with QEMU's words: {answer.verdict} {answer.message}")
    expect(stage.look() == before, f"no guest should have been touched: {stage.look()}")
    verdict = stage.judge()
    expect(not verdict.past and not verdict.touched, f"before the QEMU is mended: {verdict}")
    stage.mend_pair()
    again = stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit)
    expect(again.verdict == "CHANGED", f"then all should be moved: {again.message}")
    return answer.message


@fault("refresh-module-killed-proof", "guest_refresh killed (SIGKILL) while a guest that is thrown away is restored, whose QEMU hangs")
def module_killed_in_proof(stage: SavedStage) -> str:
    """Nobody counts what it leaves, and the next run removes it."""
    stage.open(autostart=("normal",))
    make_stale(stage)
    stage.hold("proof", "vm-preserving-")
    run = stage.operator.start("guest_refresh", pause_limit=stage.limit)
    stage.held()
    stage.kill(stage.holder())
    answer = run.answer(180)
    expect(answer.failed, f"ansible should report the dead module, and said {answer.verdict}")
    stage.release()
    found = stage.operator.module("guest_info", timeout=180, boot_id=False)
    expect(not found.failed, f"the guests should be there to be looked at: {found.message}")
    counted = [one["name"] for one in found.result["guests"] if one["name"] not in stage.names()]
    expect(not counted, f"these are no guests of the host: {counted}")
    again = stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit)
    expect(again.verdict == "CHANGED", f"the next run should carry on: {again.message}")
    return f"{answer.verdict}; then {again.verdict}"


@fault("refresh-proof-hangs", "the QEMU of a guest that is thrown away hangs, and the module is killed (SIGKILL); recovered before it goes on")
def proof_hangs(stage: SavedStage) -> str:
    """What it leaves is removed as it is."""
    stage.open()
    make_stale(stage)
    stage.hold("proof", "vm-preserving-")
    run = stage.operator.start("guest_refresh", pause_limit=stage.limit)
    stage.held()
    stage.kill(stage.holder())
    run.answer(180)
    answer = stage.operator.module("guest_resume", timeout=180, patience=60)
    expect(answer.verdict == "CHANGED", f"guest_resume should have removed it: {answer.verdict} {answer.message}")
    expect("interrupted proof" in answer.text, f"it should say so: {answer.text}")
    verdict = stage.judge()
    expect(not verdict.past and not verdict.touched, f"after that: {verdict}")
    return f"{answer.verdict}: what an interrupted proof had left was removed"


@catalogue.fault("saved-qemu-refuses-at-boot", "the QEMU installed before a reboot refuses the state of every guest", limit=900.0, last=True, stage=SavedStage)
def _qemu_refuses_at_boot(stage: SavedStage) -> str:
    """All guests wait on the other side of the boot, and come back on the QEMU that they had."""
    stage.open(autostart=("normal",))
    make_stale(stage)
    answer = stage.save()
    break_installed(stage)
    stage.well_rebooted(answer)
    told = stage.told(stage.wait_closed(PATIENCE))
    found = stage.restore(answer)
    outcomes = {one["name"]: one["outcome"] for one in found.result.get("guests", [])}
    expect(found.failed and set(outcomes.values()) == {"returned"}, f"guest_restore should find all back on the QEMU that they had: {outcomes} {found.message}")
    stage.see_memory()
    repair_installed(stage)
    none_kept(stage)
    return f"{found.message[-300:]}; {told}"
