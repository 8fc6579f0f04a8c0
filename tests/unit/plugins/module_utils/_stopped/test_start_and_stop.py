# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_stopped: shutting down and starting in order, by nobody's force, with a libvirt that does what the test wants."""
from __future__ import annotations

import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import GuestGone, LibvirtUnreachable, WindowBusy
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped import start as starting
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped import stop as stopping
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.ledger import StoppedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.record import StoppedGuest, StoppedTogether
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._stopped.summary import refuse_stopped, stopped_summary

US = identity.own_identity()


class Guest:
    """A guest of that libvirt.

    :param obeys: It shuts down when it is asked to.
    """

    def __init__(self, libvirt, name, number, obeys=True):
        self.libvirt, self.name, self.uuid, self.id, self.obeys = libvirt, name, f"u-{name}", number, obeys
        self.broken, self.saved, self.starts = "", False, True

    def state(self):
        return State("running", "booted") if self.id >= 0 else State("shutoff", "shutdown")

    def shut_down(self):
        self.libvirt.log.append(f"ask {self.name}")
        if self.broken:
            raise RuntimeError(self.broken)
        if self.obeys:
            self.id = -1

    def destroy(self):
        self.libvirt.log.append(f"destroy {self.name}")
        self.id = -1

    def start(self):
        if not self.starts:
            raise RuntimeError("its device is gone")
        self.libvirt.log.append(f"start {self.name}")
        self.id = 99

    def set_autostart(self, value):
        self.libvirt.log.append(f"autostart {self.name} {value}")

    def has_managed_save(self):
        return self.saved


class Libvirt:
    def __init__(self):
        self.log, self.guests = [], {}

    def add(self, name, number, **how):
        self.guests[f"u-{name}"] = Guest(self, name, number, **how)
        return self.guests[f"u-{name}"]

    def guest(self, uuid):
        if uuid not in self.guests:
            raise GuestGone(uuid)
        return self.guests[uuid]


@pytest.fixture
def libvirt(where, monkeypatch):
    found = Libvirt()
    for module in (starting, stopping):
        monkeypatch.setattr(module, "Connection", lambda uri: found)
        monkeypatch.setattr(module, "places", lambda uri: where)
    monkeypatch.setattr(stopping, "LOOK", 0.01)
    monkeypatch.setattr(starting, "BETWEEN", 0.01)
    monkeypatch.setattr(starting, "AGAIN", 0.01)
    monkeypatch.setattr(starting.host_power, "goes_down", lambda: False)
    monkeypatch.setattr(starting.boot_unit.START, "remove", lambda: found.log.append("no unit"))
    monkeypatch.setattr(starting.boot_unit.START, "begin", lambda: found.log.append("unit") or "")
    return found


def record(*guests, boot_id=None, autostart=()):
    return StoppedTogether(
        "r", "qemu:///system", boot_id or identity.boot_id(), "root", "2026-11-27T08:00:00Z",
        [StoppedGuest(one.name, one.uuid, one.id, US.pid, US.start_time, True, one.name in autostart) for one in guests],
    )


def test_the_last_is_shut_down_first_and_started_last(libvirt, where):
    this = record(libvirt.add("db", 3), libvirt.add("app", 5), autostart=["app"])
    assert stopping.stop_all(this, 5.0, False) == ""
    assert [one.phase for one in StoppedLedger(where).read().guests] == ["stopped", "stopped"]
    assert starting.start_all(this, "module", lambda line: None) == "nothing"
    assert libvirt.log == ["ask app", "autostart app False", "ask db", "start db", "start app", "autostart app True", "no unit"]
    found = StoppedLedger(where).read()
    assert ([one.outcome for one in found.guests], found.is_open, found.closed_by) == (["started", "started"], False, "module")
    assert all(one.away_for is not None and one.away_for >= 0 for one in found.guests)


def test_who_does_not_shut_down_runs_on_and_nothing_is_forced(libvirt, where):
    this = record(libvirt.add("db", 3), libvirt.add("deaf", 4, obeys=False), libvirt.add("app", 5))
    problem = stopping.stop_all(this, 0.05, False)
    assert problem == "guest 'deaf' was asked to shut down, and has not within 0.05 s; nothing was forced, and it runs on"
    assert starting.start_all(this, "module", lambda line: None) == "late"
    assert libvirt.log == ["ask app", "ask deaf", "start app"]
    # It may still: the record stays open until it cannot any more.
    assert StoppedLedger(where).read().is_open
    this.guests[1].asked_at -= 1000
    assert starting.start_all(this, "module", lambda line: None) == "nothing"
    assert [one.outcome for one in this.guests] == ["untouched", "untouched", "started"]


def test_what_would_be_started_is_what_is_started(libvirt):
    this = record(libvirt.add("db", 3), libvirt.add("deaf", 4, obeys=False), libvirt.add("app", 5))
    stopping.stop_all(this, 0.05, False)
    before = list(libvirt.log)
    assert starting.would_start(this) == {"u-app"} and libvirt.log == before
    starting.start_all(this, "module", lambda line: None)
    assert starting.would_start(this) == set()


def test_who_shuts_down_late_is_started(libvirt):
    deaf = libvirt.add("deaf", 4, obeys=False)
    this = record(deaf)
    assert stopping.stop_all(this, 0.05, False)
    deaf.id = -1
    assert starting.start_all(this, "host", lambda line: None) == "nothing"
    assert this.guests[0].outcome == "started"


def test_force_is_the_operators_word(libvirt):
    this = record(libvirt.add("deaf", 4, obeys=False))
    assert stopping.stop_all(this, 0.05, True) == ""
    assert (libvirt.log, this.guests[0].forced, this.guests[0].phase) == (["ask deaf", "destroy deaf"], True, "stopped")


def test_who_cannot_be_asked_is_not_waited_for(libvirt):
    guest = libvirt.add("web", 4)
    guest.broken = "no power button"
    began = time.monotonic()
    assert "could not be asked to shut down (no power button); nothing was forced" in stopping.stop_all(record(guest), 60.0, False)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("happens", "says"), [
    (lambda libvirt, guest: setattr(guest, "id", 42), "somebody has started it again meanwhile"),
    (lambda libvirt, guest: libvirt.guests.clear(), "no definition of it any more"),
])
def test_what_its_owner_does_meanwhile_is_seen(libvirt, happens, says):
    guest = libvirt.add("web", 4)
    guest.shut_down = lambda: happens(libvirt, guest)
    assert says in stopping.stop_all(record(guest), 5.0, False)


def test_one_that_cannot_be_started_keeps_no_other_off(libvirt, where):
    gpu, web = libvirt.add("gpu", 3), libvirt.add("web", 4)
    this = record(gpu, web)
    stopping.stop_all(this, 5.0, False)
    gpu.starts = False
    said = []
    assert starting.start_all(this, "module", said.append) == "off"
    assert "guest gpu: stopped: it could not be started (its device is gone); trying again" in said
    assert ([one.outcome for one in this.guests], StoppedLedger(where).read().is_open) == ([None, "started"], True)
    gpu.starts = True
    assert starting.start_all(this, "module", said.append) == "nothing"


def test_a_host_on_its_way_down_starts_nobody(libvirt, monkeypatch):
    this = record(libvirt.add("web", 4))
    stopping.stop_all(this, 5.0, False)
    monkeypatch.setattr(starting.host_power, "goes_down", lambda: True)
    assert starting.start_all(this, "module", lambda line: None) == "off"
    assert libvirt.log == ["ask web"]


def off(libvirt, where, boot_id=None):
    """A guest that is off, on record."""
    this = record(libvirt.add("web", 4), boot_id=boot_id)
    stopping.stop_all(this, 5.0, False)
    return this


def test_after_a_boot_the_host_starts_what_is_off(libvirt, where):
    this = record(libvirt.add("web", -1), boot_id="another")
    this.guests[0].id, this.guests[0].phase, this.guests[0].asked_at = 4, "stopped", time.time()
    StoppedLedger(where).write(this)
    assert starting.follow("qemu:///system", lambda line: None, None) == 0
    assert libvirt.log == ["start web", "no unit"]
    assert StoppedLedger(where).read().closed_by == "host"


def test_the_unit_leaves_a_run_that_goes_on_alone(libvirt, where):
    off(libvirt, where)
    said = []
    assert starting.follow("qemu:///system", said.append, None) == 0
    assert "start web" not in libvirt.log and "goes on" in said[0]


def test_a_recovery_starts_it(libvirt, where):
    off(libvirt, where)
    assert starting.follow("qemu:///system", lambda line: None, 5.0) == 0
    assert "start web" in libvirt.log


def test_a_recovery_leaves_the_late_ones_to_the_host(libvirt, where):
    stopping.stop_all(record(libvirt.add("deaf", 4, obeys=False)), 0.05, False)
    assert starting.follow("qemu:///system", lambda line: None, 5.0) == 0
    assert libvirt.log == ["ask deaf", "unit"]


def test_a_recovery_that_does_not_get_there_says_so(libvirt, where):
    off(libvirt, where)
    libvirt.guests["u-web"].starts = False
    assert starting.follow("qemu:///system", lambda line: None, 0.05) == 1


def test_a_libvirt_that_is_just_started_is_waited_for(libvirt, where, monkeypatch):
    off(libvirt, where)
    answers = iter([LibvirtUnreachable("not yet")])

    def connect(uri):
        for error in answers:
            raise error
        return libvirt

    monkeypatch.setattr(starting, "Connection", connect)
    assert starting.follow("qemu:///system", lambda line: None, 5.0) == 0


def test_with_nothing_on_record_the_unit_goes(libvirt):
    assert starting.follow("qemu:///system", lambda line: None, None) == 0
    assert libvirt.log == ["no unit"]


def test_nobody_is_shut_down_while_others_are_off(libvirt, where):
    assert stopped_summary(where) is None
    refuse_stopped(where, [])
    off(libvirt, where)
    with pytest.raises(WindowBusy, match="may be off, or may still shut down: web"):
        refuse_stopped(where, ["u-web"])
    assert stopped_summary(where)["open"] is True


def test_one_that_did_not_shut_down_may_be_asked_once_more(libvirt, where):
    stopping.stop_all(record(libvirt.add("deaf", 4, obeys=False)), 0.05, False)
    refuse_stopped(where, ["u-deaf"])
    with pytest.raises(WindowBusy):
        refuse_stopped(where, ["u-another"])
