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
_EVENTS = f"{guests.FOLDER}/events"
#: Seconds to wait for what has no limit of its own: the machine may be busy.
PATIENCE = 90.0


@dataclasses.dataclass
class Verdict:
    """What became of the guests, seen from outside.

    :ivar past: Guests paused past the deadline.
    :ivar frozen: Guests excepted from that, because their own QEMU was stopped by the fault.
    :ivar touched: Guests touched that were not ours.
    :ivar longest: Seconds of the longest pause of ours.
    """

    past: list[str]
    frozen: list[str]
    touched: list[str]
    longest: float

    def past_cell(self, limit: float) -> str:
        """The cell of the guests past the deadline."""
        names = f": {', '.join(self.past)}" if self.past else f" (longest {self.longest:.2f} of {limit:g} s)"
        frozen = f"; excepted, QEMU itself stopped: {', '.join(self.frozen)}" if self.frozen else ""
        return f"{len(self.past)}{names}{frozen}"

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
        self._frozen: list[str] = []
        self._lab_guests: dict[str, bool] = {}
        self._began = math.inf
        self._lost_host = False

    # --- before and after ---------------------------------------------------------------------------------------------

    def open(self, cast: list[guests.Guest] | None = None) -> None:
        """A clean host with these guests, and the observer watching them.

        :param cast: The guests; the usual ones when left out.
        """
        cast = guests.usual() if cast is None else cast
        self.host.call("clean")
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

    def judge(self) -> Verdict:
        """Look at everything that was seen. To be called when the fault is over."""
        events, now = self.events(), time.monotonic()
        ours = {name: end for name, end in self._ours.items() if name not in self._frozen}
        touched = record.touched(events, self._not_ours)
        if not self._lost_host:
            touched += record.changed_for_libvirt(events, self._lab_guests, self._began)
            kept_out = [name for name, since in self._not_ours.items() if since <= self._began]
            touched += [f"{name} (marked)" for name in self.host.call("marked", names=[*kept_out, *self._lab_guests])]
        return Verdict(record.past_the_deadline(events, ours, self.limit, now), list(self._frozen), touched, record.longest(events, ours, now))

    def see_all_well(self) -> None:
        """At the end of a fault every guest that is ours runs, for QEMU and for libvirt; and nothing of ours is left on the host."""
        names = [name for name, end in self._ours.items() if end == math.inf]
        wait_for("all guests that are ours run", lambda: self.all_in("running", names), PATIENCE)

        def libvirt_knows() -> bool:
            events = self.events()
            return all((record.libvirt_state(events, name) or "").startswith("1/") for name in names)

        wait_for("libvirt shows all guests that are ours as running", libvirt_knows, PATIENCE)
        wait_for("the guard's end", lambda: not self.units(), self.limit + PATIENCE)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def events(self) -> list[record.Event]:
        """Everything that the observer has seen so far."""
        text = self.host.shell(f"cat {_EVENTS}", check=False)
        return [record.Event(**json.loads(line)) for line in text.splitlines() if line.endswith("}")]

    def names(self) -> list[str]:
        """The guests that are ours."""
        return list(self._ours)

    def all_in(self, state: str, names: list[str] | None = None) -> bool:
        """Whether QEMU says that these guests (those that are ours) are C(running), C(paused) or C(gone)."""
        events = self.events()
        return all(record.state(events, name) == state for name in (self._ours if names is None else names))

    def wait_in(self, state: str, names: list[str] | None = None, timeout: float = PATIENCE) -> None:
        """Wait until they are.

        :param timeout: Seconds.
        """
        wait_for(f"{', '.join(names or self._ours)} {state}", lambda: self.all_in(state, names), timeout)

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
        aside = [name for name in self._not_ours if self._not_ours[name] <= self._began and name != "chaos-owner"]
        running = [name for name, runs in self._lab_guests.items() if runs]
        return {"pause_limit": self.limit, "exclude": [*aside, *running], **more}

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
        """Ask guest_resume for the end of a window: it closes it, or tells who has."""
        return self.operator.module("guest_resume", second_look=0, **({"window": window} if window else {}))

    def told_afterwards(self, window: str) -> str:
        """What guest_resume tells after the guard has done it: who closed the window, and each guest's fate."""
        answer = self.resume(window)
        expect(not answer.failed, f"guest_resume should tell of the closed window: {answer.message}")
        closed = answer.result["window"]
        rows = "; ".join(f"{one['name']}: {one['message']} ({one['resumed_by']}, {one['paused_for']} s)" for one in answer.result["guests"])
        return f"window closed by {closed['closed_by']}: {rows}"

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
        del self._ours[name]
        self._not_ours[name] = time.monotonic()

    def freeze(self, name: str) -> int:
        """Stop the QEMU process of a guest: nobody can resume it. It is excepted from the deadline. Returns the process."""
        pid = self.qemu(name)
        if name not in self._frozen:
            self._frozen.append(name)
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
