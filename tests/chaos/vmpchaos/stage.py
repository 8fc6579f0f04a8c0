# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of one fault: fresh guests, the observer, the operator, and the judgement at the end."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import time
from pathlib import Path
from typing import Any

from . import guests, record
from .errors import Broken, expect
from .host import Host, wait_for
from .operator import Answer, Operator, Run

_OBSERVER = Path(__file__).with_name("observer.py")
_SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
_EVENTS = f"{guests.FOLDER}/events"
#: Seconds to wait for what has no limit of its own: the machine may be busy.
PATIENCE = 90.0
#: Seconds for a guest that runs to answer over its network.
ANSWER = 20.0


@dataclasses.dataclass
class Verdict:
    """What became of the guests, seen from outside.

    :ivar past: Guests paused past the deadline.
    :ivar excepted: Guests excepted from that, each with the reason.
    :ivar touched: Guests touched that were not ours.
    :ivar longest: Seconds of the longest pause of ours.
    """

    past: list[str]
    excepted: list[str]
    touched: list[str]
    longest: float

    def past_cell(self, limit: float) -> str:
        """The cell of the guests past the deadline."""
        names = f": {', '.join(self.past)}" if self.past else f" (longest {self.longest:.2f} of {limit:g} s)"
        excepted = f"; excepted: {', '.join(self.excepted)}" if self.excepted else ""
        return f"{len(self.past)}{names}{excepted}"

    def touched_cell(self) -> str:
        """The cell of the guests touched that were not ours."""
        return f"{len(self.touched)}" + (f": {', '.join(self.touched)}" if self.touched else "")


class Stage:
    """What a fault works with.

    :ivar limit: The pause limit of its windows, seconds.
    :ivar host: The host on which it happens.
    :ivar operator: Ansible.
    """

    def __init__(self, host: Host, operator: Operator, limit: float) -> None:
        self.host = host
        self.operator = operator
        self.limit = limit
        self._ours: dict[str, float] = {}
        self._not_ours: dict[str, float] = {}
        self._excepted: dict[str, str] = {}
        self._bystanders: list[str] = []
        self._excluded: list[str] = []
        self._memory: dict[str, dict[str, Any]] = {}
        self._addresses: dict[str, str] = {}
        self._lab_guests: dict[str, bool] = {}
        self._began = math.inf
        self._lost_host = False

    # --- before and after ---------------------------------------------------------------------------------------------

    def open(self, cast: list[guests.Guest] | None = None) -> None:
        """A clean host with these guests and the witness, and the observer watching them.

        :param cast: The guests; the usual ones when left out.
        """
        cast = [*(guests.usual() if cast is None else cast), guests.WITNESS]
        self.host.call("clean", keep=[guests.WITNESS.name])
        self.host.call("prepare")
        self._lab_guests = self.host.call("other_guests")
        self.watch()
        self.add(cast)

    def watch(self) -> None:
        """Start the observer, before any guest: it must see all of them from the beginning."""
        self.host.put(f"{guests.FOLDER}/observer.py", _OBSERVER.read_text(encoding="utf-8"))
        self.host.shell(
            "systemd-run --quiet --collect --unit=vmp-chaos-observer --property=Nice=-10 --property=OOMScoreAdjust=-900 "
            f"python3 {guests.FOLDER}/observer.py {guests.MONITORS} {_EVENTS}"
        )
        wait_for("the observer's first look", lambda: self.host.shell(f"cat {_EVENTS}", check=False) or not self._lab_guests, PATIENCE)

    def add(self, cast: list[guests.Guest]) -> None:
        """Start guests and see them watched."""
        self.host.call("start_guests", guests=[one.document() for one in cast], timeout=180)
        wanted = {one.name: "paused" if one.role == "owner" else "running" for one in cast}

        def watched() -> bool:
            events = self.events()
            return all(record.state(events, name) == state for name, state in wanted.items())

        wait_for("the guests as they should be at the beginning", watched, PATIENCE)
        self._began = time.monotonic()
        for one in cast:
            if one.role == "ours":
                self._ours[one.name] = math.inf
            else:
                self._not_ours[one.name] = self._began
                self._bystanders.append(one.name)
            if one.role == "aside":
                self._excluded.append(one.name)
            if one.kind:
                self._addresses[one.name] = one.address()
                self._memory[one.name] = self.evidence(one.name) or {}
                expect(self._memory[one.name], f"{one.name} should answer over its network before anything is done")

    def judge(self) -> Verdict:
        """Look at everything that was seen. To be called when the fault is over."""
        if not self._lost_host:
            self.start_libvirtd()  # a fault that ended half way has left it stopped
        events, now = self.events(), time.monotonic()
        ours = {name: end for name, end in self._ours.items() if name not in self._excepted}
        touched = record.touched(events, self._not_ours)
        if not self._lost_host:
            touched += record.changed_for_libvirt(events, self._lab_guests, self._began)
            touched += [f"{name} (marked)" for name in self.host.call("marked", names=[*self._bystanders, *self._lab_guests])]
        excepted = [f"{name} ({why})" for name, why in self._excepted.items()]
        return Verdict(record.past_the_deadline(events, ours, self.limit, now), excepted, touched, record.longest(events, ours, now))

    def see_all_well(self) -> None:
        """At the end of a fault every guest that is ours runs, for QEMU and for libvirt; those with a network answer over it, with the memory that they
        had; and nothing of ours is left on the host."""
        names = [name for name, end in self._ours.items() if end == math.inf]
        wait_for("all guests that are ours run", lambda: self.all_in("running", names), PATIENCE)

        def libvirt_knows() -> bool:
            events = self.events()
            return all((record.libvirt_state(events, name) or "").startswith("1/") for name in names)

        wait_for("libvirt shows all guests that are ours as running", libvirt_knows, PATIENCE)
        for name in names:
            if name in self._addresses:
                self.see_memory(name)
        wait_for("the guard's end", lambda: not self.units(), self.limit + PATIENCE)

    def see_memory(self, name: str, within: float = ANSWER) -> None:
        """See that a guest answers over its network, goes on, and has the memory that it had.

        :param within: Seconds.
        """
        was = self._memory[name]

        def goes_on() -> dict[str, Any] | None:
            now = self.evidence(name)
            return now if now and (now["random"] != was["random"] or now["counter"] > was["counter"]) else None

        now = wait_for(f"an answer of {name} over its network", goes_on, within)
        expect((now["boot_id"], now["random"]) == (was["boot_id"], was["random"]), f"the memory of {name} is another: {now} after {was}")
        expect(now["counter"] > was["counter"], f"{name} went back to an older state: {now} after {was}")
        self._memory[name] = now

    # --- what is seen -------------------------------------------------------------------------------------------------

    def events(self) -> list[record.Event]:
        """Everything that the observer has seen so far."""
        text = self.host.shell(f"cat {_EVENTS}", check=False)
        return [record.Event(**json.loads(line)) for line in text.splitlines() if line.endswith("}")]

    def names(self) -> list[str]:
        """The guests that are ours."""
        return list(self._ours)

    def all_in(self, state: str, names: list[str] | None = None) -> bool:
        """Whether QEMU says that these guests (those that are ours) are `running`, `paused` or `gone`."""
        events = self.events()
        return all(record.state(events, name) == state for name in (self._ours if names is None else names))

    def wait_in(self, state: str, names: list[str] | None = None, timeout: float = PATIENCE) -> None:
        """Wait until they are.

        :param timeout: Seconds.
        """
        wait_for(f"{', '.join(names or self._ours)} {state}", lambda: self.all_in(state, names), timeout)

    def evidence(self, name: str) -> dict[str, Any] | None:
        """What a guest shows over its network, now; `None` when it does not answer."""
        return self.host.call("evidence", address=self._addresses[name])

    def booted_anew(self, name: str) -> bool:
        """Whether a guest answers over its network after another boot than it began with."""
        now = self.evidence(name)
        return bool(now) and now["boot_id"] != self._memory[name]["boot_id"]

    def address(self, name: str) -> str:
        """Where a guest answers over its network."""
        return self._addresses[name]

    def stops(self, name: str) -> int:
        """How often a guest was stopped."""
        return sum(event.what == "STOP" for event in self.events() if event.guest == name)

    def units(self) -> str:
        """The guard and its backstop, as systemd shows them; empty when they are gone."""
        return self.host.shell("systemctl list-units --plain --no-legend --state=active,activating 'vm-preserving-guard-*' 'vm-preserving-backstop-*.service'")

    def journal(self) -> str:
        """What the guard has said in this fault's time, one line."""
        since = f"-{time.monotonic() - self._began + 1:.0f}s"
        text = self.host.shell(f"journalctl --quiet --output=cat --since={since} -u 'vm-preserving-*'")
        lines = [line for line in text.splitlines() if not line.startswith(("Start", "vm-preserving-", "Stopp", "Finished"))]
        return "; ".join(lines)

    # --- what is done -------------------------------------------------------------------------------------------------

    def options(self, **more: Any) -> dict[str, Any]:
        """What every pause of a fault says: the limit, and which guests are none of our business."""
        return {"pause_limit": self.limit, "exclude": self.excluded(), **more}

    def excluded(self) -> list[str]:
        """The guests that run and are none of our business: one of the fault's at least, and the lab's own."""
        return [*self._excluded, *(name for name, runs in self._lab_guests.items() if runs)]

    def start_pause(self, **more: Any) -> Run:
        """Begin to open a window."""
        return self.operator.start("guest_pause", **self.options(**more))

    def pause(self, **more: Any) -> str:
        """Open a window, see that all guests that are ours are paused, and return its id."""
        answer = self.start_pause(**more).answer(PATIENCE)
        expect(answer.verdict == "CHANGED", f"guest_pause should have paused: {answer.message}")
        self.wait_in("paused")
        return answer.result["window"]["id"]

    def refused(self, **more: Any) -> Answer:
        """Ask for a window and see that it is refused without any guest having been stopped."""
        answer = self.start_pause(**more).answer(PATIENCE)
        expect(answer.failed, f"guest_pause should have refused, and said {answer.verdict}")
        stopped = [event.guest for event in self.events() if event.what == "STOP" and event.guest in self._ours]
        expect(not stopped, f"it was refused ({answer.message}), but these were stopped: {', '.join(stopped)}")
        return answer

    def start_commands(self, *commands: list[str], **more: Any) -> Run:
        """Begin to run commands in a window."""
        return self.operator.start("preserved_command", **self.options(commands=list(commands), second_look=0, **more))

    def commands(self, *commands: list[str], timeout: float = 120, **more: Any) -> Answer:
        """Run commands in a window.

        :param timeout: Seconds.
        """
        return self.start_commands(*commands, **more).answer(timeout)

    def resume(self, window: str | None = None) -> Answer:
        """Ask guest_resume for the end of a window: it closes it, or says who has."""
        return self.operator.module("guest_resume", second_look=0, **({"window": window} if window else {}))

    def told_afterwards(self, window: str) -> str:
        """What guest_resume returns after the guard has done it: who closed the window, and each guest's fate."""
        answer = self.resume(window)
        # What the guard could not give back to a guest fails whoever asks for the window afterwards.
        expect(not answer.failed or answer.code == "not_given_back", f"guest_resume should return the closed window: {answer.message}")
        closed = answer.result["window"]
        rows = "; ".join(f"{one['name']}: {one['message']} ({one['resumed_by']}, {one['paused_for']} s)" for one in answer.result["guests"])
        return f"window closed by {closed['closed_by']}: {rows}"

    def start_update(self, *commands: list[str], **more: Any) -> Run:
        """Begin to run commands under paused guests as an operator updates a fleet: with the role, its verdicts and its checks."""
        variables = {
            # The lab's inventory gives packages.
            "host_update_packages": [], "host_update_commands": list(commands), "host_update_exclude": self.excluded(), "host_update_pause_limit": self.limit,
            "host_update_technique": "pause", **more,
        }  # fmt: skip
        return self.operator.start_update(**variables)

    def stop_libvirtd(self) -> None:
        """Stop it with its sockets."""
        self.host.shell(f"systemctl stop {_SOCKETS} libvirtd.service")

    def start_libvirtd(self) -> None:
        """Start it again."""
        self.host.shell(f"systemctl start {_SOCKETS} libvirtd.service")

    def qemu(self, name: str) -> int:
        """The process of a guest."""
        return self.host.call("qemu_pid", name=name)

    def signal(self, number: str, *pids: int) -> None:
        """Send a signal (its name) to processes of the host."""
        self.host.shell(f"kill -{number} {' '.join(map(str, pids))}")

    def virsh(self, *words: str, check: bool = True) -> str:
        """The owner of a guest at work."""
        return self.host.shell(shlex.join(["virsh", "--quiet", *words]), check=check)

    def hands_off(self, name: str) -> None:
        """From now on this guest is its owner's: nothing may be done to it any more."""
        now = time.monotonic()
        self._ours[name] = now
        self._not_ours[name] = now

    def never_ours(self, name: str) -> None:
        """This guest is somebody else's from the beginning; what was done to it before now was its owner's doing."""
        self._ours.pop(name, None)
        self._not_ours[name] = time.monotonic()

    def silent(self, name: str) -> None:
        """The fault itself has taken the network of this guest, or its memory: it is not asked for it."""
        self._addresses.pop(name, None)

    def excepted(self, name: str, why: str) -> None:
        """The fault itself keeps this guest from running by the deadline."""
        self._excepted[name] = why

    def freeze(self, name: str) -> int:
        """Stop the QEMU process of a guest: it cannot be resumed. It is excepted from the deadline. Returns the process."""
        pid = self.qemu(name)
        self.excepted(name, "QEMU itself stopped")
        self.signal("STOP", pid)
        return pid

    def thaw(self, name: str, pid: int) -> float:
        """Let it go on, and return how long it then stood still until it was resumed, seconds."""
        since = time.monotonic()
        self.signal("CONT", pid)
        self.wait_in("running", [name])
        late = [one for one in record.pauses(self.events(), name) if one.ended is not None and one.ended > since]
        return max((one.ended - max(one.began, since) for one in late if one.ended is not None), default=0.0)

    def host_is_lost(self) -> None:
        """The host goes down in this fault, and all of its guests with it."""
        self._lost_host = True
        for name in self._ours:
            self._ours[name] = time.monotonic()
        self._not_ours.clear()


def journal_has(stage: Stage, *words: str) -> str:
    """Wait until the guard's journal has these words, and return it."""

    def said() -> str:
        text = stage.journal()
        return text if all(word in text for word in words) else ""

    try:
        return wait_for(f"{words} in the guard's journal", said, PATIENCE)
    except Broken as error:
        raise Broken(f"{error}; it says: {stage.journal()[-600:]}") from error
