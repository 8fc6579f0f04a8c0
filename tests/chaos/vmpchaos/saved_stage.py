# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of a fault of saved guests: the lab's own guests, and the judgement by what they hold in their memory."""

from __future__ import annotations

import dataclasses
import shlex
import time
import uuid
from pathlib import Path
from typing import Any

from vmplab import guests as lab_guests
from vmplab import layout, remote, settings

from .errors import Broken, expect
from .guests import PREFIX
from .host import Host, wait_for
from .operator import Answer, Operator, Run
from .stage import PATIENCE

_SOURCE = Path(__file__).with_name("saved_on_host.py").read_text(encoding="utf-8")
_STOPPER = Path(__file__).with_name("saved_stopper.py")
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
_QEMU = "/usr/bin/qemu-system-x86_64"
#: A QEMU that starts guests, and takes up nothing that was saved.
_NO_INCOMING = f"""#!/bin/sh
for word; do
    [ "$word" != -incoming ] || {{ echo "nothing is taken up today" >&2; exit 1; }}
done
exec {_QEMU}.kept "$@"
"""
#: Seconds for a host to come back and to restore its guests.
BOOT = 180.0


@dataclasses.dataclass
class SavedVerdict:
    """What became of saved guests.

    :ivar past: Guests that lost their memory, or are not in the state in which they were, each with the reason.
    :ivar touched: What is left of ours: images, units, marks, flags.
    :ivar expected: Guests that the fault itself took, each with the reason.
    """

    past: list[str]
    touched: list[str]
    expected: list[str]

    def past_cell(self, _limit: float) -> str:
        """The cell of the guests past the deadline: those that are lost."""
        names = f": {', '.join(self.past)}" if self.past else ""
        taken = f"; expected: {', '.join(self.expected)}" if self.expected else ""
        return f"{len(self.past)} lost{names}{taken}"

    def touched_cell(self) -> str:
        """The cell of the guests touched: what is left."""
        return f"{len(self.touched)} left" + (f": {', '.join(self.touched)}" if self.touched else "")


class SavedStage:
    """What a fault of saved guests works with.

    :ivar limit: The pause limit, seconds.
    :ivar host: The host on which it happens.
    :ivar operator: Ansible.
    :ivar guests: The lab's guests of the host, one whose memory is a shared file among them, as its documents, in the order of the restores.
    """

    def __init__(self, host: Host, operator: Operator, limit: float) -> None:
        self.host = host
        self.operator = operator
        self.limit = limit
        self._settings = settings.from_environment()
        own = [one for one in host.entry["guests"] if one["address"]]
        self._shared = layout.guest(host.name, "shared", layout.MAX_ADDRESSED_GUESTS - 2, own[0]["memory_mib"])
        self.guests: list[dict[str, Any]] = [*own, self._shared]
        self._before: dict[str, dict[str, Any]] = {}
        self._autostart: set[str] = set()
        self._taken: dict[str, str] = {}
        self._anew: dict[str, str] = {}
        self._began = time.monotonic()

    # --- before and after ---------------------------------------------------------------------------------------------

    def call(self, function: str, timeout: float = 120, **arguments: Any) -> Any:
        """Call a function of saved_on_host.py.

        :param timeout: Seconds.
        """
        return self.host.call(function, timeout=timeout, source=_SOURCE, **arguments)

    def open(self, autostart: tuple[str, ...] = ()) -> None:
        """A clean host whose guests are as the lab makes them.

        :param autostart: Kinds of guests that libvirt starts at boot.
        """
        self.call("clean", keep=[self._shared["name"]])
        wanted = {one["name"]: "paused" if one["kind"] == "owner-paused" else "running" for one in self.guests}
        found = self.look()
        missing = [one for one in self.guests if (found[one["name"]] or {}).get("state") != wanted[one["name"]]]
        if missing:
            lab_guests.remove(self._settings, self.host.entry, [one["name"] for one in missing if found[one["name"]]])
            self._start(missing)
        self._before = self.evidence()
        for one in self.guests:
            expect(self._before[one["name"]], f"{one['name']} should show its evidence before anything is done")
            if one["kind"] in autostart:
                self.virsh("autostart", one["name"])
                self._autostart.add(one["name"])
        self._began = time.monotonic()

    def _start(self, missing: list[dict[str, Any]]) -> None:
        """Start guests as the lab does; the one that is ours alone with a UUID by which the next fault's cleaning finds it."""
        for one in missing:
            xml = lab_guests.definition(one)
            if one is self._shared:
                xml = xml.replace("</name>", f"</name>\n  <uuid>{PREFIX}{str(uuid.uuid4()).partition('-')[2]}</uuid>")
            remote.call(self._settings, self.host.entry, "start_guests", guests=[{**one, "xml": xml}], patience=120, timeout=180)

    def names(self, *kinds: str) -> list[str]:
        """The guests of these kinds (of all), in the order of the restores."""
        return [one["name"] for one in self.guests if not kinds or one["kind"] in kinds]

    def name(self, kind: str) -> str:
        """The guest of this kind."""
        return self.names(kind)[0]

    def look(self) -> dict[str, Any]:
        """The guests as libvirt shows them."""
        return self.call("look", names=self.names())

    def evidence(self) -> dict[str, dict[str, Any] | None]:
        """What each guest holds in its memory. The owner of the paused ones resumes them for a moment."""
        look = self.look()
        paused = [name for name in self.names("owner-paused") if (look[name] or {}).get("state") == "paused"]
        for name in paused:
            self.virsh("resume", name)
        try:
            readable = [one["name"] for one in self.guests if (look[one["name"]] or {}).get("state") == "running" or one["name"] in paused]
            seen: dict[str, Any] = {}

            def all_told() -> bool:
                found = lab_guests.evidence(self._settings, {**self.host.entry, "guests": self.guests})
                seen.update({one["name"]: one["evidence"] for one in found})
                return all(seen[name] for name in readable)

            try:
                wait_for("the evidence of every guest that runs", all_told, 40)
            except Broken:  # told per guest
                pass
        finally:
            for name in paused:
                self.virsh("suspend", name)
        return seen

    def judge(self) -> SavedVerdict:
        """Hold what every guest has in its memory against what it had."""
        self.call("release")
        look, now = self.look(), self.evidence()
        lost: list[str] = []
        for one in self.guests:
            name, was, found = one["name"], self._before.get(one["name"]), look[one["name"]]
            if was is None:
                lost.append(f"{name} (not looked at before)")
            elif name in self._taken:
                if found and found["state"] != "off":
                    lost.append(f"{name} ({self._taken[name]}, and yet it is {found['state']})")
            elif name not in self._anew:
                problem = self._problem(one, was, found, now[name])
                if problem:
                    lost.append(f"{name} ({problem})")
                else:
                    self._before[name] = now[name]
        left = [f"{name} (marked)" for name, found in look.items() if found and found["mark"]]
        left += [f"{name} (managed save)" for name, found in look.items() if found and found["managed"]]
        left += [
            f"{name} (autostart {'on' if found['autostart'] else 'off'})"
            for name, found in look.items() if found and found["autostart"] != (name in self._autostart)
        ]
        left += self._leftovers()
        return SavedVerdict(lost, left, [f"{name} ({why})" for name, why in {**self._taken, **self._anew}.items()])

    @staticmethod
    def _problem(one: dict[str, Any], was: dict[str, Any], found: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
        wanted = "paused" if one["kind"] == "owner-paused" else "running"
        if found is None:
            return "it does not exist"
        if found["state"] != wanted:
            return f"it is {found['state']}" + (", saved" if found["managed"] else "")
        if now is None:
            return "it runs and does not answer"
        if (now["boot_id"], now["random"]) != (was["boot_id"], was["random"]):
            return "its memory is another"
        if now["counter"] < was["counter"]:
            return f"it went back to an older state: {now['counter']} after {was['counter']}"
        return ""

    def _leftovers(self) -> list[str]:
        """What stays of ours; a guard that is just ending is waited for."""
        found: list[str] = []

        def nothing() -> bool:
            found[:] = self.call("leftovers")
            return not found

        try:
            wait_for("the end of everything of ours", nothing, 20)
        except Broken:
            pass
        return [path.rpartition("/")[2] for path in found]

    def see_memory(self) -> None:
        """See that the guests still count: what they hold now must not be lost any more."""
        now = self.evidence()
        for name, seen in now.items():
            if seen and name not in self._taken and name not in self._anew:
                was = self._before[name]
                expect(seen["random"] == was["random"] and seen["counter"] >= was["counter"], f"{name} should have kept its memory")
                self._before[name] = seen

    def taken(self, name: str, why: str) -> None:
        """The fault itself ends this guest: it must not be started again."""
        self._taken[name] = why

    def anew(self, name: str, why: str) -> None:
        """Its owner has started it anew in this fault."""
        self._anew[name] = why

    # --- what is seen -------------------------------------------------------------------------------------------------

    def saving(self) -> dict[str, Any]:
        """The ledger's document, once it is there."""
        return wait_for("the ledger of saved guests", lambda: self.call("saving"), PATIENCE)["saved"]

    def phases(self) -> dict[str, str]:
        """Each guest's phase or outcome in the ledger."""
        return {one["name"]: one["outcome"] or one["phase"] for one in self.saving()["guests"]}

    def wait_closed(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait until the ledger is closed by whomever, and return it.

        :param timeout: Seconds.
        """
        last: dict[str, Any] = {}

        def closed() -> dict[str, Any] | None:
            last.update(self.saving())
            return last if last["closed_at"] else None

        try:
            return wait_for("the end of what was saved", closed, timeout, 0.5)
        except Broken as error:
            rows = "; ".join(f"{one['name']}: {one['outcome'] or one['phase']}: {one['message']}" for one in last.get("guests", []))
            raise Broken(f"{error}; the ledger says: {rows}; the journal: {self.journal()[-400:]}") from error

    def told(self, saving: dict[str, Any]) -> str:
        """What the ledger says of each guest."""
        return f"closed by {saving['closed_by']}: " + "; ".join(f"{one['name']}: {one['outcome']}: {one['message']}" for one in saving["guests"])

    def journal(self) -> str:
        """What our programs on the host have said in this fault's time, one line."""
        since = f"-{time.monotonic() - self._began + 1:.0f}s"
        text = self.host.shell(f"journalctl --quiet --output=cat --since={since} -u 'vm-preserving-*'", check=False)
        return "; ".join(line for line in text.splitlines() if not line.startswith(("Start", "vm-preserving-", "Stopp", "Finished")))

    def boot_id(self) -> str:
        """The boot of the host."""
        return self.host.shell(_BOOT_ID).strip()

    # --- what is done -------------------------------------------------------------------------------------------------

    def start_save(self, **more: Any) -> Run:
        """Begin to save all guests for a reboot: the last of the list is saved first."""
        return self.operator.start("guest_save", **{"pause_limit": self.limit, "reboot_time": 2, "first": self.names(), **more})

    def save(self, **more: Any) -> Answer:
        """Save all guests, and see that they are."""
        answer = self.start_save(**more).answer(PATIENCE)
        expect(answer.verdict == "CHANGED", f"guest_save should have saved: {answer.message}")
        active = [name for name, found in self.look().items() if found and found["id"] >= 0]
        expect(not active, f"these should be saved and run: {', '.join(active)}")
        return answer

    def reboot(self, answer: Answer) -> tuple[int, str]:
        """Give the reboot command. Returns its exit code and what it said."""
        text = self.host.shell(f"{shlex.join(answer.result['reboot_command'])} 2>&1; echo \"status $?\"", check=False)
        said, _word, status = text.rpartition("status ")
        return int(status or 0), " ".join(said.split())

    def refused(self, answer: Answer) -> str:
        """Give the reboot command, and see that it refuses. Returns what it said."""
        before = self.boot_id()
        status, said = self.reboot(answer)
        expect(status == 1 and said, f"the reboot command should have refused, and ended with {status}: {said}")
        expect(self.boot_id() == before, "the host should not have been rebooted")
        return said

    def well_rebooted(self, answer: Answer) -> None:
        """Give the reboot command, and wait for the host."""
        before = self.boot_id()
        status, said = self.reboot(answer)
        expect(status == 0, f"the reboot command ended with {status}: {said}")
        self.wait_booted(before)

    def lose_power(self) -> None:
        """The host ends at once, without any of its services being stopped, and boots anew. (The lab's disk keeps what was written.)"""
        before = self.boot_id()
        self.host.shell("systemd-run --quiet --collect --property=DefaultDependencies=no systemctl --force --force reboot", check=False)
        self.wait_booted(before)

    def go_down(self) -> None:
        """The host is rebooted by somebody who does not know of us."""
        before = self.boot_id()
        self.host.shell("systemctl reboot", check=False)
        self.wait_booted(before)

    def wait_booted(self, before: str) -> None:
        """Wait until the host has booted anew.

        :param before: The boot before.
        """
        self.operator.disconnect()

        def is_another() -> bool:
            if not self.host.answers():
                return False
            try:
                return self.boot_id() != before
            except Broken:  # it went down just now
                self.operator.disconnect()
                return False

        wait_for("an SSH login after the reboot", is_another, BOOT)
        wait_for("libvirt after the reboot", lambda: "Name" in self.host.shell("virsh list --all", check=False), PATIENCE)

    def restore(self, answer: Answer | None, **more: Any) -> Answer:
        """Ask guest_restore to see the guests back."""
        known = {} if answer is None else {"save_id": answer.result["save_id"]}
        return self.operator.module("guest_restore", timeout=BOOT + PATIENCE, **{"patience": 90, **known, **more})

    def all_back(self, answer: Answer) -> str:
        """Ask guest_restore, and see that it says that all are. Returns what it says."""
        found = self.restore(answer)
        outcomes = {one["name"]: one["outcome"] for one in found.result.get("guests", [])}
        expect(not found.failed and set(outcomes.values()) <= {"restored", "untouched"}, f"guest_restore should find all back: {outcomes} {found.message}")
        return f"{found.verdict}: " + "; ".join(f"{one['name']}: {one['message']} ({one['paused_for']} s)" for one in found.result["guests"])

    def hold(self, what: str, name: str, at_boot: bool = False) -> None:
        """Have a process stopped (see saved_stopper.py): `save` or `restore` of a guest; `saved` ends the module then."""
        # An image is called by the guest's name (libvirt's) or by its UUID (ours).
        word = f"{name},{self.virsh('domuuid', name).strip()}" if what == "save" else name
        self.call("stopper", program=_STOPPER.read_text(encoding="utf-8"), arguments=[what, word], at_boot=at_boot)

    def held(self) -> int:
        """Wait until it is, and return it."""
        return wait_for("the process that was to be stopped", lambda: self.call("held"), PATIENCE)

    def release(self) -> None:
        """Let the stopped process go on."""
        self.call("release")

    def kill(self, *pids: int) -> None:
        """SIGKILL to processes of the host; one that has just ended is as good as killed."""
        self.host.shell(f"kill -KILL {' '.join(map(str, pids))}", check=False)

    def opener(self) -> int:
        """The module's process."""
        return self.saving()["opener_pid"]

    def holder(self) -> int:
        """The process that has the ledger's lock."""
        return int(self.host.shell("cat /var/lib/vm_preserving/system/lock").split()[1])

    def break_pair(self) -> None:
        """The installed QEMU starts guests, and does not take up what was saved."""
        self.host.shell(f"mv {_QEMU} {_QEMU}.kept && cat > {_QEMU} && chmod 755 {_QEMU}", text_in=_NO_INCOMING)

    def mend_pair(self) -> None:
        """It does again."""
        self.host.shell(f"mv {_QEMU}.kept {_QEMU}")

    def guard(self) -> int:
        """The guard's process."""
        return wait_for("the guard", lambda: self.call("unit_pid", pattern="vm-preserving-saved-*"), PATIENCE)

    def boot_unit(self) -> int:
        """The process that restores at boot."""
        return wait_for("the unit that restores at boot", lambda: self.call("unit_pid", pattern="vm-preserving-restore.service"), PATIENCE)

    def kill_libvirtd(self) -> None:
        """SIGKILL; systemd starts it anew."""
        self.host.shell("kill -KILL $(cat /run/libvirtd.pid)")

    def stop_libvirtd(self) -> None:
        """Stop it with its sockets."""
        self.host.shell(f"systemctl stop {_SOCKETS} libvirtd.service", timeout=120)

    def start_libvirtd(self) -> None:
        """Start it again."""
        self.host.shell(f"systemctl start {_SOCKETS} libvirtd.service", timeout=120)

    def virsh(self, *words: str, check: bool = True) -> str:
        """The owner of a guest at work."""
        return self.host.shell(shlex.join(["virsh", "--quiet", *words]), check=check)
