# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: guests are saved to disk for a reboot of their host, and everything on the way breaks.

The guests are saved in the reverse of the stage's order: the shared one first, the normal one last.
"""

from __future__ import annotations

from collections.abc import Callable

from . import catalogue
from .errors import expect
from .host import wait_for
from .operator import Answer
from .saved_stage import SavedStage
from .stage import PATIENCE

#: Short: the guard gives up waiting for a reboot after this. Long: it never does in a fault.
SHORT, LONG = 25.0, 600.0


def fault(name: str, text: str, *, limit: float = LONG) -> Callable[[Callable[[SavedStage], str]], Callable[[SavedStage], str]]:
    """Put a function on the list: on the stage of saved guests, and after the others, for most of these take the host with them."""
    return catalogue.fault(name, text, limit=limit, last=True, stage=SavedStage)


_FULL = "/var/lib/libvirt/qemu/save"
_EXTRA = """
<domain type='qemu'><name>saved-extra</name><uuid>c4a05000-0000-4000-8000-000000000001</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
"""


@fault("saved-rebooted", "guests saved and the host rebooted, with autostart and an enabled libvirt-guests.service that suspends and starts")
def rebooted(stage: SavedStage) -> str:
    """Nothing breaks: libvirt's own ways of starting guests at boot must not get in between."""
    stage.open(autostart=("normal", "shared"))
    names = [stage.virsh("domuuid", name).strip() for name in stage.names("normal", "shared")]
    stage.host.put("/etc/default/libvirt-guests", "ON_BOOT=start\nON_SHUTDOWN=suspend\nSTART_DELAY=0\n")
    stage.host.put("/var/lib/libvirt/libvirt-guests", f"qemu:///system {' '.join(names)}\n")
    stage.host.shell("systemctl enable libvirt-guests.service")
    answer = stage.save()
    stage.well_rebooted(answer)
    told = stage.all_back(answer)
    expect(stage.restore(answer).result["rebooted"] is True, "guest_restore should know of the reboot")
    return told


def _module_killed(stage: SavedStage, name: str) -> str:
    """The module dies while libvirt saves this guest: all are back without anybody else."""
    stage.open(autostart=("normal", "shared"))
    stage.hold("save", name)
    run = stage.start_save()
    stage.held()
    stage.kill(stage.opener())
    stage.release()
    answer = run.answer(PATIENCE)
    expect(answer.failed, f"ansible should report the dead module, and said {answer.verdict}")
    return stage.told(stage.wait_closed())


@fault("saved-module-killed-first", "guest_save killed (SIGKILL) while the first guest is saved")
def module_killed_first(stage: SavedStage) -> str:
    """No guest is saved yet."""
    return _module_killed(stage, stage.name("shared"))


@fault("saved-module-killed-transient", "guest_save killed (SIGKILL) while a transient guest is saved, others are saved already")
def module_killed_middle(stage: SavedStage) -> str:
    """Some are saved, one is on its way, one was not started."""
    return _module_killed(stage, stage.name("transient"))


@fault("saved-module-killed-last", "guest_save killed (SIGKILL) while the last guest is saved")
def module_killed_last(stage: SavedStage) -> str:
    """All others are saved."""
    return _module_killed(stage, stage.name("normal"))


@fault("saved-module-killed-after", "guest_save killed (SIGKILL) when the last guest is saved and it has not answered")
def module_killed_after(stage: SavedStage) -> str:
    """The last save has ended, and the ledger does not say so yet."""
    stage.open(autostart=("normal", "shared"))
    stage.hold("saved", stage.name("normal"))
    answer = stage.start_save().answer(PATIENCE)
    expect(answer.failed, f"ansible should report the dead module, and said {answer.verdict}")
    return stage.told(stage.wait_closed())


@fault("saved-no-reboot", "controller dies after guest_save, and no reboot comes; then the reboot command is given all the same", limit=SHORT)
def no_reboot(stage: SavedStage) -> str:
    """The guard on the host gives up waiting after the pause limit."""
    stage.open(autostart=("normal",))
    answer = stage.save()
    told = stage.told(stage.wait_closed(stage.limit + PATIENCE))
    return f"{told}; the reboot command: {stage.refused(answer)}"


@fault("saved-guest-started-between", "another guest is started between guest_save and the reboot")
def guest_started_between(stage: SavedStage) -> str:
    """The reboot would cut it off."""
    stage.open()
    answer = stage.save()
    stage.host.put("/root/saved-extra.xml", _EXTRA)
    stage.virsh("create", "/root/saved-extra.xml")
    try:
        before = stage.host.shell("cat /run/libvirt/qemu/saved-extra.pid")
        said = stage.refused(answer)
        expect("saved-extra" in said, f"it should say which guest runs: {said}")
        stage.all_back(answer)
        expect(stage.host.shell("cat /run/libvirt/qemu/saved-extra.pid") == before, "the other guest should run as before")
    finally:
        stage.virsh("destroy", "saved-extra", check=False)
    return said


@fault("saved-save-aborted", "the save of a guest aborted by its owner (virsh domjobabort)")
def save_aborted(stage: SavedStage) -> str:
    """One guest is not saved: the others come back, the host must not be rebooted."""
    stage.open(autostart=("normal", "shared"))
    name = stage.name("normal")
    stage.hold("save", name)
    run = stage.start_save()
    stage.held()
    stage.virsh("domjobabort", name)
    stage.release()
    answer = run.answer(PATIENCE)
    expect(answer.code == "save" and "must not be rebooted" in answer.message, f"it should have failed: {answer.verdict} {answer.message}")
    expect(not answer.result["reboot_command"], "it should not give a reboot command")
    return answer.message


@fault("saved-disk-full", "the disk of the managed saves full in the middle, after it was admitted")
def disk_full(stage: SavedStage) -> str:
    """A file system of its own, filled while the first is on its way to it."""
    stage.open(autostart=("normal", "shared"))
    stage.host.shell(f"mount -t tmpfs -o size=1G,mode=700 tmpfs {_FULL} && chown libvirt-qemu:libvirt-qemu {_FULL}")
    name = stage.name("owner-paused")
    stage.hold("save", name)
    run = stage.start_save()
    stage.held()
    stage.host.shell(f"dd if=/dev/zero of={_FULL}/filler bs=1M status=none", check=False)
    stage.release()
    answer = run.answer(PATIENCE)
    expect(answer.code == "save" and "must not be rebooted" in answer.message, f"it should have failed: {answer.verdict} {answer.message}")
    stage.host.shell(f"rm {_FULL}/filler")
    return answer.message


@fault("saved-own-disk-full", "the disk of the ledger full from the middle of the saves on", limit=SHORT)
def own_disk_full(stage: SavedStage) -> str:
    """The ledger cannot be written any more; what it says is older than what is."""
    stage.open(autostart=("normal", "shared"))
    state = "/var/lib/vm_preserving/system"
    stage.host.shell(f"mkdir -p {state} && mount -t tmpfs -o size=512M,mode=700 tmpfs {state}")
    try:
        stage.hold("save", stage.name("owner-paused"))
        run = stage.start_save()
        stage.held()
        stage.host.shell(f"dd if=/dev/zero of={state}/filler bs=1k status=none", check=False)
        stage.release()
        answer = run.answer(180)
        expect(answer.failed and "rebooted" in answer.message, f"it should have failed: {answer.verdict} {answer.message}")
        stage.host.shell(f"rm {state}/filler")
        told = stage.told(stage.wait_closed())
        expect("not_ours" not in told and "gone" not in told, f"all should be reported as back: {told}")
        verdict = stage.judge()
        expect(not verdict.past and not verdict.touched, f"before the disk is put back: {verdict}")
    finally:
        stage.host.shell(f"umount -l {state}", check=False)
    return answer.message


@fault("saved-power-lost", "host loses power when all guests are saved; no controller calls it afterwards")
def power_lost(stage: SavedStage) -> str:
    """The unit on the host's disk does it alone."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    stage.lose_power()
    told = stage.told(stage.wait_closed(PATIENCE))
    stage.all_back(answer)
    return told


@fault("saved-power-lost-mid-save", "host loses power in the middle of the saves")
def power_lost_mid_save(stage: SavedStage) -> str:
    """Who was saved comes back; who was not is lost with the host, and is not started by us, whatever libvirt has of him."""
    stage.open(autostart=("shared",))
    name = stage.name("normal")
    stage.hold("save", name)
    run = stage.start_save()
    stage.held()
    stage.taken(name, "not saved when the power went")
    saving = stage.saving()
    stage.lose_power()
    run.kill()
    answer = wait_for("guest_restore", lambda: stage.operator.module("guest_restore", save_id=saving["id"], patience=60, timeout=120), PATIENCE)
    expect(answer.failed and answer.guest(name).get("outcome") == "gone", f"it should name the lost guest: {answer.verdict} {answer.message}")
    others = {one["name"]: one["outcome"] for one in answer.result["guests"] if one["name"] != name}
    expect(set(others.values()) == {"restored"}, f"the others should be back: {others}")
    return answer.message


@fault("saved-power-lost-first-save", "host loses power while a transient guest is saved, others still run")
def power_lost_first_save(stage: SavedStage) -> str:
    """As before, with an image of ours that is not whole, and a guest that libvirt itself starts at boot, because its owner set it so."""
    stage.open(autostart=("normal",))
    stage.hold("save", stage.name("transient"))
    run = stage.start_save()
    stage.held()
    saving = stage.saving()
    stage.taken(stage.name("transient"), "not saved when the power went")
    stage.anew(stage.name("normal"), "not saved when the power went; libvirt starts it at boot, by its owner's wish")
    stage.lose_power()
    run.kill()
    answer = stage.operator.module("guest_restore", save_id=saving["id"], patience=60, timeout=120)
    expect(answer.failed, f"it should name the lost guests: {answer.verdict} {answer.message}")
    outcomes = {one["name"]: one["outcome"] for one in answer.result["guests"]}
    expect(outcomes[stage.name("transient")] == "gone", f"the transient guest is lost: {outcomes}")
    expect(outcomes[stage.name("shared")] == outcomes[stage.name("owner-paused")] == "restored", f"the others should be back: {outcomes}")
    return answer.message


def _at_boot(stage: SavedStage, name: str) -> str:
    """Save, reboot, and have the restore of this guest held at boot. Returns when it is."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    stage.hold("restore", name, at_boot=True)
    stage.well_rebooted(answer)
    stage.held()
    return answer.result["save_id"]


@fault("saved-boot-unit-killed", "the unit that restores at boot killed (SIGKILL) in the middle")
def boot_unit_killed(stage: SavedStage) -> str:
    """systemd starts it anew; libvirt goes on with what it was asked for."""
    _at_boot(stage, stage.name("owner-paused"))
    stage.kill(stage.boot_unit())
    stage.release()
    return stage.told(stage.wait_closed())


@fault("saved-boot-unit-killed-transient", "the unit that restores at boot killed (SIGKILL) while a transient guest is restored")
def boot_unit_killed_transient(stage: SavedStage) -> str:
    """As before, with an image of ours."""
    _at_boot(stage, stage.name("transient"))
    stage.kill(stage.boot_unit())
    stage.release()
    return stage.told(stage.wait_closed())


@fault("saved-libvirtd-killed-at-boot", "libvirtd killed (SIGKILL) at boot while a guest is restored")
def libvirtd_killed_at_boot(stage: SavedStage) -> str:
    """The next libvirtd ends the half restored guest; its image is still there."""
    _at_boot(stage, stage.name("normal"))
    stage.kill_libvirtd()
    stage.release()
    return stage.told(stage.wait_closed())


@fault("saved-libvirtd-killed-at-boot-transient", "libvirtd killed (SIGKILL) at boot while a transient guest is restored")
def libvirtd_killed_at_boot_transient(stage: SavedStage) -> str:
    """libvirt does not even know it any more."""
    _at_boot(stage, stage.name("transient"))
    stage.kill_libvirtd()
    stage.release()
    return stage.told(stage.wait_closed())


@fault("saved-power-lost-at-boot", "host loses power again while it restores")
def power_lost_at_boot(stage: SavedStage) -> str:
    """No guest was back yet: the images are still there, and the next boot starts with the first again."""
    _at_boot(stage, stage.name("normal"))
    stage.host.shell("systemctl disable vmp-chaos-stopper.service")
    stage.lose_power()
    return stage.told(stage.wait_closed())


@fault("saved-operator-started", "virsh start of a saved guest by its owner, before anybody else")
def operator_started(stage: SavedStage) -> str:
    """It comes back from its saved memory, whoever starts it; the host is not rebooted under it."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    stage.virsh("start", stage.name("normal"))
    stage.virsh("start", stage.name("owner-paused"))
    stage.see_memory()
    stage.refused(answer)
    return stage.all_back(answer)


@fault("saved-operator-started-anew", "managed save removed and the guest started anew by its owner")
def operator_started_anew(stage: SavedStage) -> str:
    """Told, and left as it is; the others come back."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    name = stage.name("normal")
    stage.virsh("managedsave-remove", name)
    stage.virsh("start", name)
    stage.anew(name, "started anew by its owner")
    found = stage.restore(answer)
    expect(found.failed and found.guest(name).get("outcome") == "not_ours", f"it should be reported: {found.verdict} {found.message}")
    return found.message


@fault("saved-ledger-removed", "the ledger removed before the reboot")
def ledger_removed(stage: SavedStage) -> str:
    """No reboot; the guard still knows who was saved."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    stage.host.shell("rm /var/lib/vm_preserving/system/saved.json")
    said = stage.refused(answer)
    return f"{said}; {stage.told(stage.wait_closed())}"


@fault("saved-ledger-damaged", "the ledger damaged before the reboot")
def ledger_damaged(stage: SavedStage) -> str:
    """As removed."""
    stage.open(autostart=("normal", "shared"))
    answer = stage.save()
    stage.host.shell("truncate -s 100 /var/lib/vm_preserving/system/saved.json")
    said = stage.refused(answer)
    return f"{said}; {stage.told(stage.wait_closed())}"


@fault("saved-ledger-removed-and-rebooted", "the ledger removed, and the host rebooted by somebody else at once")
def ledger_removed_and_rebooted(stage: SavedStage) -> str:
    """The guests are not known any more: nothing is started, what is saved stays saved, and the operator is told."""
    stage.open()
    answer = stage.save()
    stage.host.shell("systemctl kill --kill-whom=main --signal=KILL 'vm-preserving-saved-*'; rm /var/lib/vm_preserving/system/saved.json; "
                     "systemctl stop 'vm-preserving-saved-*'")
    stage.go_down()
    wait_for("the end of the unit that restores at boot", lambda: not stage.call("unit_pid", pattern="vm-preserving-restore.service"), PATIENCE)
    found = stage.restore(answer)
    expect(found.failed and found.code == "save_unknown", f"it should be reported: {found.verdict} {found.message}")
    for name, seen in stage.look().items():
        expect(seen is None or seen["state"] == "off", f"{name} should still be saved, and is {seen}")
    # What the message says.
    for name in stage.names():
        if name not in stage.names("transient"):
            stage.virsh("start", name)
    stage.host.shell("for one in /var/lib/vm_preserving/system/saved/*.save; do virsh restore $one && rm $one; done")
    stage.call("unmark", names=stage.names())
    # A guest that an earlier fault has moved in place makes them again when its owner restores it.
    stage.host.shell("rm -f /var/lib/libvirt/qemu/vm-preserving/*")
    return found.message


@fault("saved-pause-ledger-damaged", "the ledger of pauses damaged while the host is rebooted")
def pause_ledger_damaged(stage: SavedStage) -> str:
    """It has nothing to do with the saved guests."""
    stage.open()
    answer = stage.save()
    stage.host.shell("umask 077; echo '{' > /var/lib/vm_preserving/system/ledger.json")
    stage.well_rebooted(answer)
    return stage.told(stage.wait_closed())


@fault("saved-guard-killed", "the guard killed (SIGKILL) while it waits for the reboot", limit=SHORT)
def guard_killed(stage: SavedStage) -> str:
    """systemd starts it anew."""
    stage.open()
    answer = stage.save()
    stage.kill(stage.guard())
    told = stage.told(stage.wait_closed(2 * stage.limit + PATIENCE))
    stage.refused(answer)
    return told


@fault("saved-all-killed", "guest_save, the guard and libvirtd killed (SIGKILL) in the middle of a save")
def all_killed(stage: SavedStage) -> str:
    """All at once."""
    stage.open(autostart=("normal", "shared"))
    stage.hold("save", stage.name("owner-paused"))
    run = stage.start_save()
    stage.held()
    stage.kill(stage.opener(), stage.guard())
    stage.kill_libvirtd()
    stage.release()
    answer = run.answer(PATIENCE)
    expect(answer.failed, f"ansible should report the dead module, and said {answer.verdict}")
    return stage.told(stage.wait_closed())


def not_saved(stage: SavedStage, kind: str, hurt: Callable[[], object]) -> Answer:
    """Save the guests, hurt something while the one of this kind is being saved, and see that the operator is told not to reboot."""
    stage.open(autostart=("normal", "shared"))
    stage.hold("save", stage.name(kind))
    run = stage.start_save()
    stage.held()
    hurt()
    stage.release()
    answer = run.answer(180)
    expect(answer.failed and "must not be rebooted" in answer.message, f"it should have failed: {answer.verdict} {answer.message}")
    return answer


@fault("saved-libvirtd-killed", "libvirtd killed (SIGKILL) in the middle of a managed save")
def libvirtd_killed(stage: SavedStage) -> str:
    """systemd starts it anew, and it lets the guest run on."""
    answer = not_saved(stage, "normal", stage.kill_libvirtd)
    stage.wait_closed()
    return answer.message


@fault("saved-libvirtd-killed-transient", "libvirtd killed (SIGKILL) in the middle of the save of a transient guest")
def libvirtd_killed_transient(stage: SavedStage) -> str:
    """As before, with an image of ours."""
    answer = not_saved(stage, "transient", stage.kill_libvirtd)
    stage.wait_closed()
    return answer.message


@fault("saved-libvirtd-stopped", "libvirtd stopped, with its sockets, in the middle of a save, and started later")
def libvirtd_stopped(stage: SavedStage) -> str:
    """No guest can be brought back before it is there again."""
    answer = not_saved(stage, "owner-paused", stage.stop_libvirtd)
    stage.start_libvirtd()
    stage.wait_closed()
    return answer.message


@fault("saved-guest-killed", "the QEMU of a guest killed (SIGKILL) while it is saved")
def guest_killed(stage: SavedStage) -> str:
    """This one guest is lost, by whoever killed it; the others come back, the host is not rebooted."""
    def hurt() -> None:
        stage.host.shell(f"kill -KILL $(cat /run/libvirt/qemu/{name}.pid)")
        stage.taken(name, "its QEMU was killed")
    name = stage.name("normal")
    answer = not_saved(stage, "normal", hurt)
    expect(answer.guest(name).get("outcome") == "gone" and "runs on" not in answer.message, f"it should be reported as gone: {answer.message}")
    return answer.message


@fault("saved-reboot-held-up", "the reboot held up by a program that delays it, for longer than the pause limit", limit=SHORT)
def reboot_held_up(stage: SavedStage) -> str:
    """The host was ordered to reboot and does not yet: no guest may be brought back now."""
    stage.open()
    stage.host.shell("mkdir -p /etc/systemd/logind.conf.d; printf '[Login]\\nInhibitDelayMaxSec=40\\n' > /etc/systemd/logind.conf.d/chaos.conf; "
                     "systemctl restart systemd-logind")
    try:
        stage.host.shell("systemd-run --quiet --collect --unit=vmp-chaos-inhibit systemd-inhibit --what=shutdown --mode=delay sleep 600")
        wait_for("the inhibitor", lambda: "sleep" in stage.host.shell("systemd-inhibit --list", check=False), PATIENCE)
        answer = stage.save()
        before = stage.boot_id()
        status, said = stage.reboot(answer)
        expect(status == 0, f"the reboot command ended with {status}: {said}")
        run = stage.operator.start("guest_restore", save_id=answer.result["save_id"], patience=5)
        stage.wait_booted(before)
        run.kill()
        told = stage.told(stage.wait_closed())
        expect("reboot" not in stage.journal() or "bringing them back" not in stage.journal(), f"no guest should have been brought back: {stage.journal()}")
    finally:
        stage.host.shell("rm -f /etc/systemd/logind.conf.d/chaos.conf; systemctl restart systemd-logind", check=False)
    return told


@fault("saved-pair-broken", "the installed QEMU takes up nothing that was saved, by whichever QEMU")
def pair_broken(stage: SavedStage) -> str:
    """It is seen on a guest that is thrown away, all others run on, and nothing waits for a reboot."""
    stage.open(autostart=("normal", "shared"))
    before = stage.look()
    stage.break_pair()
    answer = stage.start_save().answer(PATIENCE)
    refused = answer.code == "refused" and "nothing is taken up today" in answer.message
    expect(refused, f"it should be refused with QEMU's words: {answer.verdict} {answer.message}")
    expect(stage.look() == before, f"no guest should have been touched: {stage.look()}")
    stage.mend_pair()
    return answer.message
