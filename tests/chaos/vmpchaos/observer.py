# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-alone program, run on a host: notes when guests stop and run, without asking anything that is being tested.

Its sources are a monitor of its own in each of the chaos guests, on which QEMU itself says STOP and RESUME (libvirtd has no
part in it), and libvirt's states of all guests of the host, which show the lab's own guests. It writes one JSON
object per line: `at` (CLOCK_MONOTONIC, seconds), `source`, `guest`, `run` (counted from 1, one per QEMU process) and
`what`.

Arguments: the folder of the monitor sockets, the file to append to.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time

#: Seconds between two looks for new monitor sockets, and between two looks at libvirt's states.
LOOK = 0.05
POLL = 0.1
INTERESTING = ("STOP", "RESUME", "RESET", "SHUTDOWN", "BLOCK_IO_ERROR")


class Log:
    """The file of events; several threads write to it."""

    def __init__(self, path: str) -> None:
        self._stream = open(path, "a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def note(self, source: str, guest: str, run: int, what: str) -> None:
        """One event, now."""
        line = json.dumps({"at": time.monotonic(), "source": source, "guest": guest, "run": run, "what": what})
        with self._lock:
            self._stream.write(line + "\n")


class Monitor:
    """Our connection to one QEMU process."""

    def __init__(self, guest: str, run: int, connection: socket.socket, log: Log) -> None:
        self.guest = guest
        self.run = run
        self.connection = connection
        self._log = log
        self._buffer = b""
        connection.setblocking(False)
        # The kernel keeps this for a QEMU that is stopped just now.
        connection.send(b'{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n')

    def read(self) -> bool:
        """Take what there is. Returns whether QEMU is still there."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._log.note("qemu", self.guest, self.run, "GONE")
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._message(json.loads(line))
        return True

    def _message(self, message: dict) -> None:
        answer = message.get("return")
        if isinstance(answer, dict) and "status" in answer:
            self._log.note("qemu", self.guest, self.run, "FOUND " + answer["status"])
        elif message.get("event") in INTERESTING:
            self._log.note("qemu", self.guest, self.run, message["event"])


def new_monitors(folder: str, known: dict[str, Monitor], runs: dict[str, int], log: Log) -> list[Monitor]:
    """Connect to what has appeared. A file NAME.json beside a socket says which guest it is."""
    found = []
    for entry in os.listdir(folder):
        key, extension = os.path.splitext(entry)
        if extension != ".sock" or key in known:
            continue
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(os.path.join(folder, entry))
        except OSError:
            connection.close()
            continue
        with open(os.path.join(folder, key + ".json"), encoding="utf-8") as stream:
            guest = json.load(stream)
        runs[key] = runs.get(key, 0) + 1
        known[key] = Monitor(guest, runs[key], connection, log)
        found.append(known[key])
    return found


def watch_monitors(folder: str, log: Log) -> None:
    """For ever."""
    known: dict[str, Monitor] = {}
    runs: dict[str, int] = {}
    selector = selectors.DefaultSelector()
    while True:
        for monitor in new_monitors(folder, known, runs, log):
            selector.register(monitor.connection, selectors.EVENT_READ, monitor)
        for key, _events in selector.select(LOOK):
            if not key.data.read():
                selector.unregister(key.fileobj)
                key.data.connection.close()
                del known[next(name for name, monitor in known.items() if monitor is key.data)]


def watch_libvirt(log: Log) -> None:
    """For ever. A libvirtd that is away or hangs gives no states; when it is back it does again."""
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    seen: dict[str, str] = {}
    while True:
        try:
            connection = libvirt.open("qemu:///system")
            while True:
                now = {}
                for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
                    # An id is one run of a guest: a guest that was started anew is written as "off" and "on".
                    now[domain.name()] = f"{stats.get('state.state')}/{stats.get('state.reason')} id {domain.ID()}"
                for name in sorted({*now, *seen}):
                    if now.get(name) != seen.get(name):
                        log.note("libvirt", name, 0, now.get(name, "unknown to libvirt"))
                seen = now
                time.sleep(POLL)
        except libvirt.libvirtError:
            time.sleep(POLL)


def main() -> None:
    """The program."""
    folder, path = sys.argv[1:]
    log = Log(path)
    threading.Thread(target=watch_libvirt, args=(log,), daemon=True).start()
    watch_monitors(folder, log)


if __name__ == "__main__":
    main()
