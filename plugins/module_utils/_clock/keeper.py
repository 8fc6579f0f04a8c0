# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting clocks right at once: each guest's as soon as it runs again, beside whatever else goes on."""
from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
import typing as t

from .._core.errors import GuestGone, LibvirtHangs, LibvirtUnreachable
from .._core.host_clock import words
from .._system.agent_socket import AgentSocket
from .._system.host_clock import host_clock
from .._system.hypervisor import Connection, Guest, describe
from .check import check_clock, continued
from .result import AGENT_TIMEOUT, clock_result

#: Clocks that are looked at at the same time. An agent that hangs occupies one of libvirt's workers until its time-out.
WIDTH = 4
#: Seconds that an agent has for each answer at first: the other guests wait for it. Who does not answer is asked again, last and with more patience.
QUICK = 1
#: Questions for a measurement.
SAMPLES = 5
#: Seconds for an agent, or libvirt itself, to be there again after a restart of libvirtd or of the guest's QEMU.
BACK_AGAIN = 10.0
#: Seconds between two tries for one guest.
AGAIN = 0.2
#: Seconds after which a thread with nothing to do ends.
IDLE = 1.0


class Task(t.NamedTuple):
    """One clock that is to be put right.

    :ivar uuid: libvirt's UUID of the guest.
    :ivar target: Seconds that it should be ahead of the host's.
    :ivar since: When the guest ran again, `CLOCK_MONOTONIC` seconds.
    :ivar had_agent: An agent was connected before, so it is waited for.
    :ivar name: libvirt's name of the guest.
    :ivar agent: Path of the agent's socket, for a time in which libvirt is away; empty when it is not known.
    """

    uuid: str
    target: float
    since: float
    had_agent: bool
    name: str = ""
    agent: str = ""


class _Try(t.NamedTuple):
    """One look at a clock that is to come; the one that is due first is the smallest.

    :ivar due: When, `CLOCK_MONOTONIC` seconds.
    :ivar number: Those that are due together come in this order.
    :ivar agent_timeout: Seconds for each answer of the agent.
    :ivar earlier: The record of the look before, when it came to no end.
    """

    due: float
    number: int
    task: Task
    agent_timeout: int = QUICK
    earlier: dict[str, t.Any] | None = None


def _reference() -> str:
    """What clocks are held against, in words."""
    try:
        return words(host_clock())
    except OSError:
        return words(None)


def _nothing_known(code: str, message: str) -> dict[str, t.Any]:
    return {"verdict": "unverified", "before": None, "after": None, "changed": False, "error": {"code": code, "message": message}}


class Keeper:
    """Puts clocks right in threads of its own.

    :param uri: The libvirt URI.
    :param tolerance: Seconds by which a clock may be off.
    :param correct: Whether a wrong clock is set, or only measured.
    :param patience: Seconds that a libvirt, or an agent, that is away is waited for, from the resume of the guest.
    """

    def __init__(self, uri: str, tolerance: float, correct: bool, patience: float = BACK_AGAIN) -> None:
        self._uri = uri
        self._tolerance = tolerance
        self._correct = correct
        self._patience = patience
        self._changed = threading.Condition()
        self._waiting: list[_Try] = []
        self._numbers = itertools.count()
        self._given: dict[str, Task] = {}
        self._done: dict[str, dict[str, t.Any]] = {}
        self._threads = 0

    def give(self, task: Task) -> None:
        """Take a guest that runs again; returns at once. A guest is taken once."""
        with self._changed:
            if task.uuid in self._given:
                return
            self._given[task.uuid] = task
            heapq.heappush(self._waiting, _Try(time.monotonic(), next(self._numbers), task))
            if self._threads < WIDTH:
                # No thread can be started: those that run do it, or none does, which the result says.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=self._work, daemon=True).start()
                    self._threads += 1
            self._changed.notify()

    def results(self, timeout: float) -> dict[str, dict[str, t.Any]]:
        """What became of the clocks, by the guests' UUIDs.

        :param timeout: Seconds to wait for all of them. Those that are not done by then are reported as unverified.
        """
        give_up = time.monotonic() + timeout
        with self._changed:
            while len(self._done) < len(self._given) and time.monotonic() < give_up:
                self._changed.wait(max(0.0, give_up - time.monotonic()))
            late = clock_result(_nothing_known("no_answer", f"its clock could not be looked at within {timeout:.0f} s"), None, _reference())
            return {uuid: self._done.get(uuid, late) for uuid in self._given}

    def _next(self) -> _Try | None:
        """The next look that is due; `None`: there was nothing to do for a while. Guests that are asked again do not hold up those that just ran."""
        with self._changed:
            while True:
                wait = self._waiting[0].due - time.monotonic() if self._waiting else IDLE
                if wait <= 0:
                    return heapq.heappop(self._waiting)
                if not self._changed.wait(wait) and not self._waiting:
                    self._threads -= 1
                    return None

    def _work(self) -> None:
        connection: Connection | None = None
        while True:
            found = self._next()
            if found is None:
                return
            task, agent_timeout = found.task, found.agent_timeout
            try:
                connection = connection or Connection(self._uri, 2.0)
                record = self._check(connection, task, agent_timeout)
            except LibvirtHangs as error:
                # It holds the agents' sockets.
                connection, record = None, _nothing_known("libvirt_unreachable", str(error))
            except LibvirtUnreachable as error:
                connection, record = None, self._without_libvirt(task, agent_timeout) or _nothing_known("libvirt_unreachable", str(error))
            except Exception as error:  # whatever it is with one guest, the others come next
                connection = None  # it may be the connection that broke
                record = _nothing_known("no_answer", describe(error))
            record = continued(record, found.earlier)
            again = self._again(task, record, agent_timeout)
            with self._changed:
                if again is not None:
                    heapq.heappush(self._waiting, _Try(time.monotonic() + AGAIN, next(self._numbers), task, again, record))
                else:
                    self._done[task.uuid] = clock_result(record, time.monotonic() - task.since, _reference())
                self._changed.notify_all()

    def _check(self, connection: Connection, task: Task, agent_timeout: int) -> dict[str, t.Any]:
        try:
            guest = connection.guest(task.uuid)
        except GuestGone as error:
            return _nothing_known("not_running", str(error))
        state = guest.state()
        if state.state == "paused" and state.reason in ("user", "unknown"):
            return _nothing_known("paused", f"libvirt says that it is paused ({state.reason})")
        return self._checked(guest, agent_timeout, task.target)

    def _without_libvirt(self, task: Task, agent_timeout: int) -> dict[str, t.Any] | None:
        """Ask the agent on its own socket, which is free while libvirtd is dead. `None`: it did not answer, and libvirt will be asked when it is back."""
        if not task.agent:
            return None
        try:
            record = self._checked(AgentSocket(task.name, task.uuid, task.agent), agent_timeout, task.target)
        except Exception:  # libvirt is on its way back, and has taken the socket
            return None
        return None if record["before"] is None else record

    def _checked(self, guest: Guest | AgentSocket, agent_timeout: int, target: float) -> dict[str, t.Any]:
        return check_clock(
            guest, target=target, tolerance=self._tolerance, samples=SAMPLES, correct=self._correct, agent_timeout=agent_timeout, check_mode=False,
        )

    def _again(self, task: Task, record: t.Mapping[str, t.Any], agent_timeout: int) -> int | None:
        """Whether to ask again, and with how many seconds for the agent."""
        code = (record.get("error") or {}).get("code")
        age = time.monotonic() - task.since
        # Paused: it ran just now. A libvirt that was away when it was resumed takes a moment to see that, or has to be told.
        if code in ("libvirt_unreachable", "no_answer", "paused"):
            return agent_timeout if age < self._patience else None
        if not task.had_agent:
            return None
        if code == "no_agent":
            return agent_timeout if age < self._patience else None
        # It was asked and gave no time: a slow one gets one more chance.
        return AGENT_TIMEOUT if code == "agent" and agent_timeout == QUICK else None
