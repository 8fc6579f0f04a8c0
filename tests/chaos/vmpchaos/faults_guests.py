# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: something happens to a guest, by its owner, its QEMU or its storage."""

from __future__ import annotations

import base64

from . import guests
from .catalogue import fault
from .errors import expect
from .guests import Guest
from .host import wait_for
from .stage import PATIENCE, Stage, journal_has

#: Real-mode code of a boot sector: writes one sector, further and further into the disk, at every timer interrupt (18 a second).
#: Assembler: xor ax,ax; mov ds,ax; mov es,ax; L: mov ah,0x43; mov al,0; mov dl,0x80; mov si,packet; int 0x13;
#: add word [packet+8],8; sti; hlt; jmp L.
_CODE = bytes.fromhex("31c0 8ed8 8ec0 b443 b000 b280 be307c cd13 8306387c08 fb f4 ebec")
#: Where it writes: 1 sector from 0000:7c00 to sector 2048 (Enhanced Disk Drive Specification, disk address packet).
_PACKET = bytes.fromhex("1000 0100 007c 0000 0008000000000000")
BOOT_SECTOR = _CODE.ljust(0x30, b"\0") + _PACKET + bytes(510 - 0x30 - len(_PACKET)) + b"\x55\xaa"


def writing_guest(stage: Stage, name: str, room_kib: int) -> Guest:
    """A guest whose firmware writes to a disk all the time, on a file system of its own.

    :param room_kib: Size of that file system; the disk itself may grow to 64 MiB.
    """
    mount = f"{guests.FOLDER}/disk-{name}"
    image = f"{mount}/disk.raw"
    sector = base64.b64encode(BOOT_SECTOR).decode()
    stage.host.shell(
        f"mkdir -p {mount} && mount -t tmpfs -o size={room_kib}k,mode=0777 tmpfs {mount} && echo {sector} | base64 -d > {image} && "
        f"truncate -s 64M {image} && chmod 666 {image}"
    )
    return Guest(name, disk=image)


@fault("qemu-stopped-before", "one QEMU SIGSTOPped before the suspend")
def qemu_stopped_before(stage: Stage) -> str:
    """The host is refused and the others are resumed at once; the pause that comes late is hunted down."""
    stage.open()
    pid = stage.freeze("chaos-2")
    answer = stage.start_pause(pause_budget=2.0).answer(PATIENCE)
    expect(answer.failed and "'chaos-2'" in answer.message, f"it should be refused, naming chaos-2: {answer.verdict} {answer.message}")
    stage.wait_in("running", ["chaos-1", "chaos-3"])
    late = stage.thaw("chaos-2", pid)
    expect(late < stage.limit, f"once its QEMU answered, chaos-2 stood still for {late:.2f} s")
    stage.see_all_well()
    expect(stage.stops("chaos-2") >= 1, "the late suspend should have been seen")
    return f"{answer.verdict} {answer.message}"


@fault("qemu-stopped-long", "one QEMU SIGSTOPped before the suspend, until long after the deadline", limit=6)
def qemu_stopped_long(stage: Stage) -> str:
    """The suspend waits in libvirt for longer than the window, and for longer than libvirt's own 30 seconds."""
    stage.open()
    pid = stage.freeze("chaos-2")
    answer = stage.start_pause(pause_budget=2.0).answer(PATIENCE)
    expect(answer.failed, f"it should be refused: {answer.message}")
    age = "ps -o etimes= -p $(systemctl show --property=MainPID --value 'vm-preserving-guard-*')"
    wait_for("45 seconds of the guard's life", lambda: int(stage.host.shell(age, check=False).strip() or 0) > 45, PATIENCE, 1.0)
    late = stage.thaw("chaos-2", pid)
    expect(late < stage.limit, f"once its QEMU answered, chaos-2 stood still for {late:.2f} s")
    stage.see_all_well()
    return f"journal: {stage.journal()}"


@fault("qemu-stopped-during", "one QEMU SIGSTOPped in the window", limit=10)
def qemu_stopped_during(stage: Stage) -> str:
    """The others run at the deadline; the stopped one as soon as it can."""
    stage.open()
    stage.pause()
    pid = stage.freeze("chaos-2")
    stage.wait_in("running", ["chaos-1", "chaos-3"])
    journal_has(stage, "chaos-2")
    late = stage.thaw("chaos-2", pid)
    expect(late < stage.limit, f"once its QEMU answered, chaos-2 stood still for another {late:.2f} s")
    stage.see_all_well()
    return f"journal: {stage.journal()}"


@fault("guest-destroyed", "guest destroyed by its owner in the window")
def guest_destroyed(stage: Stage) -> str:
    """It is gone; the others are resumed."""
    stage.open()
    window = stage.pause()
    stage.virsh("destroy", "chaos-2")
    stage.wait_in("gone", ["chaos-2"])
    stage.hands_off("chaos-2")
    answer = stage.resume(window)
    expect(not answer.failed and answer.guest("chaos-2")["outcome"] == "gone", f"chaos-2 should be reported as gone: {answer.message} {answer.guest('chaos-2')}")
    stage.see_all_well()
    return f"chaos-2: {answer.guest('chaos-2')['message']}; chaos-1: {answer.guest('chaos-1')['message']}"


@fault("guest-started-paused", "guest destroyed and started --paused by its owner in the window", limit=6, fast=True)
def guest_started_paused(stage: Stage) -> str:
    """Paused, reason "user", the same name and UUID: yet not the guest that we paused."""
    stage.open()
    window = stage.pause()
    stage.virsh("destroy", "chaos-2")
    stage.wait_in("gone", ["chaos-2"])
    stage.virsh("start", "--paused", "chaos-2")
    stage.wait_in("paused", ["chaos-2"])
    stage.hands_off("chaos-2")
    stage.see_all_well()
    expect(stage.all_in("paused", ["chaos-2"]), "chaos-2 should still be paused")
    return stage.told_afterwards(window)


@fault("guest-resumed-by-owner", "guest resumed by its owner in the window")
def guest_resumed_by_owner(stage: Stage) -> str:
    """It runs on; the others are resumed at the deadline."""
    stage.open()
    window = stage.pause()
    stage.virsh("resume", "chaos-2")
    stage.wait_in("running", ["chaos-2"])
    stage.hands_off("chaos-2")
    stage.see_all_well()
    return stage.told_afterwards(window)


@fault("guest-paused-by-owner", "guest paused by its owner before", fast=True)
def guest_paused_by_owner(stage: Stage) -> str:
    """It is left alone, and told; named by the operator, it is refused."""
    stage.open()
    answer = stage.commands(["true"])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
    named = stage.start_pause(name=["chaos-1", "chaos-owner"]).answer(PATIENCE)
    expect(named.failed and named.code == "refused", f"naming a paused guest should be refused: {named.verdict} {named.message}")
    stage.see_all_well()
    return f"{answer.guest('chaos-owner')['message']}; when named: {named.message}"


@fault("io-error-before", "guest paused by an I/O error before (its disk is full)")
def io_error_before(stage: Stage) -> str:
    """It is its storage's, not ours: resumed, it would only hit the error again."""
    stage.open()
    full = writing_guest(stage, "chaos-full", 64)
    stage.add([full])
    stage.wait_in("paused", ["chaos-full"])
    expect("I/O error" in stage.virsh("domstate", "--reason", "chaos-full"), "chaos-full should be paused by an I/O error")
    stage.never_ours("chaos-full")
    answer = stage.commands(["true"])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
    stage.see_all_well()
    expect(stage.all_in("paused", ["chaos-full"]), "chaos-full should still be paused")
    return f"chaos-full: {answer.guest('chaos-full')['message']}"


@fault("io-error-in-the-window", "the storage of a guest fills up in the window")
def io_error_in_the_window(stage: Stage) -> str:
    """It stops with its first write after the resume: that is not ours, and the second look reports it."""
    stage.open()
    stage.add([writing_guest(stage, "chaos-full", 32 * 1024)])
    filler = f"{guests.FOLDER}/disk-chaos-full/filler"
    fill = f"dd if=/dev/zero of={filler} bs=1M 2>/dev/null; dd if=/dev/zero of={filler}2 bs=1k 2>/dev/null; exit 0"
    answer = stage.operator.module("preserved_command", **stage.options(commands=[["sh", "-c", fill]], second_look=4))
    stage.wait_in("paused", ["chaos-full"])
    stage.hands_off("chaos-full")
    expect(answer.failed and answer.code == "stopped_again", f"the second look should report chaos-full: {answer.verdict} {answer.message}")
    stage.see_all_well()
    return answer.message


@fault("fake-reboot", "fake-reboot mark (virsh reboot --mode acpi, ignored by the guest)", fast=True)
def fake_reboot(stage: Stage) -> str:
    """A libvirtd that restarts while it is paused would reset it: refused."""
    stage.open()
    stage.virsh("reboot", "--mode", "acpi", "chaos-2")
    wait_for("the mark in libvirt's status file", lambda: stage.host.shell("grep fakereboot /run/libvirt/qemu/chaos-2.xml", check=False), PATIENCE)
    answer = stage.refused()
    expect("'chaos-2'" in answer.message and "reboot" in answer.message, f"it should name chaos-2 and why: {answer.message}")
    stage.see_all_well()
    return answer.message


@fault("fake-reboot-in-the-window", "fake-reboot mark set in the window, and libvirtd hangs", limit=10)
def fake_reboot_in_the_window(stage: Stage) -> str:
    """The guard may not kill libvirtd now: it says so, and resumes as soon as libvirtd answers."""
    stage.open()
    stage.host.shell("test $(ps -o etimes= -p $(cat /run/libvirtd.pid)) -gt 12 || sleep 12")
    stage.pause()
    stage.host.shell("sed -i 's|</domstatus>|  <fakereboot/>\\n</domstatus>|' /run/libvirt/qemu/chaos-2.xml; kill -STOP $(cat /run/libvirtd.pid)")
    said = journal_has(stage, "is not killed", "chaos-2")
    stage.host.shell("kill -CONT $(cat /run/libvirtd.pid)")
    stage.see_all_well()
    for name in stage.names():
        stage.hands_off(name)  # the documented limit: past the deadline as long as libvirtd hangs
    return f"journal: {said}"


@fault("block-job", "guest with a running block job", fast=True)
def block_job(stage: Stage) -> str:
    """Refused, naming the disk."""
    stage.open()
    stage.add([writing_guest(stage, "chaos-copied", 32 * 1024)])
    target = f"{guests.FOLDER}/disk-chaos-copied/copy.raw"
    stage.virsh("blockcopy", "chaos-copied", "hda", target, "--format", "raw", "--bandwidth", "1", "--transient-job")
    wait_for("the block job", lambda: "Bandwidth" in stage.virsh("blockjob", "chaos-copied", "hda", "--info"), PATIENCE)
    answer = stage.refused()
    expect("'chaos-copied'" in answer.message and "hda" in answer.message, f"it should name the guest and the disk: {answer.message}")
    stage.virsh("blockjob", "chaos-copied", "hda", "--abort")
    stage.see_all_well()
    return answer.message


@fault("transient-guest", "transient guests, and libvirtd restarted in the window")
def transient_guest(stage: Stage) -> str:
    """libvirt knows them only while they run; the LIVE mark works for them too."""
    stage.open([Guest("chaos-1", transient=True), Guest("chaos-2", transient=True), Guest("chaos-3"), *guests.bystanders()])
    window = stage.pause()
    stage.host.shell("systemctl restart libvirtd")
    stage.see_all_well()
    return stage.told_afterwards(window)


NAMES = (
    "two words", "it's \"quoted\"", "$(touch ran-by-the-shell)`id`", "-rf", "gäst-\N{GRINNING FACE}\N{ROCKET}", "{{ 1 + 1 }}", "chaos;reboot|x&y",
    "n" * 200,
)  # fmt: skip


@fault("names", "guest names with spaces, quotes, $(x), a leading dash, emoji, 200 characters", limit=10)
def names(stage: Stage) -> str:
    """Paused and resumed by the module, then by the guard with libvirtd gone: the names are in paths, units and messages."""
    stage.open([*(Guest(name) for name in NAMES), *guests.bystanders()])
    # Ansible itself would take one of them for a template.
    answer = stage.commands(["true"], name=[name for name in NAMES if "{{" not in name])
    expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
    stage.pause()
    stage.host.shell("systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service")
    stage.wait_in("running")
    stage.host.shell("systemctl start libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service")
    stage.see_all_well()
    expect(not stage.host.shell("find / /root /tmp -maxdepth 1 -name 'ran-by*'"), "a name was run by a shell")
    return f"journal: {stage.journal()}"
