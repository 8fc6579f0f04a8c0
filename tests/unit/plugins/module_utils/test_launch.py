# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""launch: the program as one file that needs nothing but Python, and its start without systemd."""
from __future__ import annotations

import ast
import contextlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import zipfile

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _launch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.places import Places, places
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import guard_unit
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import units

PACKAGE = _launch.PACKAGE


@pytest.fixture
def pyz(tmp_path):
    path = tmp_path / "guard.pyz"
    path.write_bytes(_launch.program())
    return path


def sources():
    with zipfile.ZipFile(io.BytesIO(_launch.program())) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


def run(argv, **options):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60, check=False, **options)


# ---- the program ----

def test_the_program_is_the_same_at_every_call_and_in_every_process(tmp_path):
    assert _launch.program() == _launch.program()
    other = run(
        [sys.executable, "-c", f"from {_launch.__name__} import program\nprint(program().hex())\n"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "PYTHONUTF8": "0"},
        cwd=tmp_path,
    )
    assert other.stdout.strip() == _launch.program().hex(), other.stderr


def test_the_program_runs_without_anything_around_it(pyz):
    found = run([sys.executable, "-I", pyz, "--help"], cwd="/", env={})
    assert found.returncode == 0, found.stderr
    assert all(option in found.stdout for option in ("--uri", "--watch", "--recover", "--restore"))


@pytest.mark.parametrize("arguments", [
    [], ["--uri", "qemu:///system"], ["--watch"], ["--watch", "w", "more"], ["--watch", "w", "--recover"], ["--recover", "--uri", "test:///default"],
])
def test_the_program_refuses_a_command_line_that_is_not_complete(pyz, arguments):
    assert run([sys.executable, "-I", pyz, *arguments]).returncode == 2


def test_the_program_needs_no_ansible_and_writes_nothing(pyz):
    """Every module of it is loaded, then what was loaded is looked at."""
    found = run([
        sys.executable, "-I", "-c",
        "import sys; sys.path = [p for p in sys.path if 'packages' not in p]; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        f"import {PACKAGE}._program\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "import zipimport\nprint(sorted(n for n in names if n.startswith('ansible')))\n"
        f"print(sorted(n for n in sys.modules if n.startswith('{PACKAGE}.')))\n", pyz,
    ], cwd="/")
    assert found.returncode == 0, found.stderr
    ansible, loaded = (ast.literal_eval(line) for line in found.stdout.splitlines())
    assert ansible == []
    everything = {name[:-3].replace("/", ".") for name in sources() if name.startswith(f"{PACKAGE}/")}
    assert {*loaded, PACKAGE} == {name[:-len(".__init__")] if name.endswith(".__init__") else name for name in everything}
    assert os.listdir(pyz.parent) == [pyz.name]


def test_every_relative_import_is_inside_and_every_other_is_of_the_standard_library():
    files = sources()
    assert {"__main__.py", f"{PACKAGE}/__init__.py", f"{PACKAGE}/_program.py", f"{PACKAGE}/_pause/watch.py"} <= set(files)
    # sys.stdlib_module_names came with Python 3.10.
    standard = getattr(sys, "stdlib_module_names", None)
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = "/".join(name.split("/")[:-node.level] + (node.module.split(".") if node.module else []))
                wanted = [folder] if f"{folder}.py" in files else [f"{folder}/{alias.name}" for alias in node.names]
                assert {f"{one}.py" for one in wanted} <= set(files), f"{name} imports {wanted}"
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                wanted = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
                for module in {word.partition(".")[0] for word in wanted}:
                    assert not module.startswith("ansible"), f"{name} imports {module}"
                    assert standard is None or module in standard or module in ("libvirt", "libvirt_qemu", PACKAGE), f"{name} imports {module}"


def test_the_program_has_what_it_imports_and_nothing_else():
    """Also what a function imports when it is called, which Python would only miss in the window."""
    home, wanted, waiting = pathlib.Path(_launch.__file__).parent, set(), {"_program.py"}
    while waiting:
        path = waiting.pop()
        wanted.add(path)
        for node in ast.walk(ast.parse((home / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = "/".join([*path.split("/")[:-node.level], *(node.module.split(".") if node.module else [])])
                found = [f"{folder}.py"] if (home / f"{folder}.py").is_file() else [f"{folder}/{alias.name}.py".lstrip("/") for alias in node.names]
                assert all((home / one).is_file() for one in found), f"{path} imports {found}"
                waiting |= set(found) - wanted
    packed = {name[len(PACKAGE) + 1:] for name in sources() if name.startswith(f"{PACKAGE}/") and not name.endswith("/__init__.py")} - {"__init__.py"}
    assert packed == wanted
    # The program gives clocks back, too; what belongs to modules alone, or to package managers, is none of its business.
    assert {"_clock/keeper.py", "_pause/settle.py", "_pause/devices.py", "_saved/watch.py", "_saved/transfer.py", "_system/agent_socket.py"} <= packed
    assert {name.partition("/")[0] for name in packed} == {"_core", "_system", "_clock", "_pause", "_saved", "_stopped", "_program.py"}


def test_every_folder_of_the_program_is_a_package():
    files = sources()
    for name in files:
        folder = os.path.dirname(name)
        assert not folder or files[f"{folder}/__init__.py"] == "", name


def test_the_modules_are_the_checkouts():
    for name, text in sources().items():
        if name.startswith(PACKAGE) and not name.endswith("__init__.py"):
            with open(os.path.join(os.path.dirname(_launch.__file__), *name.split("/")[1:]), encoding="utf-8") as stream:
                assert text == stream.read()


# ---- where it is put ----

def test_the_program_is_installed_under_the_name_of_its_content(where):
    path = _launch._install(where)
    assert os.path.dirname(path) == where.state
    with open(path, "rb") as stream:
        assert stream.read() == _launch.program()
    assert os.stat(path).st_mode & 0o777 == 0o600
    before = os.stat(path).st_ino
    assert _launch._install(where) == path
    assert os.stat(path).st_ino == before
    assert os.listdir(where.state) == [os.path.basename(path)]


def test_a_damaged_program_is_replaced_and_those_of_earlier_releases_are_removed(where):
    path = _launch._install(where)
    with open(path, "ab") as stream:
        stream.write(b"x")
    for name in ("guard-0123456789abcdef.pyz", "guard-old.pyz", "ledger.json", "lock", "guard-notes.txt"):
        with open(os.path.join(where.state, name), "w", encoding="ascii"):
            pass
    assert _launch._install(where) == path
    with open(path, "rb") as stream:
        assert stream.read() == _launch.program()
    assert sorted(os.listdir(where.state)) == sorted([os.path.basename(path), "ledger.json", "lock", "guard-notes.txt"])


# ---- its start without systemd ----

@pytest.fixture
def session(dead_libvirt, tmp_path, monkeypatch):
    """The places of a session's guests, in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = places("qemu:///session")
    Ledger(found).prepare()
    return found


def guards(window_id):
    """The processes that guard a window."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().split(b"\0")
            if window_id.encode() in words and any(word.endswith(b".pyz") for word in words):
                found.append(int(pid))
    return found


@pytest.fixture
def ended(session, until):
    """End the guards of a window when the test is over."""
    windows = []
    yield windows.append
    for window in windows:
        for pid in guards(window.id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_arm_returns_once_the_guard_watches_and_the_guard_ends_with_its_window(session, make_window, until, ended):
    window = make_window(deadline=time.monotonic() + 1000, id="0a1b2c3d-0000-4000-8000-00000000a001")
    ended(window)
    Ledger(session).write(window)
    _launch.arm(session, window)
    pid, = guards(window.id)
    assert os.getsid(pid) == pid != os.getsid(0)  # it outlives the session of its starter
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    window.closed_at = "2026-11-23T08:00:30Z"
    Ledger(session).write(window)
    until(lambda: not any(state(pid) not in (None, "Z") for pid in guards(window.id)), "the end of the guard")
    guard_unit.disarm(window)


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


@pytest.mark.parametrize("content", ["nothing", "closed", "another", "damaged"])
def test_arm_refuses_when_the_guard_finds_nothing_to_watch(session, make_window, content):
    window = make_window()
    if content == "closed":
        Ledger(session).write(make_window(closed_at="2026-11-23T08:00:30Z"))
    elif content == "another":
        Ledger(session).write(make_window(id="another"))
    elif content == "damaged":
        with open(os.open(session.ledger, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
            stream.write(b"{")
    with pytest.raises(MaintenanceError) as caught:
        _launch.arm(session, window)
    assert caught.value.code == "guard" and "no guest was paused" in str(caught.value)


def test_arm_tells_its_own_guard_from_systemds_child(session, make_window, monkeypatch, tmp_path, ended):
    """The module may itself run in a unit of type notify (ansible-pull): its guard reports to us, not to that unit's manager."""
    window = make_window(deadline=time.monotonic() + 1000, id="0a1b2c3d-0000-4000-8000-00000000a002")
    ended(window)
    Ledger(session).write(window)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr(units, "READY_TIMEOUT", 5.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        _launch.arm(session, window)
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_arm_refuses_when_the_program_cannot_be_written(make_window, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MaintenanceError) as caught:
        _launch.arm(Places(str(tmp_path / "file"), ""), make_window())
    assert caught.value.code == "guard" and str(tmp_path / "file") in str(caught.value)


def test_arm_refuses_when_the_guard_dies(session, make_window, monkeypatch):
    monkeypatch.setattr(_launch, "program", lambda: b"not a program")
    with pytest.raises(MaintenanceError) as caught:
        _launch.arm(session, make_window())
    assert caught.value.code == "guard"


def test_arm_gives_a_guard_up_that_says_nothing(session, make_window, monkeypatch, tmp_path):
    monkeypatch.setattr(units, "READY_TIMEOUT", 0.3)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(20)\n")
    monkeypatch.setattr(_launch, "program", buffer.getvalue)
    with pytest.raises(MaintenanceError):
        _launch.arm(session, make_window())
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


# ---- helpers of the start ----

def test_run_passes_on_what_a_program_said():
    units.run(["true"], 30)
    with pytest.raises(MaintenanceError) as caught:
        units.run(["sh", "-c", "echo 'Failed to start  transient unit' >&2; exit 3"], 30)
    assert "sh ended with 3: Failed to start transient unit" in str(caught.value) and caught.value.code == "guard"
    for argv, seconds in ((["/no/such/program"], 30), (["sleep", "1000"], 0.1)):
        with pytest.raises(MaintenanceError) as caught:
            units.run(argv, seconds)
        assert "no guest was paused" in str(caught.value)


def test_units_are_named_after_the_window(make_window):
    assert guard_unit.unit("guard", make_window(id="w-1")) == "vm-preserving-guard-w-1"
