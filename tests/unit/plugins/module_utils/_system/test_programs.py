# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.programs: real processes, called by every name that a program can have."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.programs import running


@pytest.fixture
def program(tmp_path):
    """A program of the test's own name that no other program has."""
    name = f"vmp{os.getpid()}"

    def make(name_of_file):
        path = tmp_path / name_of_file.format(name)
        shutil.copy(os.path.realpath(shutil.which("sleep")), path)
        return str(path)
    return name, make


def test_a_program(program, start, until):
    name, make = program
    assert running([name, "never"]) == frozenset()
    child = start([make("{}"), "1000"])
    until(lambda: running([name, "never"]) == {name}, "the program runs")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie is left, still called so
    with open(f"/proc/{child.pid}/comm", encoding="utf-8") as stream:
        assert stream.read().strip() == name
    assert running([name]) == frozenset()


def test_a_program_with_a_long_name(program, start, until):
    name, make = program
    path = make("{}-with-a-long-name")
    start([path, "1000"])
    until(lambda: running([os.path.basename(path)]), "the program runs")
    assert running([f"{name}-with-another-name", name]) == frozenset()


def test_a_program_that_was_deleted_or_is_called_otherwise(program, start, until):
    name, make = program
    path = make("{}")
    start(["something else", "1000"], executable=path)
    until(lambda: running([name]), "the program runs")
    os.unlink(path)
    assert running([name]) == {name}
    assert running(["something else"]) == {"something else"}


@pytest.mark.parametrize("flags", ["", " -s"])
def test_a_script_in_python(tmp_path, program, start, until, flags):
    name, _make = program
    script = tmp_path / name
    script.write_text(f"#!{sys.executable}{flags}\nimport time\ntime.sleep(1000)\n")
    script.chmod(0o755)
    start([str(script)])
    until(lambda: running([name]), "the script runs")


def test_a_script_that_is_given_to_python(tmp_path, program, start, until):
    name, _make = program
    (tmp_path / name).write_text("import time\ntime.sleep(1000)\n")
    start([sys.executable, "-I", str(tmp_path / name), "never"])
    until(lambda: running([name]), "the script runs")
    assert running(["never"]) == frozenset()


def test_a_file_that_is_only_looked_at_does_not_run(tmp_path, program, start, until):
    name, _make = program
    (tmp_path / name).touch()
    child = start(["tail", "-f", str(tmp_path / name)], stdout=subprocess.DEVNULL)
    until(lambda: "tail" in running(["tail"]), "tail runs")
    assert child.poll() is None and running([name]) == frozenset()
