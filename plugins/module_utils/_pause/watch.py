# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: the process on the host that resumes a window's guests when the deadline passes.

It runs as a program of its own, outside Ansible and outside the SSH session, started before the first suspend. It follows
the ledger: when the window is closed it ends; when the deadline comes first, it settles the window itself and does not
give up before every entry is settled. It prints to its standard output, which systemd keeps in the journal.
"""
from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
import typing as t

from .._clock.due import DueClocks
from .._core import identity
from .._core.calls import Call, call_with_timeout, run_lanes
from .._core.errors import LedgerError, LibvirtHangs, LibvirtUnreachable, WindowBusy
from .._core.places import SYSTEM_URI, places
from .._core.records import now_utc
from .._system.hypervisor import Connection
from .._system.opener import is_at_work
from .ledger import Ledger
from .limits import early_lead, lead
from .record import Entry, Window
from .settle import Settler, save

#: Seconds between two looks at the ledger while there is nothing to do.
FOLLOW = 0.2
#: How long the guard tries to have a libvirtd that comes back later know which guests run. Seconds.
TELL_LIBVIRT = 120.0
#: How long libvirt may hold the monitors without answering, once the guests have to be resumed, before it is killed: one whole pass. Seconds.
HANG_LIMIT = 1.0
#: How often one guard takes the last resort. A libvirtd that hangs anew each time is not what is wrong.
KILLS = 2
#: Seconds between two looks whether libvirt hangs, shortly before the deadline, and the longest that one takes.
PROBE = 1.0
#: How long the monitors alone are tried after libvirtd was killed: a QEMU needs a moment to see its old reader gone. Seconds.
MONITORS_FREE = 1.0
#: How long another holder may keep the lock of the ledger, before the guard goes on without it. Seconds.
LOCK = 0.5
#: How long the disk may take for the ledger, before the guard goes on with what it knows. Seconds.
DISK = 1.0

#: How long the guard waits for the clocks of all guests, once they run and libvirt answers. Seconds.
CLOCKS = 60.0
#: Seconds to wait for the ledger's lock, to write down what became of them.
CLOCKS_LOCK = 30.0

#: How long a guard that is not waited for (the backstop) tries to read the ledger at all. Seconds.
FIRST_LOOK = 20.0

T = t.TypeVar("T")
#: How long a recovery by hand goes on trying. Seconds.
RECOVER = 60.0


def say(text: str) -> None:
    """Print a line for the journal."""
    # The journal may be restarted by the very update: a pipe without a reader must not keep guests paused.
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)  # pylint: disable=ansible-bad-function


def is_awaited() -> bool:
    """Whether somebody waits for us to say that we watch, and pauses guests then."""
    return bool(os.environ.get("NOTIFY_SOCKET") or os.environ.get("VM_PRESERVING_READY_FD"))


def notify_ready() -> None:
    """Tell systemd that the guard watches now (sd_notify(3)); without systemd, tell the parent on descriptor 3."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.sendall(b"READY=1")
    elif os.environ.get("VM_PRESERVING_READY_FD"):
        handle = int(os.environ["VM_PRESERVING_READY_FD"])
        os.write(handle, b"ready\n")
        os.close(handle)


def same_window(before: Window, now: Window) -> bool:
    """Whether a later reading of the ledger is of the same window as an earlier one.

    Only how far we got with the guests changes, and the deadline only comes nearer. Anything else was not written by us.
    """
    def fixed(window: Window) -> tuple[t.Any, ...]:
        return (
            window.id, window.uri, window.boot_id, window.opener_pid, window.opener_start_time, window.pause_limit,
            window.correct_clocks, window.clock_tolerance,
            [(
                entry.name, entry.uuid, entry.id, entry.pid, entry.start_time, entry.monitor, entry.devices, entry.forwarding, entry.only_libvirt,
                entry.agent, entry.clock_target,
            ) for entry in window.guests],
        )

    return fixed(before) == fixed(now) and now.deadline <= before.deadline and (now.is_open or not now.unsettled())


def _may_be_paused(window: Window) -> bool:
    """Whether a guest that was not settled when we last looked still has its QEMU."""
    return any(identity.is_alive(identity.ProcessIdentity(entry.pid, entry.start_time)) for entry in window.unsettled())


class Guard:
    """The guard of one window.

    :param uri: The libvirt URI.
    :param window_id: The window to watch; the guard ends when the ledger holds another.
    """

    def __init__(self, uri: str, window_id: str) -> None:
        self.uri = uri
        self.window_id = window_id
        self.ledger = Ledger(places(uri))
        # Short: what has not come back is not asked again, and is looked at in the next pass.
        self.settler = Settler("guard", connect=1.0, calls=1.0, runs_again=self._runs_again)
        self._clocks: DueClocks | None = None
        self.last_good: Window | None = None
        self._read_at = 0.0
        self._distrusted = False
        self._hanging_since: float | None = None
        self._monitors_until = 0.0
        self._kills = 0
        self._on_disk: Call[t.Any] | None = None
        self._told: set[str] = set()

    def _tell(self, text: str) -> None:
        """Say something once."""
        if text not in self._told:
            self._told.add(text)
            say(text)

    def _from_disk(self, function: t.Callable[[], T], timeout: float = DISK) -> T:
        """One call that needs the disk: storage that went away must not keep guests paused.

        :raises LedgerError: The disk does not answer, or the call says so.
        """
        if self._on_disk is not None and self._on_disk.state == "running":
            raise LedgerError("the disk of the ledger does not answer")
        call = self._on_disk = Call(function)
        run_lanes([[call]], 1, timeout)
        try:
            return call.result()
        except TimeoutError as error:
            raise LedgerError("the disk of the ledger does not answer") from error

    def _first_look(self) -> Window | None:
        """The window when the guard starts; `None`: it is closed.

        :raises LedgerError: The ledger cannot be read, and there is no earlier look to go by.
        """
        window = self._from_disk(self.ledger.read)
        if window is None or window.id != self.window_id or not window.is_open:
            return None
        self.last_good, self._read_at = window, time.monotonic()
        return window

    def _window(self) -> Window | None:
        """The window as the ledger has it, or as it last had it if the ledger cannot be read, or trusted, any more."""
        if self._distrusted:
            return self.last_good
        asked_at = time.monotonic()
        try:
            window = self._from_disk(self.ledger.read)
        except LedgerError as error:
            self._tell(f"{error.problem}; going on with what it said before")
            return self._what_it_said()
        if window is None:
            # Somebody removed the file; the guests are still paused by us.
            return self._what_it_said()
        if self.last_good is not None and not same_window(self.last_good, window) and _may_be_paused(self.last_good):
            self._distrusted = True
            # If the window was closed and the next one opened between two looks, going on is harmless: the guests carry the next one's mark.
            self._tell(f"the ledger does not match what it said before (it has window {window.id} now); going on with what it said before")
            return self._what_it_said()
        if window.id != self.window_id or not window.is_open:
            return None
        self.last_good, self._read_at = window, asked_at
        return window

    def _what_it_said(self) -> Window | None:
        if self.last_good is not None:
            # The guard is started with a far deadline; the real one is in the ledger before the first suspend, and is not sooner than this.
            self.last_good.deadline = min(self.last_good.deadline, self._read_at + self.last_good.pause_limit)
        return self.last_good

    def follow(self) -> int:
        """Watch until the window is closed, by whomever. Returns the exit code of the process."""
        give_up = time.monotonic() + FIRST_LOOK
        while True:
            try:
                window = self._first_look()
                break
            except LedgerError as error:
                self._tell(f"{error.problem}; this guard knows no window to go by")
                # When the guard is waited for, no guest is paused after such an answer; and systemd restarts a guard that had watched before.
                if is_awaited() or time.monotonic() > give_up:
                    return 1
                time.sleep(FOLLOW)
        if window is None:
            say(f"window {self.window_id} is closed; nothing to do")
            return 0
        # Read now what has to be read from the disk, Python's own modules included.
        identity.boot_id()
        notify_ready()
        while True:
            try:
                window = self._watch()
                break
            except Exception as error:  # a defect of ours must not end the watch
                self._tell(f"unexpected {type(error).__name__} ({error}); going on")
                time.sleep(FOLLOW)
        if window is None:
            return 0
        say(f"the deadline of window {window.id} is near; resuming {', '.join(entry.name for entry in window.unsettled())}")
        self._stop_a_stuck_opener(window)
        self._settle(None)
        return 0

    def _watch(self) -> Window | None:
        """Wait until the guests have to be resumed. Returns the window, `None` when somebody else has closed it."""
        probe_at = -1.0
        while True:
            window = self._window()
            if window is None:
                return None
            now = time.monotonic()
            left = window.deadline - now
            begins = lead(window.pause_limit, window.paused_within)
            if left <= begins:
                return window
            # Not so late that the look itself, which takes as long with a libvirtd that hangs, would cost the time that the resume needs.
            if begins + PROBE <= left <= early_lead(window.pause_limit) and now >= probe_at:
                probe_at = now + PROBE
                if _hangs(window.uri):
                    say("libvirt accepts connections and does not answer; beginning early")
                    self._hanging_since = now
                    return window
                continue
            time.sleep(min(FOLLOW, left - begins))

    def recover(self) -> int:
        """Resume what is left, now. Returns the exit code of the process: 1 when a guest could not be settled."""
        try:
            window = self._first_look()
        except LedgerError as error:
            say(str(error))
            return 1
        if window is None:
            return 0
        say(f"window {window.id}, opened by {window.opener} at {window.opened_at}, is open; resuming its guests")
        if self._settle(time.monotonic() + RECOVER):
            return 0
        say("not every guest was seen to run; look at the guests named above (virsh list, virsh domstate), then run this again")
        return 1

    def _stop_a_stuck_opener(self, window: Window) -> None:
        """End the process that is still suspending guests at the deadline: it must not pause one more."""
        opener = identity.ProcessIdentity(window.opener_pid, window.opener_start_time)
        if any(entry.phase == "pausing" for entry in window.guests) and is_at_work(opener):
            say(f"process {opener.pid}, which opened the window, is still suspending guests at the deadline; killing it")
            self._kill(opener.pid)

    def _settle(self, give_up: float | None) -> bool:
        """Settle the window, pass after pass.

        :param give_up: `CLOCK_MONOTONIC` seconds; `None`: never.
        :returns: Whether it is settled, by whomever.
        """
        if self._clocks is None and self.last_good is not None:
            self._clocks = DueClocks(self.last_good, TELL_LIBVIRT)
        while True:
            began = time.monotonic()
            try:
                window = self._pass()
                if window is None:
                    return True
                if not window.unsettled():
                    break
                self._unblock(began)
            except Exception as error:  # a defect of ours in one pass must not keep guests paused for ever
                self._tell(f"unexpected {type(error).__name__} ({error}); trying again")
            if give_up is not None and time.monotonic() > give_up:
                return False
            # What is left after a minute is a guest whose QEMU does not answer: no need to hurry, and none to give up.
            time.sleep(FOLLOW if self.last_good is None or time.monotonic() < self.last_good.deadline + 60 else 1.0)
        self._after(window)
        return True

    def _pass(self) -> Window | None:
        """Settle once. Returns the window as it is then, closed when everything is settled; `None`: somebody else closed it."""
        with self._lock_if_possible():
            window = self._window()
            if window is None:
                return None
            before = {entry.uuid for entry in window.unsettled()}
            self.settler.settle(window, through_libvirt=time.monotonic() >= self._monitors_until)
            for entry in window.clocks_due:
                # Also of those that a module resumed which went no further: the guests that are left can take long.
                self._runs_again(entry, t.cast(float, entry.resumed_at))
            for entry in window.guests:
                if entry.uuid in before:
                    self._tell(f"guest {entry.name}: {entry.outcome or entry.phase}: {entry.message}")
            if not window.unsettled():
                self._close(window)
            else:
                self._save(window)
                self.last_good = window
            return window

    def _unblock(self, began: float) -> None:
        """When libvirt has held the monitors without answering for too long, take the last resort.

        :param began: When the pass began that has just ended, `CLOCK_MONOTONIC` seconds.
        """
        if not self.settler.libvirt_hangs:
            self._hanging_since = None
            return
        self._hanging_since = self._hanging_since or began
        if time.monotonic() - self._hanging_since > HANG_LIMIT and self._kills < KILLS:
            self._hanging_since = None
            if self._kill_libvirtd():
                self._kills += 1
                # Its successor needs a while, and takes the monitors again.
                self._monitors_until = time.monotonic() + MONITORS_FREE

    def _save(self, window: Window) -> None:
        log: list[str] = []

        def write() -> None:
            with contextlib.suppress(LedgerError):
                found = self.ledger.read()
                if found is not None and found.id != window.id:
                    return  # another window's record is not ours to replace
            save(self.ledger, window, log)

        try:
            self._from_disk(write)
        except LedgerError as error:
            log.append(error.problem)
        for line in log:
            self._tell(line)

    @contextlib.contextmanager
    def _lock_if_possible(self) -> t.Iterator[None]:
        """Take the lock, but never let its holder, or the disk, keep guests paused: after a while go on without it."""
        with contextlib.ExitStack() as stack:
            try:
                self._from_disk(lambda: stack.enter_context(self.ledger.locked(LOCK)), LOCK + DISK)
            except (WindowBusy, LedgerError) as error:
                self._tell(f"going on without the lock: {error}")
            yield

    def _close(self, window: Window) -> None:
        window.closed_at = now_utc()
        window.closed_by = "guard"
        self._save(window)
        self.last_good = None
        say(f"window {window.id} is closed by the guard")

    def _runs_again(self, entry: Entry, at: float) -> None:
        if self._clocks is not None:
            self._clocks.runs_again(entry, at)

    def _after(self, window: Window) -> None:
        """Put libvirt's view right, remove our marks, and see that the clocks are right. The guests run."""
        try:
            self._tidy(window)
        except Exception as error:  # a mark that stays is harmless; clocks that stay behind are not
            self._tell(f"unexpected {type(error).__name__} ({error}) while tidying up; going on")
        if self._clocks is not None and self._clocks.settle(window, CLOCKS, self._save_clocks):
            _say_clocks(window)

    def _save_clocks(self, window: Window) -> None:
        """Write down what became of the clocks of a closed window, unless another one has been opened since: that one's record is not to be replaced."""
        try:
            with self.ledger.locked(CLOCKS_LOCK):
                found = self.ledger.read()
                if found is not None and found.id == window.id:
                    self.ledger.write(window)
        except (WindowBusy, LedgerError) as error:
            self._tell(f"what became of the clocks is not in the ledger: {error}")

    def _tidy(self, window: Window) -> None:
        self._on_disk = None  # with it goes a lock that may have been taken after we had given it up
        if all(entry.outcome == "gone" for entry in window.guests):
            return
        give_up = time.monotonic() + TELL_LIBVIRT
        while time.monotonic() < give_up:
            try:
                if self.settler.by_monitor and not self.settler.tell_libvirt(window):
                    time.sleep(1.0)
                    continue
                self.settler.clear_tokens(window)
                return
            except LibvirtUnreachable:
                time.sleep(1.0)
        say("libvirt did not come back; it may still show guests as paused that run: resume them there (virsh resume)")

    def _kill_libvirtd(self) -> bool:
        """The last resort for a libvirtd that hangs: end it, so that the monitors are free and systemd starts it anew.

        Also one that is only starting, or stopping, with many guests: they have to run by the deadline, and its end costs them nothing.
        Not while a guest carries the fake-reboot mark, or is being started: the new libvirtd would reset the one, and end the other.

        :returns: Whether one was killed.
        """
        if self.uri != SYSTEM_URI:
            self._tell("libvirt hangs and holds the monitors; the daemon of a session is not killed, nothing starts it anew. End it by hand")
            return False
        killed = False
        for name in ("libvirtd", "virtqemud"):
            pid = _main_pid(f"/run/{name}.pid")
            if pid is None:
                continue
            try:
                endangered = _endangered(self.ledger.where.runtime)
            except OSError as error:
                self._tell(f"{name} hangs and holds the monitors; it is not killed because its record of the guests cannot be read ({error.strerror})")
                return killed
            if endangered:
                self._tell(
                    f"{name} hangs and holds the monitors; it is not killed because its successor would reset or end {', '.join(endangered)} "
                    "(a reboot that was asked for and not done, or a start that is not done). End it by hand when that is acceptable"
                )
                return killed
            say(f"{name} (process {pid}) hangs and holds the monitors of paused guests; killing it, systemd starts it anew")
            killed = self._kill(pid) or killed
        return killed

    def _kill(self, pid: int) -> bool:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError as error:
            self._tell(f"process {pid} could not be killed ({error.strerror})")
            return False
        return True


def _hangs(uri: str) -> bool:
    """Whether libvirt accepts a connection and does not answer (a dead one refuses it), or has no worker left for what is asked."""
    try:
        call_with_timeout(lambda: Connection(uri, PROBE).answer(), PROBE)
    except (LibvirtHangs, TimeoutError):
        return True
    except Exception:  # it has gone, or answers with an error
        return False
    return False


def _say_clocks(window: Window) -> None:
    for entry in window.guests:
        if entry.clock is not None and entry.clock["changed"]:
            say(f"guest {entry.name}: its clock was set, {entry.clock['verdict']}, {entry.clock['set_after']} s after its resume")


def _main_pid(path: str) -> int | None:
    """The process id in a daemon's pid file, if that process is the daemon."""
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        with open(path, encoding="ascii") as stream:
            pid = int(stream.read().strip())
        with open(f"/proc/{pid:d}/comm", encoding="utf-8", errors="replace") as stream:
            return pid if stream.read().strip() == name else None
    except (OSError, ValueError):
        return None


def _endangered(runtime: str) -> list[str]:
    """The names of guests which a restarted libvirtd would reset (fake-reboot mark) or end (paused while they are being started).

    :param runtime: libvirt's folder of status files.
    :raises OSError: The folder cannot be read.
    """
    found: list[str] = []
    for name in sorted(os.listdir(runtime)):
        if not name.endswith(".xml"):
            continue
        try:
            with open(os.path.join(runtime, name), encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            continue  # it ended just now
        # The first element has the state: <domstatus state='paused' reason='starting up' pid='1'>
        if "<fakereboot" in text or re.search(r"<domstatus [^>]*reason='(starting up|migration)'", text):
            found.append(name[:-4])
    return found
