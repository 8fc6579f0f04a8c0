# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/systemctl_stand_in: what is held back and what is handed on, with the real shell and a program in the place of the real systemctl."""
from __future__ import annotations

import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import systemctl_stand_in


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the stand-in as a package's script does; returns exit code, record, and what the real systemctl was called with."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "systemctl").write_text(f'#!/bin/sh\necho "${{SYSTEMD_OFFLINE:-online}} $*" >> {tmp_path}/log\nexit 3\n')
    (real / "systemctl").chmod(0o755)
    monkeypatch.setattr(systemctl_stand_in, "PROGRAM", systemctl_stand_in.PROGRAM.replace(f"PATH={systemctl_stand_in.SYSTEM_PATH}", f"PATH={real}"))
    folder = tmp_path / "held"
    systemctl_stand_in.write(str(folder))
    systemctl_stand_in.write(str(folder))

    def run(*words, package="p", record=None):
        record = record or tmp_path / "record"
        environment = {
            **systemctl_stand_in.environment(str(record)), "PATH": systemctl_stand_in.path(str(folder)), "DPKG_MAINTSCRIPT_PACKAGE": package,
        }
        done = subprocess.run([folder / "systemctl", *words], env=environment, check=False, timeout=20)
        return done.returncode, *((path.read_text() if path.exists() else "") for path in (record, tmp_path / "log"))
    return run


@pytest.mark.parametrize("words", [
    "restart a.service", "--quiet try-restart a b", "stop a", "start -T a", "--no-block reload a", "condrestart a", "force-reload a",
    "-t service reload-or-restart a", "--job-mode replace try-reload-or-restart a",
])
def test_what_changes_a_unit_is_written_down(call, words):
    assert call(*words.split()) == (0, f"p\t{words}\n", "")


@pytest.mark.parametrize("words", [
    "is-active a", "daemon-reload", "daemon-reexec", "enable a", "preset a", "show -p start a", "list-units", "cat restart", "", "--version",
    "--user restart a", "--root=/x enable a", "-M box restart a", "--host root@x stop a", "is-enabled --quiet restart",
])
def test_everything_else_is_handed_on(call, words):
    assert call(*words.split()) == (3, "", f"online {words}\n")


@pytest.mark.parametrize(("words", "rest"), [("enable --now a b", "enable a b"), ("--now disable a", "disable a"), ("mask a --now", "mask a")])
def test_of_now_only_the_other_half_is_done(call, words, rest):
    assert call(*words.split()) == (3, f"p\t{words}\n", f"online {rest}\n")


def test_without_a_package(call):
    assert call("restart", "a", package="")[1] == "\trestart a\n"


def test_calls_one_after_another(call):
    call("restart", "a")
    assert call("start", "b", package="q")[1] == "p\trestart a\nq\tstart b\n"


def test_a_record_that_cannot_be_written_fails_the_script(call, tmp_path):
    """Else the service would be left on the old program with nobody knowing."""
    code, _record, log = call("restart", "a", record=tmp_path / "nowhere" / "record")
    assert code != 0 and log == ""
