# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scheduled_events_program: the program that it keeps can be read by the service's user, and is what the role's units start."""
from __future__ import annotations

import os
import pathlib
import re
import shlex
import socket
import stat
import subprocess
import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_events_program import keep_program
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import health, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces

ROLE = pathlib.Path(__file__).parents[5] / "roles" / "scheduled_events"
INSTALLED = "/usr/local/lib/vm_preserving/scheduled_events.pyz"


@pytest.fixture
def path(tmp_path):
    found = str(tmp_path / "scheduled_events.pyz")
    before = os.umask(0o077)
    try:
        assert keep_program(found, True, False) == {"changed": True, "path": found}
    finally:
        os.umask(before)
    return found


def started_by(unit, path):
    """How a unit of the role starts it, with the test's Python and file in the places of the host's."""
    [line] = re.findall(r"^ExecStart=\{\{.*?\}\} (.*)$", (ROLE / "templates" / f"{unit}.service.j2").read_text(encoding="utf-8"), re.M)
    words = shlex.split(line)
    assert INSTALLED in words
    return [sys.executable, *(path if word == INSTALLED else word for word in words)]


def test_the_services_user_can_read_it_and_it_stays_as_it_is(path):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert keep_program(path, True, False)["changed"] is False
    assert keep_program(path, False, False)["changed"] and not os.path.exists(path)


@pytest.mark.parametrize("unit", ["vm-preserving-events", "vm-preserving-events-host"])
def test_it_runs_as_the_units_start_it_with_nothing_around_it(path, unit):
    argv = started_by(unit, path)
    assert argv[1] == "-I"
    found = subprocess.run([*argv, "--help"], capture_output=True, text=True, timeout=60, check=False, cwd="/", env={})
    assert (found.returncode, found.stderr) == (0, "") and "{clear,serve,watch}" in found.stdout
    wrong = subprocess.run([*argv[:-1], f"{argv[-1]}x"], capture_output=True, text=True, timeout=60, check=False, cwd="/", env={})
    assert wrong.returncode == 2 and "invalid choice" in wrong.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="binding to a device in use needs root on old kernels")
def test_as_the_unit_starts_it_it_serves(path, tmp_path):
    places = EventPlaces(str(tmp_path))
    for folder in (places.approvals, *(os.path.dirname(one) for one in (places.guests, places.settings, places.health))):
        os.makedirs(folder, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spool.write_document(places.settings, record.settings_document(record.Settings(address="127.0.0.1", port=port)), os.getgid())
    spool.write_document(places.guests, record.guests_document(record.Guests((), {"lo": "linux"})), os.getgid())
    argv = [*started_by("vm-preserving-events", path), "--root", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={}) as process:
        try:
            assert process.stdout.readline().startswith(b"bridge lo: guests are answered")
            answer = health.ask(places.health, 10.0)
            assert answer is not None and (answer.pid, answer.listening) == (process.pid, ["lo"])
            process.terminate()
            assert (process.communicate(timeout=10), process.returncode) == ((b"", b""), 0)
        finally:
            process.kill()
