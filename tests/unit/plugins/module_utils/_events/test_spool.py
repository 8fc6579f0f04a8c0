# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_events/spool: documents on a disk, also a full one, and one writer at a time."""
from __future__ import annotations

import os
import resource
import signal
import stat
import threading

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, health, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.approvals import Approval
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.changes import Wanted
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.spool import Spool

UUID = "6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab"


@pytest.fixture
def places(tmp_path):
    found = EventPlaces(str(tmp_path))
    os.makedirs(found.approvals)
    return found


def announced(before=changes.NONE, host="kvm1", uuid=UUID):
    one = Wanted("Freeze", uuid, "web", ("web",), None, 5, "")
    return changes.schedule(before, host, [one], "Platform", 900, spool.moment())


def test_what_is_announced_comes_back(places):
    ours = Spool(places, os.getgid())
    assert ours.read() == changes.NONE
    found = announced()
    with ours.locked():
        ours.write(found)
    assert ours.read() == found
    [name] = os.listdir(places.approvals)
    assert name == found.events[0].id and ours.approval(name) is None
    assert stat.S_IMODE(os.stat(places.events).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(os.path.join(places.approvals, name)).st_mode) == 0o660


def test_the_files_of_approvals_come_and_go_with_their_events(places):
    ours = Spool(places, os.getgid())
    found = announced()
    ours.write(found)
    ours.approve(found.events[0].id, Approval(UUID, "web", 1.0))
    both = announced(found, uuid="7f1c2b7a-0d3e-4a5f-8b9c-0123456789ab", host="kvm2")
    ours.write(both)
    assert ours.approval(found.events[0].id) == Approval(UUID, "web", 1.0) and ours.approval(both.events[1].id) is None
    ours.write(changes.end(both, [found.events[0].id], spool.moment()))
    assert os.listdir(places.approvals) == [both.events[1].id]


def test_what_a_killed_writer_has_left_is_cleared_away(places):
    ours = Spool(places, os.getgid())
    (open(os.path.join(places.approvals, "X.123.tmp"), "wb")).close()
    ours.write(announced())
    assert len(os.listdir(places.approvals)) == 1


def test_a_host_on_which_it_was_never_installed(tmp_path):
    with pytest.raises(MaintenanceError) as caught:
        Spool(EventPlaces(str(tmp_path)), os.getgid())
    assert caught.value.code == "not_installed"
    os.makedirs(EventPlaces(str(tmp_path)).approvals)
    Spool(EventPlaces(str(tmp_path)), os.getgid())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"version": 2}', b"[" * 100000])
def test_a_document_that_is_none_is_refused(places, content):
    with open(places.events, "wb") as stream:
        stream.write(content)
    with pytest.raises(MaintenanceError) as caught:
        Spool(places, os.getgid()).read()
    assert caught.value.code == "spool" and places.events in str(caught.value)


def test_on_a_full_disk_nothing_is_lost(places):
    """A limit on the size of files fails as a full disk does: in the middle of a write."""
    ours = Spool(places, os.getgid())
    found = announced()
    ours.write(found)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
        with pytest.raises(MaintenanceError) as caught:
            ours.write(announced(found, host="kvm2"))
        ours.approve(found.events[0].id, Approval(UUID, "web", 1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handled)
    assert caught.value.code == "spool"
    assert ours.read() == found and ours.approval(found.events[0].id) == Approval(UUID, "web", 1.0)
    assert [name for name in os.listdir(places.spool) if name.endswith(".tmp")] == []


def test_one_writer_at_a_time(places):
    """Each adds an event to what it has read: without the lock some would be lost."""
    def add(number):
        ours = Spool(places, os.getgid())
        for turn in range(5):
            with ours.locked():
                ours.write(announced(ours.read(), host=f"kvm{number}-{turn}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(Spool(places, os.getgid()).read().events) == 20


def test_a_lock_that_somebody_keeps(places, monkeypatch):
    monkeypatch.setattr(spool, "LOCK_TIMEOUT", 0.1)
    ours = Spool(places, os.getgid())
    with ours.locked(), pytest.raises(MaintenanceError) as caught, ours.locked():
        pass
    assert caught.value.code == "spool"
    assert f"(process {os.getpid()} since " in str(caught.value) and f"; its lock is {places.lock})" in str(caught.value)


def test_health_comes_back():
    found = health.Health(7, 1.5, ["virbr0"], {"br0": "no such device"}, {UUID: 2.0}, [], [])
    assert health.parse(health.line(found)) == found


def test_a_service_that_does_not_answer(tmp_path):
    assert health.ask(str(tmp_path / "nothing"), 0.5) is None
