# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/arrived: guests that came here paused by us on another host are resumed; all others are left."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import arrived
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.arrived import Left
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

from ..stuck_libvirt import libvirtError

URI = "qemu:///session"
ELSEWHERE = "5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"
HERE = "6b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"
RUNNING, PAUSED = 1, 3


def guest(number, **over):
    return {"name": f"g{number}", "uuid": f"u{number}", "state": PAUSED, "token": ELSEWHERE, "ahead": -30.0, **over}


def arrivals():
    return arrived.find(hypervisor.Connection(URI), {HERE})


def go(*left, check_mode=False):
    found = arrivals()
    arrived.resume(URI, found, left, check_mode)
    return {one.guest.name: one for one in found}


def test_whose_mark_nobody_here_has_set_has_arrived(libvirt):
    libvirt(
        guest(0), guest(1, token=HERE), guest(2, token=None), guest(3, state=RUNNING), guest(4, reason=5), guest(5, fail={"metadata": libvirtError(1)}),
        guest(6, state=5), guest(7, fail={"state": libvirtError(42)}),
    )
    assert [(one.guest.name, one.window) for one in arrivals()] == [("g0", ELSEWHERE)]


def test_a_guest_that_does_not_answer_keeps_nobody(libvirt, monkeypatch):
    monkeypatch.setattr(arrived, "LOOK_TIMEOUT", 0.2)
    libvirt(guest(0, hang=("metadata",)), guest(1))
    assert [one.guest.name for one in arrivals()] == ["g1"]


def test_they_are_resumed_and_have_their_clocks_and_lose_the_mark(libvirt):
    library = libvirt(guest(0), guest(1), guest(2))
    found = go(Left(ELSEWHERE, "u0", 0.0), Left(ELSEWHERE, "u1", 3600.0), Left(ELSEWHERE, "u2"))
    assert all(one.resumed and one.message == "it was migrated here while it was paused by us, and resumed" for one in found.values())
    assert [one["state"] for one in library.guests.values()] == [RUNNING] * 3 and [one["token"] for one in library.guests.values()] == [None] * 3
    assert [round(one["ahead"]) for one in library.guests.values()] == [0, 3600, -30]
    assert [one.clock and one.clock["verdict"] for one in found.values()] == ["in_sync", "in_sync", None]


@pytest.mark.parametrize("left", [(), (Left(ELSEWHERE, "u9"),), (Left(HERE, "u0"),)])
def test_who_is_in_no_ledger_is_left_as_it_is(libvirt, left):
    library = libvirt(guest(0))
    one = go(*left)["g0"]
    assert not one.resumed and one.clock is None and "knows; it was left as it is" in one.message and ELSEWHERE in one.message
    assert (library.guests["u0"]["state"], library.guests["u0"]["token"]) == (PAUSED, ELSEWHERE)


def test_check_mode_touches_nothing(libvirt):
    library = libvirt(guest(0))
    assert go(Left(ELSEWHERE, "u0", 0.0), check_mode=True)["g0"].resumed
    assert (library.guests["u0"]["state"], library.guests["u0"]["token"], library.guests["u0"]["ahead"]) == (PAUSED, ELSEWHERE, -30.0)


@pytest.mark.parametrize("trouble", [{"fail": {"resume": libvirtError(1, "no such bridge")}}, {"hang": ("resume",)}])
def test_one_that_cannot_be_resumed_is_told_and_keeps_nobody(libvirt, monkeypatch, trouble):
    """Found in review: a call that did not come back kept the module, and all guests after it, for ever."""
    monkeypatch.setattr(arrived, "RESUME_TIMEOUT", 0.2)
    library = libvirt(guest(0, **trouble), guest(1))
    found = go(Left(ELSEWHERE, "u0"), Left(ELSEWHERE, "u1"))
    assert not found["g0"].resumed and "could not be resumed (" in found["g0"].message and "virsh resume" in found["g0"].message
    assert found["g1"].resumed and library.guests["u1"]["state"] == RUNNING


@pytest.mark.parametrize("trouble", [{"fail": {"clear": libvirtError(1, "no job")}}, {"hang": ("clear",)}])
def test_a_mark_that_stays_is_told_of_a_guest_that_runs(libvirt, monkeypatch, trouble):
    """Found in review: it was told to be paused still, and that somebody should resume it by hand."""
    monkeypatch.setattr(arrived, "RESUME_TIMEOUT", 0.2)
    library = libvirt(guest(0, **trouble))
    one = go(Left(ELSEWHERE, "u0", 0.0))["g0"]
    assert one.resumed and library.guests["u0"]["state"] == RUNNING and one.clock["verdict"] == "in_sync"
    assert "and resumed, and our mark on it could not be removed (" in one.message and "virsh metadata g0" in one.message


def test_nothing_arrived(libvirt):
    libvirt(guest(0, token=None))
    assert go(Left(ELSEWHERE, "u0")) == {}
