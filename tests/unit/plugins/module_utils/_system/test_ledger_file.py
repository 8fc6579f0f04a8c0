# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/ledger_file: never half-written, never believed when it is not ours, and a lock that dies with its holder."""
from __future__ import annotations

import json
import os
import signal
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError, WindowBusy
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.places import Places
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.record import to_document
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import ledger_file

MODULE_UTILS = "from ansible_collections.vm_preserving.maintenance.plugins.module_utils"
#: What a process of its own needs to keep a ledger.
LEDGER = f"{MODULE_UTILS}._core import errors, places\n{MODULE_UTILS}._pause import ledger as ledgers, record\n"
#: Somebody who is not us; giving a file away needs root.
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def ledger(where):
    return Ledger(where)


def refused(ledger, word):
    with pytest.raises(LedgerError) as caught:
        ledger.read()
    assert word in str(caught.value), str(caught.value)
    assert ledger.where.ledger in str(caught.value)


# ---- the folder ----

def test_prepare_makes_a_private_folder_and_may_be_called_again(tmp_path):
    ledger = Ledger(Places(str(tmp_path / "a" / "b"), str(tmp_path)))
    ledger.prepare()
    os.chmod(ledger.where.state, 0o755)
    ledger.prepare()
    assert stat.S_IMODE(os.stat(ledger.where.state).st_mode) == 0o700


def test_prepare_refuses_a_symbolic_link(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "theirs")
    with pytest.raises(LedgerError):
        Ledger(Places(str(tmp_path / "state"), "")).prepare()


def test_prepare_refuses_what_is_no_folder(tmp_path):
    (tmp_path / "state").write_text("")
    for path in (tmp_path / "state", tmp_path / "state" / "below"):
        with pytest.raises(LedgerError) as caught:
            Ledger(Places(str(path), "")).prepare()
        assert "no guest was touched" in str(caught.value)


@needs_root
def test_prepare_refuses_a_folder_of_somebody_else(tmp_path):
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", NOBODY, NOBODY)
    with pytest.raises(LedgerError):
        Ledger(Places(str(tmp_path / "state"), "")).prepare()


# ---- writing and reading ----

def test_without_a_ledger_there_never_was_a_window(ledger, tmp_path):
    assert ledger.read() is None
    assert Ledger(Places(str(tmp_path / "nowhere"), "")).read() is None
    (tmp_path / "file").write_text("")
    assert Ledger(Places(str(tmp_path / "file"), "")).read() is None


def test_what_is_written_is_read(ledger, make_window, make_entry):
    window = make_window(make_entry(name="gäst \U0001f40d \ud800"), make_entry(name="b", paused_at=1.5))
    ledger.write(window)
    assert ledger.read() == window
    window.closed_at = "2026-11-23T08:00:30Z"
    ledger.write(window)
    assert ledger.read() == window


def test_the_file_is_private_and_alone(ledger, make_window):
    previous = os.umask(0)
    try:
        ledger.write(make_window())
    finally:
        os.umask(previous)
    assert stat.S_IMODE(os.stat(ledger.where.ledger).st_mode) == 0o600
    assert os.listdir(ledger.where.state) == ["ledger.json"]


def test_what_a_crash_left_behind_is_in_nobodys_way(ledger, make_window, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    os.symlink(victim, f"{ledger.where.ledger}.{os.getpid()}.tmp")
    ledger.write(make_window())
    assert victim.read_text() == "theirs"
    assert ledger.read() == make_window(deadline=ledger.read().deadline)


def test_a_failed_write_leaves_the_old_document(ledger, make_window):
    old = make_window(opener="old")
    ledger.write(old)
    os.mkdir(f"{ledger.where.ledger}.{os.getpid()}.tmp")
    with pytest.raises(LedgerError) as caught:
        ledger.write(make_window(opener="new"))
    assert ledger.where.ledger in str(caught.value)
    assert ledger.read() == old


def test_a_write_into_nowhere_is_a_ledger_error(make_window, tmp_path):
    with pytest.raises(LedgerError):
        Ledger(Places(str(tmp_path / "nowhere"), "")).write(make_window())


def test_a_full_disk_is_a_ledger_error_and_leaves_the_old_document(ledger, make_window, start_python):
    """The limit on the size of a file does what a full disk does: the write itself fails."""
    old = make_window(opener="old")
    ledger.write(old)
    writer = start_python(
        f"import resource, sys\n{LEDGER}"
        "ledger = ledgers.Ledger(places.Places(sys.argv[1], ''))\nwindow = ledger.read()\nwindow.opener = 'new'\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    ledger.write(window)\nexcept errors.LedgerError as error:\n    print('refused:', error)\n", ledger.where.state,
    )
    assert b"refused: " in writer.communicate(timeout=30)[0]
    assert ledger.read() == old
    assert os.listdir(ledger.where.state) == ["ledger.json"]


def test_a_reader_never_sees_a_part_and_a_killed_writer_leaves_none(ledger, make_window, make_entry, start_python, until):
    """A writer changes the window as fast as it can, and is killed in the middle of it; each read is one of the two documents."""
    small, large = make_window(opener="small"), make_window(*[make_entry(name=f"g{number}") for number in range(300)], opener="large")
    ledger.write(small)
    for _round in range(3):
        writer = start_python(
            f"import json, sys\n{LEDGER}"
            "ledger = ledgers.Ledger(places.Places(sys.argv[1], ''))\n"
            "windows = [record.from_document(json.loads(line)) for line in sys.stdin]\n"
            "print('ready', flush=True)\nwhile True:\n    for window in windows:\n        ledger.write(window)\n",
            ledger.where.state, stdin=-1,
        )
        writer.stdin.write("".join(json.dumps(to_document(window)) + "\n" for window in (small, large)).encode())
        writer.stdin.close()
        assert writer.stdout.readline() == b"ready\n"
        seen = []
        until(lambda: seen.append(ledger.read()) or {window.opener for window in seen} == {"small", "large"}, "both documents")  # noqa: B023
        for window in [*seen, *(ledger.read() for _number in range(100))]:
            assert window in (small, large)
        writer.kill()
        writer.wait()
        assert ledger.read() in (small, large)


# ---- refusals ----

@pytest.mark.parametrize("text", [
    b"", b"{", b"null", b"[]", b"{}", b"\x00" * 4096, b"\xff\xfe{}", b"{'version': 1}", b'{"version": 1, "window": {}}', b"[" * 100_000,
    b'{"version":' + b"[" * 100_000, b'{"version": ' + b"9" * 10_000 + b', "window": {}}', b"\xef\xbb\xbf{}", b'{"version": 2, "window": {}}',
])
def test_a_damaged_ledger_is_refused(ledger, text):
    with open(os.open(ledger.where.ledger, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
        stream.write(text)
    refused(ledger, "ledger")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_ledger_cut_off_or_with_one_byte_changed_is_read_or_refused(where, make_window, data):
    ledger = Ledger(where)
    ledger.write(make_window(boot_id="b", deadline=1000.0))
    with open(where.ledger, "rb") as stream:
        text = stream.read()
    at = data.draw(st.integers(0, len(text) - 2))
    cut = data.draw(st.booleans())
    with open(where.ledger, "wb") as stream:
        stream.write(text[:at] if cut else text[:at] + data.draw(st.binary(min_size=1, max_size=1)) + text[at + 1:])
    try:
        ledger.read()
    except LedgerError:
        return
    assert not cut


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(where, text):
    with open(where.ledger, "wb") as stream:
        stream.write(text)
    os.chmod(where.ledger, 0o600)
    refused(Ledger(where), "ledger")


def test_a_symbolic_link_is_refused(ledger, make_window, tmp_path):
    ledger.write(make_window())
    os.rename(ledger.where.ledger, tmp_path / "theirs")
    os.symlink(tmp_path / "theirs", ledger.where.ledger)
    refused(ledger, "symbolic link")


def test_a_fifo_is_refused_and_not_waited_for(ledger):
    os.mkfifo(ledger.where.ledger, 0o600)
    refused(ledger, "not a private file")


def test_a_folder_is_refused(ledger):
    os.mkdir(ledger.where.ledger)
    refused(ledger, "not a private file")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_ledger_that_others_may_write_is_refused(ledger, make_window, mode):
    ledger.write(make_window())
    os.chmod(ledger.where.ledger, mode)
    refused(ledger, "not a private file")


@needs_root
def test_a_ledger_of_somebody_else_is_refused(ledger, make_window):
    ledger.write(make_window())
    os.chown(ledger.where.ledger, NOBODY, NOBODY)
    refused(ledger, "not a private file")


def test_a_ledger_that_is_far_too_large_is_refused_and_not_loaded(ledger):
    with open(os.open(ledger.where.ledger, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
        stream.truncate(ledger_file.MAX_SIZE + 1)
    refused(ledger, f"{ledger_file.MAX_SIZE + 1} bytes")


def test_a_ledger_of_a_thousand_guests_is_no_problem(ledger, make_window, make_entry):
    window = make_window(*[make_entry(name="n" * 200, message="m" * 300, monitor="/p" * 50) for _number in range(1000)])
    ledger.write(window)
    assert ledger.read() == window


# ---- the lock ----

def hold(start_python, where):
    """A process that holds the lock until it is ended."""
    holder = start_python(
        f"import sys, time\n{LEDGER}"
        "with ledgers.Ledger(places.Places(sys.argv[1], '')).locked(20):\n    print('held', flush=True)\n    time.sleep(1000)\n", where.state,
    )
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_the_lock_excludes_another_process_and_says_who_has_it(ledger, start_python):
    holder = hold(start_python, ledger.where)
    with pytest.raises(WindowBusy) as caught:
        with ledger.locked(0.0):
            pytest.fail("two hold the lock")
    assert f"process {holder.pid} since " in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_is_free_once_its_holder_is_dead(ledger, start_python, number):
    holder = hold(start_python, ledger.where)
    holder.send_signal(number)
    holder.wait()
    with ledger.locked(0.0):
        with open(ledger.where.lock, encoding="ascii") as stream:
            assert stream.read().startswith(f"process {os.getpid()} since ")


def test_a_holder_that_ends_is_waited_for(ledger, start_python):
    holder = hold(start_python, ledger.where)
    holder.kill()  # the wait for the lock and the end of the holder overlap
    with ledger.locked(30.0):
        assert holder.wait() == -signal.SIGKILL


def test_a_stopped_holder_still_has_it(ledger, start_python):
    holder = hold(start_python, ledger.where)
    holder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(WindowBusy):
        with ledger.locked(0.1):
            pass


def test_the_lock_is_given_back_also_after_an_error(ledger):
    with pytest.raises(ZeroDivisionError):
        with ledger.locked(0.0):
            raise ZeroDivisionError
    with ledger.locked(0.0):
        with pytest.raises(WindowBusy):  # a second handle of the same process is another holder
            with Ledger(ledger.where).locked(0.0):
                pass
    with ledger.locked(0.0):
        pass


def test_a_child_does_not_inherit_the_lock(ledger, start):
    with ledger.locked(0.0):
        start(["sleep", "1000"], close_fds=False)
    with ledger.locked(0.0):
        pass


def test_a_lock_that_is_a_symbolic_link_is_refused(ledger, tmp_path):
    os.symlink(tmp_path / "theirs", ledger.where.lock)
    with pytest.raises(LedgerError) as caught:
        with ledger.locked(0.0):
            pass
    assert ledger.where.lock in str(caught.value)
    assert not (tmp_path / "theirs").exists()


def test_without_the_folder_the_lock_is_a_ledger_error(tmp_path):
    with pytest.raises(LedgerError):
        with Ledger(Places(str(tmp_path / "nowhere"), "")).locked(0.0):
            pass


def test_a_full_disk_does_not_keep_anybody_from_the_lock(ledger, start_python):
    """The holder's name is a courtesy: at the deadline the guard must get on without room for it."""
    holder = start_python(
        f"import resource, sys\n{LEDGER}"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "with ledgers.Ledger(places.Places(sys.argv[1], '')).locked(5):\n    print('held')\n", ledger.where.state, stderr=-1,
    )
    assert holder.communicate(timeout=30)[0] == b"held\n"
