# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugin_utils/rollout_files: journals on the disk, which half a line, two writers and a dead process do not harm."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import rollout_files
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_files import Folder, lives, new_id, process
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.rollout_journal import JournalError

OPENED = {"event": "opened", "rollout": "r-1", "domains": [{"name": "0", "hosts": ["h1", "h2"]}]}


@pytest.fixture(name="folder")
def _folder(tmp_path):
    found = Folder(str(tmp_path / "journals"))
    with found.locked():
        found.write("r-1", OPENED)
    return found


def test_a_rollout_is_found_until_it_is_closed(folder):
    assert [one.rollout for one in folder.unclosed()] == ["r-1"]
    folder.write("r-1", {"event": "closed"})
    assert folder.unclosed() == []
    assert oct(folder.file("r-1").stat().st_mode & 0o777) == "0o600"


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert Folder(str(tmp_path / "nothing")).unclosed() == []


def test_half_a_line_is_as_good_as_none(folder):
    with folder.file("r-1").open("ab") as stream:
        stream.write(b'{"event": "done", "ho')
    assert folder.read("r-1").outcome == {}
    folder.write("r-1", {"event": "done", "host": "h1"})
    assert folder.read("r-1").outcome == {"h1": "done"}


def test_a_run_that_died_before_its_first_line_is_in_nobodys_way(folder):
    folder.file("r-0").write_bytes(b'{"event"')
    assert [one.rollout for one in folder.unclosed()] == ["r-1"]


def test_many_write_at_once(folder):
    def write(name):
        for _number in range(10):
            folder.write("r-1", {"event": "begun", "host": name}, {"event": "done", "host": name})
    threads = [threading.Thread(target=write, args=(f"h{number}",)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(folder.file("r-1").read_bytes().splitlines()) == 161
    assert len(folder.read("r-1").outcome) == 8 and not folder.read("r-1").in_work


@pytest.mark.parametrize("content", [b"{]\n", b"1\n", b"\xff\n", b"[" * 100000 + b"\n"])
def test_a_damaged_journal_is_named(folder, content):
    folder.file("r-1").write_bytes(content)
    with pytest.raises(JournalError, match="r-1"):
        folder.unclosed()


@pytest.mark.parametrize("rollout", ["", "../x", "a/b", "x" * 65])
def test_an_id_that_is_none(folder, rollout):
    with pytest.raises(JournalError, match="is no id of a rollout"):
        folder.write(rollout, OPENED)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written to"), Folder(str(tmp_path / "file" / "x")).locked():
        pass


def test_ids_sort_by_time(monkeypatch):
    monkeypatch.setattr(rollout_files.time, "gmtime", lambda: (2026, 11, 27, 2, 0, 0, 4, 331, 0))
    first = new_id()
    monkeypatch.setattr(rollout_files.time, "gmtime", lambda: (2026, 11, 27, 2, 0, 1, 4, 331, 0))
    assert first < new_id()


def test_whether_a_process_lives():
    me = process(os.getpid())
    assert lives(me) is True and lives(None) is False
    assert lives(dataclasses.replace(me, started=me.started + 1)) is False  # its pid was given away
    assert lives(dataclasses.replace(me, boot="0")) is False
    assert lives(dataclasses.replace(me, node="elsewhere")) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        found = process(other.pid)
        assert lives(found) is True
        other.communicate(b"\n")
    assert lives(found) is False
