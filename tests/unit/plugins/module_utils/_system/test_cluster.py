# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.cluster: Pacemaker's tools, played by programs that say what pacemaker 2.1.5 says."""
from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import cluster
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.programs import running

#: Only catches a hang. Seconds.
HANG = 30.0


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Make one of Pacemaker's tools; without it there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name, script):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
    return make


def test_a_host_without_pacemaker(tool):
    assert cluster.configuration(HANG) is None
    assert cluster.node_name(HANG) == os.uname().nodename


def test_a_host_whose_pacemaker_does_not_run(tool):
    tool("cibadmin", "echo 'Could not connect to the CIB: Transport endpoint is not connected' >&2; exit 102")
    tool("crm_node", "echo 'error: Could not connect to controller: Connection refused' >&2; exit 102")
    assert cluster.configuration(HANG) is None
    assert cluster.node_name(HANG) == os.uname().nodename


def test_a_pacemaker_that_does_not_let_itself_be_asked_is_not_taken_for_none(tool, tmp_path, start, until):
    tool("cibadmin", "echo 'Could not connect to the CIB: Connection refused' >&2; exit 102")
    shutil.copy("/bin/sleep", tmp_path / "pacemaker-based")
    start([str(tmp_path / "pacemaker-based"), "1000"])
    until(lambda: running(["pacemaker-based"]), "a process that is called as Pacemaker's")
    with pytest.raises(OSError, match="exit code 102 .Could not connect to the CIB: Connection refused"):
        cluster.configuration(HANG)


def test_a_host_in_a_cluster(tool):
    tool("cibadmin", '[ "$*" = --query ] && echo "<cib/>"')
    tool("crm_node", '[ "$*" = --name ] && echo kvm-1')
    assert cluster.configuration(HANG) == "<cib/>\n"
    assert cluster.node_name(HANG) == "kvm-1"


@pytest.mark.parametrize(("script", "words"), [
    ("echo 'Call cib_query failed (-13): Permission denied' >&2; exit 4", "cibadmin --query has failed with exit code 4 .Call .* Permission denied"),
    ("exit 1", "exit code 1 .it says nothing"),
    ("kill -9 $$", "exit code -9"),
])
def test_a_failure_is_not_taken_for_no_cluster(tool, script, words):
    tool("cibadmin", script)
    with pytest.raises(OSError, match=words):
        cluster.configuration(HANG)


def test_a_cluster_that_does_not_answer(tool):
    tool("cibadmin", "exec /bin/sleep 1000")
    with pytest.raises(OSError, match="cibadmin has not answered in 0.1 s"):
        cluster.configuration(0.1)


def test_definition_files(tmp_path):
    there, missing, pipe, folder = (str(tmp_path / name) for name in ("g1.xml", "missing.xml", "pipe", "folder"))
    with open(there, "wb") as stream:
        stream.write(b"<domain>\xff</domain>")
    os.mkfifo(pipe)
    os.mkdir(folder)
    assert cluster.definitions([there, missing, folder, "a\0b"]) == {there: "<domain>�</domain>", missing: None, folder: None, "a\0b": None}
    assert cluster.definitions([pipe])[pipe] == ""
