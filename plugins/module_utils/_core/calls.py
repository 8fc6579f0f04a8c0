# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many blocking calls at once, each of which can be given up.

libvirt has no client-side time-out. A call that does not come back is left behind in its (daemon) thread; it may still
execute later, so whoever gives a call up has to keep looking at what it was about.
"""
from __future__ import annotations

import collections
import threading
import time
import typing as t

T = t.TypeVar("T")


class Call(t.Generic[T]):
    """One call and what became of it.

    :param function: What to call.
    :ivar state: `waiting`: never started. `running`: started and not back (yet). `done`: it returned.
        `failed`: it raised `error`.
    :ivar started_at: `CLOCK_MONOTONIC` seconds just before the call.
    :ivar ended_at: `CLOCK_MONOTONIC` seconds just after it.
    """

    def __init__(self, function: t.Callable[[], T]) -> None:
        self.function = function
        self.state = "waiting"
        self.value: T | None = None
        self.error: Exception | None = None
        self.started_at: float | None = None
        self.ended_at: float | None = None

    def take(self) -> None:
        """Note that the call is about to be made. Whoever sees it `waiting` after the time-out knows that it never will be."""
        self.started_at = time.monotonic()
        self.state = "running"

    def run(self) -> None:
        """Make the call. Never raises: the error is kept."""
        if self.state == "waiting":
            self.take()
        try:
            self.value = self.function()
        except Exception as error:  # kept and shown by the caller, who knows the guest
            self.error = error
        self.ended_at = time.monotonic()
        self.state = "done" if self.error is None else "failed"

    def result(self) -> T:
        """The value of a call that is done.

        :raises TimeoutError: It did not come back (or was never started).
        :raises Exception: What the call raised.
        """
        if self.state in ("waiting", "running"):
            raise TimeoutError("no answer in time")
        if self.error is not None:
            raise self.error
        return t.cast(T, self.value)


def run_lanes(lanes: t.Sequence[t.Sequence[Call[t.Any]]], width: int, timeout: float) -> None:
    """Run calls in parallel, lane by lane, and return when all are back or the time is over.

    :param lanes: One list of calls for each connection. They start in the order given.
    :param width: How many calls of one lane may be in flight at once.
    :param timeout: Seconds. After it no further call is started; those in flight are left behind.
    """
    over = False
    # Taking a call and calling time are one or the other: a call left waiting is never made.
    taking = threading.Lock()
    queues = [collections.deque(lane) for lane in lanes]
    remaining = sum(len(queue) for queue in queues)
    if not remaining:
        return
    finished = threading.Semaphore(0)

    def work(queue: collections.deque[Call[t.Any]]) -> None:
        while True:
            with taking:
                if over or not queue:
                    return
                call = queue.popleft()
                call.take()
            call.run()
            finished.release()

    give_up = time.monotonic() + timeout
    try:
        for queue in queues:
            for number in range(min(width, len(queue))):
                try:
                    threading.Thread(target=work, args=(queue,), daemon=True).start()
                except RuntimeError:  # the host gives no more threads: those that there are do it
                    if not number:
                        raise
                    break
        for _number in range(remaining):
            if not finished.acquire(timeout=max(0.0, give_up - time.monotonic())):
                break
    finally:
        with taking:
            over = True


def elapsed(calls: t.Iterable[Call[t.Any]]) -> float | None:
    """Seconds from the first start to the last end of the calls that succeeded; `None` when none did."""
    done = [call for call in calls if call.state == "done"]
    if not done:
        return None
    return max(t.cast(float, call.ended_at) for call in done) - min(t.cast(float, call.started_at) for call in done)


def call_with_timeout(function: t.Callable[[], T], timeout: float) -> T:
    """Make one call that can be given up.

    :param timeout: Seconds.
    :raises TimeoutError: It did not come back in time.
    :raises Exception: What the call raised.
    """
    call = Call(function)
    run_lanes([[call]], 1, timeout)
    return call.result()
