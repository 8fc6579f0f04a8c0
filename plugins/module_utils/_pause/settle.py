# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling a pause window: every guest that we paused runs again, every other guest is left as it is.

The same code serves the modules and the guard. It is safe to repeat, and safe to run twice at once: each guest is looked
at anew before it is touched, and resuming a running guest does nothing.
"""
from __future__ import annotations

import os
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core import identity, states
from .._core.calls import Call, elapsed, run_lanes
from .._core.errors import GuestGone, LedgerError, LibvirtHangs, LibvirtUnreachable
from .._core.places import places
from .._system import qmp
from .._system.hypervisor import TOKEN_NAMESPACE, Connection, Guest, Lanes, daemon_said, describe
from .._system.opener import is_at_work
from .devices import UNANSWERED, give_back
from .ledger import Ledger
from .record import MAX_PAUSE_BUDGET, Entry, Window

#: Seconds after the first suspend in which a suspend that was given up can still happen: libvirt's own wait for a guest's
#: job lock is 30 s (QEMU_JOB_WAIT_TIME), and the suspends start within the pause budget.
LATE_SUSPEND = 30.0 + MAX_PAUSE_BUDGET
#: How long two or more calls about different guests may all be out before libvirtd counts as hanging: its workers are used up. Seconds.
ALL_OUT = 1.5
#: Seconds for one conversation with a monitor; the answer of a live QEMU takes milliseconds.
MONITOR_TIMEOUT = 0.5
MONITORS_AT_ONCE = 32
#: How often libvirt may refuse to resume a guest, because it cannot start a device of it, before QEMU itself is asked.
REFUSALS = 2


def _same_process(entry: Entry, guest: Guest) -> bool:
    # The id of the handle is fresh: it was looked up for this pass.
    if guest.id != entry.id:
        return False
    return identity.is_alive(identity.ProcessIdentity(entry.pid, entry.start_time))


def _resume(entry: Entry, guest: Guest, refusal: str) -> tuple[str, str, float]:
    """Resume one guest that is ours.

    :param refusal: libvirt's words, when it has refused more than once to start what belongs to the guest; empty: it is asked.
    """
    if not refusal:
        if guest.resume():
            entry.problem = ""  # what a look without libvirt could not give back, libvirt has
            return "resumed", "resumed through libvirt", time.monotonic()
        return "running", "it ran already", time.monotonic()
    guest.monitor({"execute": "cont"})
    at = time.monotonic()
    # Where libvirt has nothing to start but what is given back here, it has everything by now.
    entry.problem = give_back(entry) or ("" if entry.devices or entry.forwarding else f"libvirt could not start what belongs to it ({refusal})")
    return "resumed", f"resumed through QEMU, because libvirt could not resume it ({refusal})", at


def _look_and_resume(entry: Entry, window_id: str, guest: Guest, refusal: str = "") -> tuple[str, str, float]:
    """One guest: look, decide, resume. Returns the outcome, the reason in words and the monotonic time."""
    state = guest.state()
    # The token costs a call; only the verdict on a paused guest needs it.
    token = guest.token() if state.state == "paused" else None
    verdict, why = states.resume_verdict(window_id, states.Sighting(_same_process(entry, guest), state, token))
    if verdict == "resume":
        return _resume(entry, guest, refusal)
    if verdict == "running" and entry.phase == "pausing" and guest.busy():
        return "busy", "it runs, and libvirt is still waiting for an answer of its QEMU", time.monotonic()
    return verdict, why, time.monotonic()


def _record(entry: Entry, outcome: str, why: str, at: float, by: str, late_suspend_possible: bool) -> None:
    if outcome == "resumed":
        entry.settle("resumed", why, by, at)
    elif outcome == "busy":
        # The suspend is under way: libvirt waits for the monitor without a time-out. It pauses the guest when QEMU answers.
        entry.message = why
    elif outcome == "running":
        if entry.phase == "pausing" and late_suspend_possible:
            # The suspend was never seen to return: it may still come. Keep looking.
            entry.message = "it runs; a suspend that was given up may still come"
            return
        # Paused by us and running now, though not by our hand: its owner (or another settler) resumed it.
        entry.settle("running", why, "owner" if entry.phase == "paused" and entry.paused_at is not None else None, at)
    elif outcome == "gone":
        entry.settle("gone", why)
    else:
        entry.settle("not_ours", why)


def _recorded(entry: Entry, runtime: str) -> tuple[str | None, str, str | None] | None:
    """Process id, monitor and token in libvirt's status file of a guest, which libvirt writes at every change.

    :param runtime: libvirt's folder of status files.
    :returns: `None` when there is no such file of this guest.
    """
    if "/" in entry.name:
        return None
    try:
        with open(os.path.join(runtime, entry.name + ".xml"), "rb") as stream:
            root = ET.fromstring(stream.read())
    except (OSError, ET.ParseError, LookupError, ValueError):
        return None
    if root.findtext("domain/uuid") != entry.uuid:
        return None
    monitor, token = root.find("monitor"), root.find(f"domain/metadata/{{{TOKEN_NAMESPACE}}}window")
    return root.get("pid"), "" if monitor is None else monitor.get("path", ""), None if token is None else token.get("id")


def _ask_monitor(entry: Entry, window: Window) -> tuple[str, str, float]:
    """One guest without libvirt: look, resume if QEMU says paused. Returns what `_look_and_resume` does, or `waits` as the outcome.

    Its devices are still to be given back.
    """
    if not identity.is_alive(identity.ProcessIdentity(entry.pid, entry.start_time)):
        return "gone", "its QEMU process does not run any more", time.monotonic()
    recorded = _recorded(entry, places(window.uri).runtime)
    # Where libvirt's record of the guest cannot be read, the identity of the process has to do.
    if recorded is not None and recorded != (str(entry.pid), entry.monitor, window.id):
        return "not_ours", "libvirt's record of it does not show our token on that process and monitor", time.monotonic()
    if entry.only_libvirt:
        return "waits", f"libvirt does not answer, and only libvirt may resume it ({entry.only_libvirt}); trying again", time.monotonic()
    status = qmp.resume_if_paused(entry.monitor, MONITOR_TIMEOUT)
    at = time.monotonic()
    if status == "paused":
        return "resumed", "resumed through QEMU's monitor, libvirt did not answer", at
    if status == "running":
        return "running", "it ran already", at
    return "not_ours", f"QEMU says {status}, which we did not do", time.monotonic()


class Settler:
    """Brings one window to its end, pass by pass.

    :param by: Who we are, for the record: `module` or `guard`.
    :param connect: Seconds that libvirt has to accept a connection before the monitors are tried.
    :param calls: Seconds that libvirt has for the guests of one pass.
    :param runs_again: Called with each guest, in the thread that resumed it, as soon as it runs again.
    :ivar libvirt_hangs: In the last pass libvirt did not answer, and somebody held the guests' monitors.
    """

    def __init__(
        self, by: str, connect: float = 2.0, calls: float = 4.0, runs_again: t.Callable[[Entry, float], None] = lambda _entry, _at: None,
    ) -> None:
        self.by = by
        self.connect = connect
        self.calls = calls
        self.runs_again = runs_again
        self.libvirt_hangs = False
        #: How often libvirt itself has refused to resume a guest, and its last words.
        self._refused: dict[str, tuple[int, str]] = {}
        #: The last question whether libvirt has a worker to spare.
        self._probe: Call[None] | None = None
        #: Guests resumed behind libvirt's back; libvirt may still believe that they are paused.
        self.by_monitor: set[str] = set()
        #: Calls that have not come back. A guest gets no second one before: libvirtd has twenty workers for everybody.
        self._waiting: dict[str, Call[t.Any]] = {}

    def settle(self, window: Window, through_libvirt: bool = True) -> None:
        """One pass over the unsettled guests; the entries are changed in place. Never raises for one guest's trouble.

        :param through_libvirt: `false`: straight to the monitors; libvirt was just seen to be away.
        """
        if not window.unsettled():
            return
        if window.boot_id != identity.boot_id():
            for entry in window.unsettled():
                entry.settle("gone", "the host was rebooted since, and its QEMU with it")
            return
        opener = identity.ProcessIdentity(window.opener_pid, window.opener_start_time)
        opened = window.deadline - window.pause_limit
        late = is_at_work(opener) or time.monotonic() < opened + LATE_SUSPEND
        self.libvirt_hangs = False
        try:
            if not through_libvirt:
                raise LibvirtUnreachable("libvirt was seen to be away")
            self._through_libvirt(window, late)
        except LibvirtUnreachable as error:
            # Also one that refuses connections may hold the monitors: it is starting, or stopping, which takes seconds with many guests.
            silent = self._through_monitors(window, window.unsettled(), late)
            # The monitor of a guest that only libvirt may resume is not asked, so it tells nothing.
            self.libvirt_hangs = silent or (isinstance(error, LibvirtHangs) and any(entry.only_libvirt for entry in window.unsettled()))

    def _through_libvirt(self, window: Window, late: bool) -> None:
        """One pass through libvirt.

        :raises LibvirtHangs: It takes calls, and answers none.
        :raises LibvirtUnreachable: It does not answer at all.
        """
        entries = {entry.uuid: entry for entry in window.unsettled()}
        earlier = {uuid: call for uuid, call in self._waiting.items() if uuid in entries}
        fresh = [uuid for uuid in entries if uuid not in earlier]
        lanes = Lanes(window.uri, fresh, self.connect)
        forgotten = [uuid for uuid in fresh if uuid not in lanes.guests and uuid not in lanes.silent]
        for uuid, why in lanes.silent.items():
            entries[uuid].message = f"libvirt does not find it ({why}); trying again"
        made = lanes.each(fresh, lambda guest: self._one(entries[guest.uuid], window.id, guest), self.calls)
        if window.resumed_within is None:
            window.resumed_within = elapsed(made.values())
        self._waiting = {uuid: call for uuid, call in {**earlier, **made}.items() if call.state == "running"}
        for uuid, call in {**earlier, **made}.items():
            entry = entries[uuid]
            try:
                outcome, why, at = call.result()
            except GuestGone:
                forgotten.append(uuid)
            except TimeoutError:
                entry.message = "libvirt did not answer about it; trying again"
            except Exception as error:  # libvirt's error on one guest must not keep the others paused
                entry.message = f"libvirt could not resume it ({describe(error)}); trying again"
                if daemon_said(error):
                    self._refused[uuid] = self._refused.get(uuid, (0, ""))[0] + 1, describe(error)
            else:
                if outcome == "gone":
                    forgotten.append(uuid)
                elif uuid in made or outcome not in ("running", "busy"):
                    # A look of an earlier pass is old by now: a late suspend may have come after it.
                    _record(entry, outcome, why, at, self.by, late)
        self._forgotten(window, [entries[uuid] for uuid in forgotten], late)
        self._see_if_it_answers(window.uri, entries, {**earlier, **made})

    def _one(self, entry: Entry, window_id: str, guest: Guest) -> tuple[str, str, float]:
        """One guest through libvirt. What libvirt refuses again and again, because it cannot start what belongs to the guest, QEMU does."""
        times, words = self._refused.get(entry.uuid, (0, ""))
        found = _look_and_resume(entry, window_id, guest, words if times >= REFUSALS and not entry.only_libvirt else "")
        self._tell(entry, found)
        return found

    def _tell(self, entry: Entry, found: tuple[str, str, float]) -> None:
        outcome, _why, at = found
        if outcome == "resumed" or (outcome == "running" and entry.phase == "paused"):
            self.runs_again(entry, at)

    def _through_monitors(self, window: Window, entries: t.Sequence[Entry], late: bool) -> bool:
        """One pass over some guests without libvirt. Returns whether a monitor was silent, that is: libvirtd lives but does not answer."""
        seen: dict[str, tuple[str, str, float]] = {}

        def one(entry: Entry) -> tuple[str, str, float]:
            found = _ask_monitor(entry, window)
            if found[0] in ("resumed", "running"):
                entry.problem = UNANSWERED if entry.devices or entry.forwarding else ""
            seen[entry.uuid] = found
            self._tell(entry, found)
            if found[0] in ("resumed", "running"):
                # Also to one that ran already: a conversation of ours may have broken off after it was resumed.
                entry.problem = give_back(entry)
            return found

        calls = [Call(lambda entry=entry: one(entry)) for entry in entries]
        # Together: monitors that libvirtd holds cost their whole time-out each.
        run_lanes([calls], MONITORS_AT_ONCE, MONITOR_TIMEOUT * 2 * (1 + len(calls) / MONITORS_AT_ONCE))
        silent = False
        for entry, call in zip(entries, calls):
            try:
                # A guest that runs is not asked for again because the kernel takes its time for the guest's devices.
                outcome, why, at = seen[entry.uuid] if entry.uuid in seen else call.result()
            except (qmp.MonitorSilent, TimeoutError):
                silent = True
                entry.message = "libvirt does not answer and holds its monitor; trying again"
                continue
            except Exception as error:  # whatever it is with one guest, the others come next
                entry.message = f"libvirt does not answer and its monitor cannot be used ({error}); trying again"
                continue
            if outcome == "waits":
                entry.message = why
                continue
            if outcome in ("resumed", "running"):
                # A guest found running may have been resumed by a conversation of ours that broke off.
                self.by_monitor.add(entry.uuid)
            _record(entry, outcome, why, at, self.by, late)
        return silent

    def _forgotten(self, window: Window, entries: t.Sequence[Entry], late: bool) -> None:
        """Guests that libvirt does not have any more. Some have ended; a libvirtd that was replaced may also have lost one that still stands."""
        alive = [entry for entry in entries if identity.is_alive(identity.ProcessIdentity(entry.pid, entry.start_time))]
        for entry in entries:
            if entry not in alive:
                _record(entry, "gone", "it does not run any more", time.monotonic(), self.by, late)
        self._through_monitors(window, alive, late)

    def _see_if_it_answers(self, uri: str, entries: t.Mapping[str, Entry], asked: t.Mapping[str, Call[t.Any]]) -> None:
        """libvirtd opens connections and finds guests with workers of their own: they do when all others are stuck.

        :raises LibvirtHangs: No call comes back, though several guests were asked about whose QEMU is not to blame; or one, and nothing else is answered.
        """
        if any(call.state != "running" for call in asked.values()):
            return
        now = time.monotonic()
        blameless = [
            uuid for uuid, call in asked.items()
            if not identity.is_stopped(entries[uuid].pid) and now - t.cast(float, call.started_at) > ALL_OUT
        ]
        if len(blameless) > 1 or (blameless and self._has_no_worker(uri)):
            raise LibvirtHangs("libvirt takes calls and answers none")

    def _has_no_worker(self, uri: str) -> bool:
        """Whether libvirtd answers nothing that is not about a guest, either: then it is not that guest's fault."""
        if self._probe is None or self._probe.state != "running":
            self._probe = Call(lambda: Connection(uri, self.connect).answer())
            run_lanes([[self._probe]], 1, self.connect)
        try:
            self._probe.result()
        except (TimeoutError, LibvirtHangs):
            return True
        except Exception:  # it answers, if only with an error; or it has gone, which the next pass sees
            return False
        return False

    def tell_libvirt(self, window: Window) -> bool:
        """Resume once more, through libvirt, what was resumed through a monitor.

        :returns: Whether libvirt knows now that they all run.
        :raises LibvirtUnreachable: libvirt is still away.
        """
        entries = {entry.uuid: entry for entry in window.guests if entry.uuid in self.by_monitor}
        lanes = Lanes(window.uri, list(entries), self.connect)
        made = lanes.each(entries, lambda guest: _look_and_resume(entries[guest.uuid], window.id, guest), self.calls)
        for entry in entries.values():
            # What was away at the deadline may be there by now; and a libvirtd that begins anew leaves devices as it finds them.
            entry.problem = give_back(entry)
        self.by_monitor = {uuid for uuid, call in made.items() if call.state != "done"} | set(lanes.silent)
        return not self.by_monitor

    def clear_tokens(self, window: Window) -> None:
        """Remove our mark from the guests; a mark that stays behind is harmless (its window is closed).

        :raises LibvirtUnreachable: libvirt does not answer.
        """
        lanes = Lanes(window.uri, [entry.uuid for entry in window.guests if entry.outcome != "gone"], self.connect)

        def clear(guest: Guest) -> None:
            if guest.token() == window.id:
                guest.clear_token()

        lanes.each(list(lanes.guests), clear, self.calls)


def save(ledger: Ledger, window: Window, log: list[str]) -> bool:
    """Write the ledger; a failure is reported and does not stop the settling, which matters more.

    :param log: Takes the message of a failure.
    :returns: Whether it was written.
    """
    try:
        ledger.write(window)
    except LedgerError as error:
        log.append(str(error))
        return False
    return True
