# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: guests have owners who shut them down, reset and migrate them, and managers who watch them, beside an update."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import catalogue, guests
from .catalogue import fault
from .errors import expect
from .faults_refresh import make_stale
from .guests import Guest
from .host import Host, wait_for
from .operator import Answer, Run
from .saved_stage import SavedStage
from .stage import PATIENCE, Stage

_IN_THE_WINDOW, _GO_ON = f"{guests.FOLDER}/in-window", f"{guests.FOLDER}/go-on"
#: An update that goes on when it is told to.
HOLD = ["sh", "-c", f"touch {_IN_THE_WINDOW}; until test -e {_GO_ON}; do sleep 0.05; done"]
#: What an owner does to his guest, and the words by which an operator may be told of it: of this, and of nothing else.
ACTS = {"destroy": "destroyed|shut ?down|shut off|ended", "reset": "reset|rebooted|restarted", "migrate": "migrated"}
#: The guest to which he does it.
VICTIMS = {"destroy": "chaos-a", "reset": "chaos-b", "migrate": "chaos-c"}


@contextmanager
def second_host(stage: Stage) -> Iterator[Host]:
    """Another host of the lab, on which guests of the fault may arrive."""
    other = stage.host.sibling()
    other.call("clean")
    other.call("prepare")
    try:
        yield other
    finally:
        other.call("clean")


def migrate(stage: Stage, name: str, other: Host) -> None:
    """The owner migrates a guest, which keeps the state that it has."""
    stage.virsh("migrate", "--live", "--persistent", "--undefinesource", name, f"qemu+ssh://{other.name}/system")
    stage.wait_in("gone", [name])


def _act(stage: Stage, act: str, other: Host) -> str:
    """The owner does it to his guest. Returns the guest's name."""
    name = VICTIMS[act]
    if act == "destroy":
        stage.virsh("destroy", name)
        stage.wait_in("gone", [name])
    elif act == "reset":
        stage.virsh("reset", name)
        wait_for(f"the reset of {name}", lambda: any(one.guest == name and one.what == "RESET" for one in stage.events()), PATIENCE)
        if stage.all_in("running", [name]):
            # Its firmware resets it once more before it boots.
            wait_for(f"{name} to have booted", lambda: stage.booted_anew(name), PATIENCE)
    else:
        migrate(stage, name, other)
    stage.silent(name)
    return name


def _cast(role: str) -> list[Guest]:
    """A guest for each act. The one that is reset shows by its boot id that it was."""
    victims = [Guest(name, role=role, kind="normal" if act == "reset" else "", number=30) for act, name in VICTIMS.items()]
    return [*victims, Guest("chaos-1"), *guests.bystanders()]


def _in_the_window(stage: Stage) -> Run:
    run = stage.start_update(HOLD)
    wait_for("the update in the window", lambda: run.ended() or stage.host.shell(f"ls {_IN_THE_WINDOW}", check=False), PATIENCE)
    expect(not run.ended(), f"the update should be in the window: {run.complaint()}")
    return run


def _go_on(stage: Stage) -> None:
    stage.host.shell(f"touch {_GO_ON}")


def _told(run: Run, name: str) -> str:
    """What the operator read of a guest."""
    return "; ".join(part.strip() for part in re.split(r"[;\n]", run.text()) if name in part)


def _all_told(run: Run) -> str:
    return " | ".join(_told(run, name) for name in VICTIMS.values())


@fault("owner-acts-on-excluded", "excluded guests shut down, reset and migrated to another host by their owners during the update", limit=90)
def owner_acts_on_excluded(stage: Stage) -> str:
    """Never ours: no failure, whatever their owners do."""
    with second_host(stage) as other:
        stage.open(_cast("aside"))
        run = _in_the_window(stage)
        for act in ACTS:
            stage.never_ours(_act(stage, act, other))
        _go_on(stage)
        code = run.wait(180)
        expect(code == 0, f"the update should have succeeded: {run.complaint()}")
        stage.see_all_well()
        return _all_told(run)


@fault("owner-acts-in-window", "guests of ours shut down, reset and migrated to another host by their owners in the window", limit=30)
def owner_acts_in_window(stage: Stage) -> str:
    """Nobody may take them for well, and each is told with what its owner did to it. The others are resumed."""
    with second_host(stage) as other:
        stage.open(_cast("ours"))
        run = _in_the_window(stage)
        for act in ACTS:
            name = _act(stage, act, other)
            if act != "reset":  # that one is still ours, and is resumed
                stage.hands_off(name)
        _go_on(stage)
        code = run.wait(180)
        expect(code != 0, f"the update should have failed: {run.text()[-400:]}")
        for act, name in VICTIMS.items():
            told = _told(run, name)
            read = {other for other, words in ACTS.items() if re.search(words, told, re.IGNORECASE)}
            expect(read == {act}, f"it should tell what {name}'s owner did, {act}, and nothing else: {told}")
        stage.see_all_well()
        return _all_told(run)


@fault("owner-acts-afterwards", "guests of ours shut down, reset and migrated to another host by their owners just after their resume", limit=30)
def owner_acts_afterwards(stage: Stage) -> str:
    """Given back is given back: told, and no failure."""
    with second_host(stage) as other:
        stage.open(_cast("ours"))
        run = _in_the_window(stage)
        _go_on(stage)
        stage.wait_in("running")
        for act in ACTS:
            stage.hands_off(_act(stage, act, other))
        code = run.wait(180)
        expect(code == 0, f"the update should have succeeded: {run.complaint()}")
        stage.see_all_well()
        return _all_told(run)


@fault("migrated-while-paused", "guest migrated to another host by its owner while it is paused; controller gone; recover.yml over both")
def migrated_while_paused(stage: Stage) -> str:
    """It arrives paused, with a mark of ours and nobody's ledger: recover.yml resumes it where it is."""
    moved = Guest("chaos-moved", kind="normal", number=30)
    with second_host(stage) as other:
        stage.open([moved, Guest("chaos-1"), *guests.bystanders()])
        before = stage.evidence(moved.name)
        stage.pause()
        migrate(stage, moved.name, other)
        stage.hands_off(moved.name)
        state = f"virsh domstate {moved.name}"
        expect("paused" in other.shell(state), f"it should arrive paused: {other.shell(state)}")
        stage.see_all_well()
        told = stage.operator.recover(other.name)
        expect("running" in other.shell(state), f"it should run on {other.name}, where it is: {other.shell(state)} {told[-600:]}")
        now = wait_for(f"an answer of {moved.name}", lambda: other.call("evidence", address=moved.address()), 20)
        expect(now["random"] == before["random"] and now["counter"] >= before["counter"], f"its memory is another: {now} after {before}")
        expect(not other.call("marked", names=[moved.name]), "it should carry no mark any more")
        return " ".join(line.strip() for line in told.splitlines() if moved.name in line)


# --- managers -------------------------------------------------------------------------------------------------------------------------

_NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"
_OVIRT = "http://ovirt.org/vm/1.0"
_CIB = "/var/lib/pacemaker/cib/cib.xml"
_CIBADMIN = "/usr/sbin/cibadmin"
_CLUSTER = """\
<cib validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration><crm_config/><nodes><node id="1" uname="{host}"/></nodes>
    <resources>
      <primitive id="vm" class="ocf" provider="heartbeat" type="VirtualDomain">
        <instance_attributes id="vm-ia"><nvpair id="vm-config" name="config" value="/etc/libvirt/qemu/{guest}.xml"/></instance_attributes>
        <operations><op id="vm-monitor" name="monitor" interval="10s"/></operations>
      </primitive>
    </resources><constraints/>
  </configuration><status/>
</cib>
"""
_WATCHER = (Path(__file__).with_name("manager_watch.py")).read_text(encoding="utf-8")
#: The manager, the word by which it is named, and the word of what to do with it.
MANAGERS = {"nova": ("nova|OpenStack", "stop nova-compute"), "vdsm": ("oVirt|vdsm", "maintenance"), "pacemaker": ("Pacemaker", "maintenance")}
#: The name of its program on a host, by which it is seen to be at work.
_DAEMONS = {"nova": "nova-compute", "vdsm": "vdsmd", "pacemaker": "pacemakerd"}


@contextmanager
def _manager(host: Host, manager: str, name: str, watches: bool = True) -> Iterator[Callable[[], str]]:
    """A guest has a manager, who does what he does when he finds it shut off. Gives what he has done so far.

    :param watches: Otherwise his program runs and leaves the guest alone.
    """
    uri = {"nova": _NOVA, "vdsm": _OVIRT}.get(manager)
    if uri:
        element = {"nova": "<instance/>", "vdsm": "<vm/>"}[manager]
        key = {"nova": "nova", "vdsm": "ovirt-vm"}[manager]
        host.shell(f"virsh metadata {name} {uri} --key {key} --set '{element}' --live --config")
    else:
        host.shell("mkdir -p /var/lib/pacemaker/cib")
        host.put(_CIB, _CLUSTER.format(host=host.name, guest=name))
        host.put(_CIBADMIN, f"#!/bin/sh\n# Of a cluster that is not there: whatever is asked, the answer is its configuration.\ncat {_CIB}\n")
        host.shell(f"chmod 755 {_CIBADMIN}")
    acts, unit = f"/run/vmp-chaos-acts-{manager}", f"vmp-chaos-{manager}"
    program = f"/run/vmp-chaos-managers/{_DAEMONS[manager]}"
    host.shell(f"mkdir -p /run/vmp-chaos-managers; touch {acts}")
    host.put(program, _WATCHER)
    host.shell(f"systemd-run --quiet --collect --unit={unit} python3 {program} {manager if watches else 'nobody'} {name} {acts}")
    try:
        yield lambda: host.shell(f"cat {acts}")
    finally:
        host.shell(f"systemctl stop {unit}; rm -f {acts} {program}", check=False)
        if uri:
            host.shell(f"virsh metadata {name} {uri} --remove --live --config", check=False)
        else:
            host.shell(f"rm -f {_CIB} {_CIBADMIN}", check=False)
        # What a manager has undefined is none of the lab's guests any more.
        host.shell(f"virsh dominfo {name} | grep -q 'Persistent: *yes' || virsh destroy {name}", check=False)


def _save_or_refresh(stage: SavedStage, technique: str, **more: object) -> Answer:
    if technique == "reboot":
        return stage.start_save(**more).answer(PATIENCE)
    return stage.operator.module("guest_refresh", timeout=180, pause_limit=stage.limit, **more)


def _ids(stage: SavedStage) -> dict[str, int]:
    return {name: (found or {}).get("id", -1) for name, found in stage.look().items()}


def _managed(manager: str, technique: str, stage: SavedStage) -> str:
    """Refused before anything is touched, with who manages the guest and how to put him into maintenance."""
    stage.open()
    make_stale(stage)
    name = stage.name("normal")
    with _manager(stage.host, manager, name) as acts:
        before = _ids(stage)
        answer = _save_or_refresh(stage, technique)
        done = acts()
        expect(not done, f"its manager found {name} shut off: {done}")
        expect(answer.failed, f"it should be refused, and it said {answer.verdict}")
        expect(_ids(stage) == before, f"no guest should have been touched: {_ids(stage)} after {before}")
        who, what = MANAGERS[manager]
        expect(name in answer.message and re.search(who, answer.message), f"it should name the guest and its manager: {answer.message}")
        expect(what in answer.message, f"it should say what to do with the manager: {answer.message}")
        return answer.message


for _who in MANAGERS:
    for _technique in ("refresh", "reboot"):
        catalogue.fault(
            f"managed-{_who}-{_technique}", f"guest managed by {_who}, which acts on what it finds shut off; {_technique}", limit=30.0, last=True,
            stage=SavedStage,
        )(functools.partial(_managed, _who, _technique))  # fmt: skip


@catalogue.fault(
    "managed-accepted", "guest managed by nova, its operator accepts that (managed_guests: accept); refresh", limit=30.0, last=True, stage=SavedStage
)
def managed_accepted(stage: SavedStage) -> str:
    """Its program runs, so by default it would be refused; it is the operator who knows that it does not look."""
    stage.open()
    make_stale(stage)
    name = stage.name("normal")
    with _manager(stage.host, "nova", name, watches=False):
        refused = _save_or_refresh(stage, "refresh")
        expect(refused.failed, f"without the option it should be refused, and it said {refused.verdict}")
        answer = _save_or_refresh(stage, "refresh", managed_guests="accept")
        expect(answer.verdict == "CHANGED", f"it should have moved the guests: {answer.message}")
        stage.see_memory()
        return f"{answer.verdict}: {answer.guest(name).get('message', '')}"


@fault("managed-paused", "guests managed by nova and by Pacemaker, which act on what they find shut off; a pause", fast=True)
def managed_paused(stage: Stage) -> str:
    """They leave a paused guest alone, and so a pause is nobody's business but ours."""
    stage.open()
    with _manager(stage.host, "nova", "chaos-1") as first, _manager(stage.host, "pacemaker", "chaos-2") as second:
        answer = stage.commands(["sleep", "2"])
        expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
        expect(not first() + second(), f"a manager should not have acted: {first()} {second()}")
        stage.see_all_well()
        return f"{answer.verdict}: chaos-1 paused for {answer.guest('chaos-1').get('paused_for')} s"


_SESSION = """
<domain type='qemu'><name>chaos-session</name><uuid>c4a05000-0000-4000-8000-000000000099</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
"""


@catalogue.fault("session-guest-reboot", "a guest of another libvirt (qemu:///session) beside a reboot", limit=600.0, last=True, stage=SavedStage)
def session_guest_reboot(stage: SavedStage) -> str:
    """No ledger knows it, and the reboot would cut it off: refused by its name, nobody is saved."""
    stage.open()
    stage.host.put("/tmp/chaos-session.xml", _SESSION)
    stage.host.shell("install -d -o operator -g operator -m 700 /run/vmp-s")
    words = "env HOME=/home/operator XDG_RUNTIME_DIR=/run/vmp-s virsh --quiet --connect qemu:///session"
    user = f"runuser -u operator -- {words}"
    stage.host.shell(f"{user} create /tmp/chaos-session.xml", timeout=120)
    try:
        before = _ids(stage)
        answer = _save_or_refresh(stage, "reboot")
        if not answer.failed:
            stage.all_back(answer)
        expect(answer.failed, f"it should be refused, and it said {answer.verdict}")
        expect("chaos-session" in answer.message, f"it should name the other guest: {answer.message}")
        expect(_ids(stage) == before, "no guest should have been touched")
        return answer.message
    finally:
        stage.host.shell(f"{user} destroy chaos-session; rm -rf /run/vmp-s /tmp/chaos-session.xml", check=False)
