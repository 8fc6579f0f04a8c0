# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/commands: real processes that behave badly, run beside a clock that must not wait for them."""
from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import commands as commands_module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.commands import KEEP, Command, CommandList

#: Never waited for in full. Seconds.
LONG = 60.0
#: For a command that is known not to end. Seconds.
SHORT = 0.2


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(commands_module, "GRACE", 0.5)
    monkeypatch.setattr(commands_module, "DRAIN", 0.3)


def run(*argv, timeout=LONG, killed=None):
    command = Command(argv)
    command.run(timeout, killed or threading.Event())
    return command, command.as_dict()


def python(program, *arguments):
    return [sys.executable, "-c", program, *map(str, arguments)]


def alive(pid):
    """Whether a process executes; one that has ended and waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def written(path):
    try:
        with open(path, encoding="ascii") as stream:
            text = stream.read()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


#: A program that does not hear SIGTERM, once the file that it is given is there.
DEAF = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); open(sys.argv[1], 'w').close(); time.sleep(1000)"


# ---- what a command gives back ----

@pytest.mark.parametrize(("argv", "rc", "stdout", "stderr", "succeeded"), [
    (["true"], 0, "", "", True),
    (["false"], 1, "", "", False),
    (["sh", "-c", "echo out; echo err >&2; exit 7"], 7, "out\n", "err\n", False),
    (["sh", "-c", "kill -KILL $$"], -9, "", "", False),
    (["echo", "a b", "$HOME", "*", ";", "ü"], 0, "a b $HOME * ; ü\n", "", True),
    (["printf", r"\377\376\0x"], 0, "\ufffd\ufffd\0x", "", True),
    (["cat"], 0, "", "", True),  # standard input is empty
    (["pwd"], 0, "/\n", "", True),
])
def test_a_command_that_ends(argv, rc, stdout, stderr, succeeded):
    command, record = run(*argv)
    assert (record["state"], record["rc"], record["stdout"], record["stderr"]) == ("finished", rc, stdout, stderr)
    assert command.succeeded is succeeded
    assert record["argv"] == argv and record["message"] == "" and record["seconds"] >= 0


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/"], [""], ["true", "a\0b"], ["/proc/version"], ["true", "\ud800"], ["x" * 5000]])
def test_a_command_that_cannot_be_started(argv):
    command, record = run(*argv)
    assert (record["state"], record["rc"], record["stdout"], command.succeeded) == ("unstartable", None, "", False)
    assert record["message"].startswith("it cannot be started (")


def test_a_command_that_was_not_run():
    record = Command(["true"]).as_dict()
    assert (record["state"], record["rc"], record["stdout"], record["stderr"], record["seconds"]) == ("not_started", None, "", "", 0.0)
    assert not Command(["true"]).succeeded


@pytest.mark.parametrize("size", [KEEP - 1, KEEP, KEEP + 1, 2 * KEEP])
def test_an_output_that_fits_is_whole(size):
    _command, record = run(*python("import sys; sys.stdout.write('ab' * (int(sys.argv[1]) // 2) + 'c' * (int(sys.argv[1]) % 2))", size))
    assert record["stdout"] == "ab" * (size // 2) + "c" * (size % 2)


def test_an_output_just_too_large_has_a_gap_of_one():
    _command, record = run(*python("import sys; sys.stdout.write('a' * int(sys.argv[1]) + 'bc')", 2 * KEEP - 1))
    assert record["stdout"] == "a" * KEEP + "\n[... 1 bytes left out ...]\n" + "a" * (KEEP - 2) + "bc"


def test_fifty_megabytes_are_taken_and_not_kept():
    size = 50_000_000
    command, record = run(*python(
        "import sys; out = sys.stdout.buffer; out.write(b'begin'); [out.write(b'x' * 1_000_000) for _ in range(50)]; out.write(b'end')"
    ))
    assert command.succeeded
    assert len(record["stdout"]) < 2 * KEEP + 100
    assert record["stdout"].startswith("beginxx") and record["stdout"].endswith("xxend")
    assert f"[... {size + 8 - 2 * KEEP} bytes left out ...]" in record["stdout"]


def test_both_streams_at_once_do_not_block_each_other():
    _command, record = run("sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero")
    assert record["state"] == "finished" and "bytes left out" in record["stdout"] and "bytes left out" in record["stderr"]


def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for(tmp_path):
    """What a restarted service does when it was not started by systemd."""
    began = time.monotonic()
    command, record = run("sh", "-c", f"echo before; sleep 1000 & echo $! > {tmp_path}/pid")
    try:
        assert command.succeeded and record["stdout"] == "before\n"
        assert time.monotonic() - began < LONG
        assert alive(written(tmp_path / "pid"))  # it is left alone: the command has ended
    finally:
        os.kill(written(tmp_path / "pid"), 9)


def test_our_own_standard_input_is_not_a_commands(start_python):
    """A module's input is its parameters, or the SSH connection itself."""
    module = start_python(
        "import threading\nfrom ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.commands import Command\n"
        "command = Command(['cat'])\ncommand.run(20, threading.Event())\nprint(command.state)\n", stdin=-1,
    )
    assert module.stdout.readline() == b"finished\n"  # while our end of its input is open


# ---- commands that do not end ----

def test_a_command_past_its_time_is_ended():
    command, record = run("sleep", "1000", timeout=SHORT)
    assert (record["state"], record["rc"], command.succeeded) == ("timed_out", -15, False)
    assert record["seconds"] >= SHORT


@pytest.fixture
def killed_once(until):
    """Run a command, have it ended once a condition holds, and return it."""
    def run_one(argv, condition):
        command, killed = Command(argv), threading.Event()
        runner = threading.Thread(target=command.run, args=(LONG, killed), daemon=True)
        runner.start()
        until(condition, "the command")
        killed.set()
        runner.join(LONG)
        assert command.state == "killed"
        return command
    return run_one


def test_a_command_that_is_asked_to_end_may_clean_up(tmp_path, killed_once):
    ready = tmp_path / "ready"
    command = killed_once(["sh", "-c", f"trap 'echo cleaned; exit 3' TERM; touch {ready}; while :; do sleep 0.05; done"], ready.exists)
    assert (command.rc, command.as_dict()["stdout"]) == (3, "cleaned\n")


def test_a_command_that_ignores_sigterm_is_killed(tmp_path, killed_once):
    deaf = tmp_path / "deaf"
    command = killed_once(python(DEAF, deaf), deaf.exists)
    assert (command.rc, command.as_dict()["stdout"]) == (-9, "deaf\n")


@pytest.mark.parametrize("program", [["sleep", "1000"], None])
def test_its_children_are_ended_with_it_also_when_they_ignore_sigterm(tmp_path, killed_once, until, program):
    """What dpkg is to apt-get: the one that was asked to end does, and the one that works on does not hear."""
    deaf = tmp_path / "deaf"
    ready = (lambda: written(tmp_path / "pid")) if program else (lambda: deaf.exists() and written(tmp_path / "pid"))
    killed_once(["sh", "-c", f'"$@" & echo $! > {tmp_path}/pid; wait', "sh", *(program or python(DEAF, deaf))], ready)
    child = written(tmp_path / "pid")
    try:
        until(lambda: not alive(child), "the end of the child")
    finally:
        if alive(child):
            os.kill(child, 9)


def test_what_it_does_to_its_process_group_does_not_reach_us():
    command, record = run("sh", "-c", "kill -TERM 0; sleep 1000")
    assert (record["state"], record["rc"], command.succeeded) == ("finished", -15, False)


# ---- lists ----

def test_commands_run_one_after_another(tmp_path):
    log = tmp_path / "log"
    commands = CommandList([["sh", "-c", f"echo {number} >> {log}"] for number in range(5)], LONG)
    commands.start()
    assert commands.wait(LONG) and commands.succeeded
    assert log.read_text() == "0\n1\n2\n3\n4\n"
    assert commands.current is commands.commands[-1]


@pytest.mark.parametrize(("argv", "state"), [(["false"], "finished"), (["/no/such/program"], "unstartable"), (["sleep", "1000"], "timed_out")])
def test_the_first_that_does_not_succeed_is_the_last(argv, state):
    commands = CommandList([["true"], argv, ["true"]], SHORT if state == "timed_out" else LONG)
    if state == "timed_out":  # `true` may take its time on a busy machine
        del commands.commands[0]
    commands.start()
    assert commands.wait(LONG) and not commands.succeeded
    assert [command.state for command in commands.commands][-2:] == [state, "not_started"]
    assert commands.current is commands.commands[-2]


def test_waiting_has_an_end():
    commands = CommandList([["sleep", "1000"]], LONG)
    commands.start()
    assert commands.wait(0.05) is False
    assert not commands.succeeded
    commands.stop(kill=True)
    assert commands.wait(LONG)
    assert commands.commands[0].state == "killed"


def test_stop_lets_the_one_that_runs_end_and_starts_no_other(tmp_path, until):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    commands = CommandList([["cat", str(fifo)], ["true"]], LONG)
    commands.start()
    with open(fifo, "w", encoding="ascii") as stream:  # opens once cat does
        commands.stop(kill=False)
        assert commands.wait(0.05) is False
        stream.write("to the end")
    assert commands.wait(LONG)
    assert [command.state for command in commands.commands] == ["finished", "not_started"]
    assert commands.commands[0].as_dict()["stdout"] == "to the end"


def test_stop_before_start_starts_nothing():
    commands = CommandList([["true"]], LONG)
    commands.stop(kill=False)
    commands.start()
    assert commands.wait(LONG)
    assert commands.commands[0].state == "not_started" and not commands.succeeded
