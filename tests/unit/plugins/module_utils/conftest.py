# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of module_utils share: folders, windows, a monitor on a real socket, processes that are ended for sure."""
from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _launch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.places import Places
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.record import Entry, Window

from .agent_on_socket import Agent
from .apt_system import AptSystem
from .stuck_libvirt import Libvirt

#: Only catches a hang; nothing is expected to take that long. Seconds.
HANG = 30.0


#: Stands for libvirt's bindings on a host whose libvirtd has died: no test talks to the libvirt of this machine.
DEAD_LIBVIRT = """
VIR_ERR_AUTH_FAILED, VIR_ERR_AUTH_UNAVAILABLE, VIR_ERR_AUTH_CANCELLED = 45, 79, 80
class libvirtError(Exception):
    def get_error_code(self):
        return 38
def registerErrorHandler(handler, context):
    pass
def open(uri):
    raise libvirtError("connection refused")
"""


def with_libvirt(program, bindings=DEAD_LIBVIRT):
    """A guard's program that brings its own bindings of libvirt along."""
    buffer = io.BytesIO(program)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo("libvirt.py"), bindings)
    return buffer.getvalue()


@pytest.fixture
def dead_libvirt(monkeypatch):
    """The guards that the code itself starts meet a dead libvirt."""
    whole = with_libvirt(_launch.program())
    monkeypatch.setattr(_launch, "program", lambda: whole)


def wait_until(condition, what):
    """Wait for a condition and return what it gave; fail when it does not come."""
    give_up = time.monotonic() + HANG
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > give_up:
            pytest.fail(f"waited {HANG:g} s in vain: {what}")
        time.sleep(0.01)


@pytest.fixture
def until():
    return wait_until


@pytest.fixture
def where(tmp_path):
    """The places of a host, its ledger's folder ready."""
    found = Places(str(tmp_path / "state"), str(tmp_path / "run"))
    Ledger(found).prepare()
    os.mkdir(found.runtime)
    return found


@pytest.fixture
def make_entry():
    def make(**over):
        known = {
            "name": "g1", "uuid": "11111111-1111-4111-8111-111111111111", "id": 1, "pid": 4242, "start_time": 1, "monitor": "",
            "state_before": "running", "reason_before": "booted",
        }
        return Entry(**{**known, **over})
    return make


@pytest.fixture
def make_window(make_entry):
    def make(*entries, **over):
        known = {
            "id": "5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55", "uri": "qemu:///session", "boot_id": identity.boot_id(), "opener": "tests",
            "opener_pid": 99999999, "opener_start_time": 1, "opened_at": "2026-11-23T08:00:00Z", "pause_limit": 30.0,
            "deadline": time.monotonic() + 30.0, "guests": list(entries) or [make_entry()],
        }
        return Window(**{**known, **over})
    return make


@pytest.fixture
def start():
    """Start processes, each the leader of its own group, and end the groups when the test is over."""
    started = []

    def start_one(argv, **options):
        process = subprocess.Popen(argv, start_new_session=True, **options)
        started.append(process)
        return process

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes its pipes
            process.wait()


@pytest.fixture
def start_python(start):
    """Start a Python program that can import the collection; its standard output is a pipe."""
    def start_one(program, *arguments, **options):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return start([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, env=environment, **options)
    return start_one


class Qemu:
    """A monitor on a real unix socket, one connection at a time, as QEMU has it.

    :ivar status: What query-status says; `cont` makes it `running`.
    :ivar commands: The commands that came.
    """

    GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}
    EVENT = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 1}}

    def __init__(self, path, status="paused", talk=None):
        self.path = str(path)
        self.status = status
        self.commands = []
        self._talk = talk or self.qmp
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, ValueError):
                self._talk(connection)

    @staticmethod
    def send(connection, message):
        connection.sendall(json.dumps(message).encode("utf-8") + b"\r\n")

    def answer(self, command):
        """The answer to one command; events may come before it."""
        if command == "query-status":
            return {"return": {"status": self.status, "running": self.status == "running", "singlestep": False}}
        if command == "cont":
            self.status = "running"
        return {"return": {}}

    def qmp(self, connection):
        self.send(connection, self.GREETING)
        with connection.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)["execute"]
                self.commands.append(command)
                self.send(connection, self.EVENT)
                self.send(connection, self.answer(command))

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(HANG)


@pytest.fixture
def qemu(tmp_path):
    """Make monitors; they are closed when the test is over."""
    made = []

    def make(path=None, **options):
        made.append(Qemu(path or tmp_path / f"m{len(made)}.sock", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def agent(tmp_path):
    """Make guest agents on sockets; they are closed when the test is over."""
    made = []

    def make(path=None, **options):
        made.append(Agent(path or tmp_path / f"a{len(made)}.sock", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def libvirt(monkeypatch):
    """Put a libvirt of the test, with these guests, in the place of the bindings."""
    from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

    def make(*guests):
        library = Libvirt(*guests)
        monkeypatch.setattr(hypervisor, "libvirt", library)
        monkeypatch.setattr(hypervisor, "_opening", {})
        return library
    return make


@pytest.fixture
def no_libvirt():
    """Skip where libvirt could be reached: these tests show what is done without it."""
    from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

    if hypervisor.libvirt is not None:
        pytest.skip("libvirt is installed here")


@pytest.fixture
def apt_system(tmp_path, monkeypatch):
    """The system, which apt-get and dpkg-query take for this machine's."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "dpkg-query"))):
        pytest.skip("no apt-get here")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setenv("DPKG_ADMINDIR", str(tmp_path / "var/lib/dpkg"))
    return AptSystem(tmp_path)
