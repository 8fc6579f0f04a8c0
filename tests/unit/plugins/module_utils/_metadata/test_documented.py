# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of docs/scheduled_events.md, as it stands there, against the service."""
from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import approvals, changes

from .conftest import ADDRESSES, WEB0, WEB1

PAGE = pathlib.Path(__file__).parents[5] / "docs" / "scheduled_events.md"


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def calls(host, tmp_path, monkeypatch):
    """What the program has asked of systemctl while it runs in guest web0, and whether the event was approved then."""
    (text,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    address = 'HOST = "http://169.254.169.254/metadata/"'
    assert text.count(address) == 1
    program, log, systemctl = tmp_path / "program", tmp_path / "log", tmp_path / "bin" / "systemctl"
    program.write_text(text.replace(address, f'HOST = "http://127.0.0.1:{host.port}/metadata/"'), encoding="utf-8")
    systemctl.parent.mkdir()
    systemctl.write_text(
        f'#!/bin/sh\nfor one in {host.places.approvals}/*; do [ -e "$one" ] && set -- "$@" $(cat "$one"); done\necho "$@" >>{log}\n', encoding="utf-8",
    )
    systemctl.chmod(0o755)
    monkeypatch.setitem(ADDRESSES, "127.0.0.1", WEB0)
    environment = {**os.environ, "PATH": f"{systemctl.parent}:{os.environ['PATH']}", "http_proxy": "http://127.0.0.1:9"}
    with open(tmp_path / "said", "wb") as said, subprocess.Popen([sys.executable, str(program)], env=environment, stdout=said) as running:
        try:
            yield lambda: log.read_text(encoding="utf-8").splitlines() if log.exists() else []
            assert running.poll() is None
        finally:
            running.terminate()


def test_the_programs_day(host, calls):
    asked = host.service.asked
    wait_for(lambda: WEB0 in asked)
    other = host.announce(WEB1)  # of the same set: it is seen, and is not about this guest
    mine = host.announce(WEB0)
    wait_for(lambda: approvals.read(host.places.approvals, mine.id) is not None)
    assert calls() == ["start host-maintenance.target"]  # and before the approval
    assert approvals.read(host.places.approvals, mine.id).uuid == WEB0
    host.change(lambda found, now: changes.start(found, [mine.id], now))
    host.change(lambda found, now: changes.end(found, [mine.id, other.id], now))
    wait_for(lambda: len(calls()) > 1)  # it lingers for ten seconds
    assert calls()[1].startswith("stop host-maintenance.target")
    assert approvals.read(host.places.approvals, other.id) is None


def test_the_program_outlives_a_service_that_does_not_know_it_for_a_while(host, calls, tmp_path, monkeypatch):
    monkeypatch.delitem(ADDRESSES, "127.0.0.1")
    wait_for(lambda: "404" in (tmp_path / "said").read_text(encoding="utf-8"))
    host.service.asked.clear()
    monkeypatch.setitem(ADDRESSES, "127.0.0.1", WEB0)
    wait_for(lambda: WEB0 in host.service.asked)
    assert calls() == []
