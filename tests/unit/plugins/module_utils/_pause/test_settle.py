# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/settle: what becomes of each guest of a window when libvirt is away and only QEMU's monitors are left."""
from __future__ import annotations

import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity as who
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LibvirtUnreachable
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.places import Places
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import settle
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle import Settler

pytestmark = pytest.mark.usefixtures("no_libvirt")


@pytest.fixture
def paused(make_entry):
    """A guest that we paused; this process is its QEMU."""
    def make(monitor="", phase="paused", **over):
        this = who.own_identity()
        known = {"pid": this.pid, "start_time": this.start_time, "monitor": monitor, "phase": phase, "paused_at": time.monotonic()}
        return make_entry(**{**known, **over})
    return make


def silence(connection):
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(("status", "outcome", "by"), [
    ("paused", "resumed", "guard"),
    ("running", "running", "owner"),
    ("io-error", "not_ours", None),
    ("internal-error", "not_ours", None),
    ("inmigrate", "not_ours", None),
    ("prelaunch", "not_ours", None),
    ("shutdown", "not_ours", None),
    ("suspended", "not_ours", None),
    ("guest-panicked", "not_ours", None),
    ("something-new", "not_ours", None),
])
def test_each_status_of_qemu(qemu, paused, make_window, status, outcome, by):
    monitor = qemu(status=status)
    entry = paused(monitor.path)
    settler = Settler("guard")
    settler.settle(make_window(entry))
    assert (entry.settled, entry.outcome, entry.resumed_by) == (True, outcome, by)
    assert ("cont" in monitor.commands) == (status == "paused")
    # A guest that runs may run because a conversation of ours broke off: libvirt has to know it, too.
    assert settler.by_monitor == ({entry.uuid} if status in ("paused", "running") else set())
    assert entry.message and settler.libvirt_hangs is False


def test_the_pause_is_measured(qemu, paused, make_window):
    entry = paused(qemu().path, paused_at=time.monotonic() - 5)
    Settler("module").settle(make_window(entry))
    assert 5 <= entry.paused_for < 60
    assert entry.resumed_by == "module"


@pytest.mark.parametrize("identity", [{"pid": 99999999}, {"start_time": 1}])
def test_a_guest_whose_qemu_ended_is_gone_and_its_monitor_is_left_alone(qemu, paused, make_window, identity):
    monitor = qemu()
    entry = paused(monitor.path, **identity)
    Settler("guard").settle(make_window(entry))
    assert entry.outcome == "gone"
    assert monitor.commands == []


def test_after_a_reboot_of_the_host_nobody_is_asked(qemu, paused, make_window):
    monitor = qemu()
    window = make_window(paused(monitor.path), boot_id="00000000-0000-4000-8000-000000000000")
    Settler("module").settle(window)
    assert window.guests[0].outcome == "gone" and "rebooted" in window.guests[0].message
    assert monitor.commands == []


def test_what_is_settled_is_not_touched_again(qemu, paused, make_window):
    monitor = qemu()
    entry = paused(monitor.path)
    entry.settle("not_ours", "somebody else paused it")
    Settler("guard").settle(make_window(entry))
    assert monitor.commands == [] and entry.outcome == "not_ours"


def test_one_guests_trouble_does_not_keep_another_paused(qemu, paused, make_window, tmp_path):
    good = qemu()
    entries = [
        paused(str(tmp_path / "nothing"), uuid="a"), paused("", uuid="b"), paused(qemu(talk=lambda connection: None).path, uuid="c"),
        paused(qemu(talk=lambda connection: connection.sendall(b"junk\n")).path, uuid="d"), paused(good.path, uuid="e"),
    ]
    window = make_window(*entries)
    settler = Settler("guard")
    settler.settle(window)
    assert [entry.outcome for entry in entries] == [None, None, None, None, "resumed"]
    assert [entry.uuid for entry in window.unsettled()] == ["a", "b", "c", "d"]
    assert all("trying again" in entry.message for entry in entries[:4])
    assert settler.libvirt_hangs is False and settler.by_monitor == {"e"}


def test_a_hostile_monitor_does_not_keep_another_guest_paused(qemu, paused, make_window):
    bad = qemu(talk=lambda connection: connection.sendall(b"[" * 200_000 + b"\n"))
    entries = [paused(bad.path, uuid="a"), paused(qemu().path, uuid="b")]
    Settler("guard").settle(make_window(*entries))
    assert [entry.outcome for entry in entries] == [None, "resumed"]


def test_monitors_that_say_nothing_do_not_hold_up_the_others(qemu, paused, make_window):
    """Promise 1: twenty silent monitors, one after another, would cost the twenty-first its deadline."""
    entries = [paused(qemu(talk=silence).path, uuid=str(number)) for number in range(20)] + [paused(qemu().path, uuid="good")]
    began = time.monotonic()
    settler = Settler("guard")
    settler.settle(make_window(*entries))
    assert [entry.uuid for entry in entries if entry.outcome == "resumed"] == ["good"]
    assert settler.libvirt_hangs is True  # a libvirtd that is stopping refuses connections, and still holds the monitors
    assert entries[-1].resumed_at - began < 20 * settle.MONITOR_TIMEOUT


def test_it_may_be_repeated(qemu, paused, make_window):
    monitor = qemu(talk=lambda connection: None)
    entry = paused(monitor.path)
    window = make_window(entry)
    settler = Settler("guard")
    for _number in range(3):
        settler.settle(window)
        assert not entry.settled
    monitor._talk = monitor.qmp
    settler.settle(window)
    assert entry.outcome == "resumed"
    settler.settle(window)
    assert monitor.commands == ["qmp_capabilities", "query-status", "cont"]


# ---- whose guest it is, by libvirt's own record ----

@pytest.fixture
def record(tmp_path, monkeypatch):
    """Write libvirt's status file of guest g1 in a session of the test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "libvirt" / "qemu" / "run"
    folder.mkdir(parents=True)

    def write(entry, token, **over):
        known = {"pid": entry.pid, "monitor": entry.monitor, "uuid": entry.uuid, **over}
        mark = "" if token is None else f'<metadata><v:window xmlns:v="urn:vm_preserving:maintenance:window" id="{token}"/></metadata>'
        (folder / f"{entry.name}.xml").write_text(
            f"<domstatus pid='{known['pid']}'><monitor path='{known['monitor']}'/><domain><uuid>{known['uuid']}</uuid>{mark}</domain></domstatus>"
        )
    return write


def test_a_guest_with_our_mark_in_libvirts_record_is_resumed(qemu, paused, make_window, record):
    entry = paused(qemu().path)
    window = make_window(entry)
    record(entry, window.id)
    Settler("guard").settle(window)
    assert entry.outcome == "resumed"


@pytest.mark.parametrize(("token", "over"), [
    (None, {}), ("", {}), ("another", {}), ("ours", {"pid": 1}), ("ours", {"pid": ""}), ("ours", {"monitor": "/elsewhere"}),
])
def test_a_guest_without_our_mark_on_that_process_and_monitor_is_left_alone(qemu, paused, make_window, record, token, over):
    monitor = qemu()
    entry = paused(monitor.path)
    window = make_window(entry)
    record(entry, window.id if token == "ours" else token, **over)
    Settler("guard").settle(window)
    assert entry.outcome == "not_ours" and monitor.commands == []


@pytest.mark.parametrize("text", ["", "<domstatus", "<domstatus/>"])
def test_a_record_that_cannot_be_used_does_not_keep_a_guest_paused(qemu, paused, make_window, record, tmp_path, text):
    entry = paused(qemu().path)
    record(entry, None)
    (tmp_path / "libvirt" / "qemu" / "run" / "g1.xml").write_text(text)
    Settler("guard").settle(make_window(entry))
    assert entry.outcome == "resumed"


def test_straight_to_the_monitors(qemu, paused, make_window):
    entry = paused(qemu().path)
    Settler("guard").settle(make_window(entry), through_libvirt=False)
    assert entry.outcome == "resumed"


# ---- a suspend that may still come ----

@pytest.mark.parametrize(("phase", "opened_ago", "opener_alive", "settled"), [
    ("paused", 5.0, False, True),
    ("pausing", 5.0, False, False),
    ("pausing", 5.0, True, False),
    ("pausing", settle.LATE_SUSPEND + 5, False, True),
    ("pausing", settle.LATE_SUSPEND + 5, True, False),
])
def test_a_running_guest_whose_suspend_was_given_up_is_kept_in_sight(qemu, paused, make_window, phase, opened_ago, opener_alive, settled):
    this = who.own_identity()
    opener = {"opener_pid": this.pid, "opener_start_time": this.start_time} if opener_alive else {}
    entry = paused(qemu(status="running").path, phase)
    Settler("guard").settle(make_window(entry, deadline=time.monotonic() - opened_ago + 30.0, **opener))
    assert entry.settled is settled
    if settled:
        assert entry.outcome == "running"


def test_a_suspend_that_came_late_is_undone(qemu, paused, make_window):
    monitor = qemu(status="running")
    entry = paused(monitor.path, "pausing")
    window = make_window(entry)
    settler = Settler("guard")
    settler.settle(window)
    assert not entry.settled
    monitor.status = "paused"
    settler.settle(window)
    assert entry.outcome == "resumed" and monitor.status == "running"


# ---- afterwards ----

def test_without_libvirt_nobody_can_be_told(paused, make_window):
    settler = Settler("guard")
    with pytest.raises(LibvirtUnreachable):
        settler.tell_libvirt(make_window(paused()))
    with pytest.raises(LibvirtUnreachable):
        settler.clear_tokens(make_window(paused()))


def test_a_ledger_that_cannot_be_written_is_told_and_no_more(where, make_window, tmp_path):
    log = []
    assert settle.save(Ledger(where), make_window(), log) is True
    assert log == []
    assert settle.save(Ledger(Places(str(tmp_path / "nowhere"), "")), make_window(), log) is False
    assert len(log) == 1 and "cannot be written" in log[0]
