# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saving_rules: who can be moved, how, for how long, and what is done with a guest that was left half way."""
from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saving_rules import (
    FIXED, MIB, RESERVE, Remains, affordable, in_place_obstacle, predicted_absences, predicted_pause, recover_verdict, save_blockers,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._states import State

RUNNING = State("running", "booted")
FILE = {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/dev/shm/libvirt/qemu/1-g/pc.ram", "share": True}
OURS = "5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"


def guest(inner):
    return ET.fromstring(f"<domain type='kvm'>{inner}</domain>")


# ---- what cannot be saved ----

@pytest.mark.parametrize(("inner", "codes"), [
    ("", []),
    ("<devices><disk type='file'><target dev='vda'/></disk><interface type='network'/></devices>", []),
    ("<devices><hostdev mode='subsystem' type='pci'/></devices>", ["passthrough"]),
    ("<devices><interface type='hostdev'/></devices>", ["passthrough"]),
    ("<devices><interface type='vdpa'/></devices>", ["passthrough"]),
    ("<devices><filesystem type='mount'><driver type='virtiofs'/></filesystem></devices>", ["virtiofs"]),
    ("<devices><filesystem type='mount'/></devices>", ["filesystem"]),
    ("<devices><filesystem type='mount'><driver type='path'/></filesystem></devices>", ["filesystem"]),
    ("<devices><disk><transient/></disk></devices>", ["transient_disk"]),
    ("<devices><shmem name='x'/></devices>", ["shmem"]),
    ("<launchSecurity type='sev'/>", ["launch_security"]),
    ("<cpu><feature policy='require' name='invtsc'/></cpu>", ["invtsc"]),
    ("<cpu><feature policy='disable' name='invtsc'/></cpu>", []),
    ("<cpu><feature policy='require' name='invtsc'/></cpu><clock><timer name='tsc' frequency='2400000000'/></clock>", []),
    ("<devices><hostdev/><shmem name='x'/></devices>", ["passthrough", "shmem"]),
])
def test_what_cannot_be_saved(inner, codes):
    assert [one.code for one in save_blockers(guest(inner), RUNNING)] == codes


@pytest.mark.parametrize(("state", "fine"), [
    (State("running", "unpaused"), True), (State("paused", "user"), True), (State("paused", "ioerror"), False), (State("paused", "unknown"), True),
    (State("paused", "migration"), True), (State("paused", "starting-up"), False), (State("paused", "postcopy"), False),
    (State("pmsuspended", "unknown"), False), (State("crashed", "unknown"), False), (State("shutoff", "saved"), False),
])
def test_in_which_states(state, fine):
    assert ([one.code for one in save_blockers(guest(""), state)] == []) is fine


# ---- whose memory can stay in place ----

@pytest.mark.parametrize(("inner", "backends", "word"), [
    ("", [FILE], None),
    ("", [FILE, {**FILE, "id": "ram-node1"}], None),
    ("", [], "is no file"),
    ("", [{**FILE, "qom-type": "memory-backend-ram"}], "memory-backend-ram"),
    ("", [FILE, {**FILE, "id": "dimm0", "qom-type": "memory-backend-memfd"}], "dimm0 is no file"),
    ("", [{**FILE, "share": False}], "private"),
    ("", [{key: value for key, value in FILE.items() if key != "share"}], "private"),
    ("", [{**FILE, "discard-data": True}], "discarded"),
    ("<memoryBacking><discard/></memoryBacking>", [FILE], "discarded"),
    ("", [{**FILE, "id": "../x"}], "usable name"),
    ("", [{**FILE, "id": ""}], "usable name"),
])
def test_what_keeps_memory_from_staying_in_place(inner, backends, word):
    found = in_place_obstacle(guest(inner), backends)
    assert (found is None) if word is None else (word in found)


# ---- how long, and how many ----

def test_the_predicted_pause():
    assert predicted_pause(6 << 30, 1.0, "in_place") == FIXED
    assert predicted_pause(0, 1e9, "copy") == FIXED
    assert predicted_pause(2 << 30, 2e9, "copy") > predicted_pause(1 << 30, 2e9, "copy") > predicted_pause(1 << 30, 4e9, "copy") > FIXED


@pytest.mark.parametrize(("residents", "available", "width", "expected"), [
    ([], 0, 4, (4, [])),
    ([100], 1000, 4, (4, [])),
    ([100, 100, 100], 1000, 2, (2, [])),
    ([600, 600], 1000, 2, (1, [])),
    ([300, 300, 300], 800, 3, (2, [])),
    ([900], 800, 1, (0, [0])),
    ([100, 900, 100], 800, 2, (2, [1])),
    ([700, 200, 200], 800, 2, (1, [])),
])
def test_how_many_fit(residents, available, width, expected):
    assert affordable([one * MIB for one in residents], available * MIB + RESERVE, width) == expected


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 4000), st.integers(1, 8))
def test_any_so_many_of_those_that_fit_do_fit_together(residents, available, width):
    found, too_large = affordable([one * MIB for one in residents], available * MIB + RESERVE, width)
    fitting = sorted((one for index, one in enumerate(residents) if index not in too_large), reverse=True)
    assert found <= width and all(one <= available for one in fitting)
    if fitting:
        assert found >= 1 and sum(fitting[:found]) <= available


# ---- a guest that was left half way ----

STATES = [None, RUNNING, State("running", "restored"), State("paused", "user"), State("paused", "starting-up"), State("paused", "save"),
          State("crashed", "unknown"), *(State("shutoff", reason) for reason in ("unknown", "shutdown", "destroyed", "crashed", "saved", "failed", "daemon"))]


def remains(state=None, same=False, token=None, job=None, image="absent"):
    shutoff = state.reason if state is not None and state.state == "shutoff" else None
    return Remains(state, same, token, job, shutoff, image)


@pytest.mark.parametrize(("found", "verdict"), [
    (remains(RUNNING, same=True, token=OURS), "untouched"),
    (remains(RUNNING, same=True, token=OURS, job="save"), "abort"),
    (remains(State("paused", "save"), same=True, token=OURS, job="save"), "abort"),
    (remains(State("paused", "save"), same=True, token=OURS), "wait"),
    (remains(State("paused", "user"), same=True, token=OURS), "untouched"),
    (remains(State("running", "restored"), token=OURS, image="restoring"), "restored"),
    (remains(State("paused", "user"), token=OURS, image="restoring"), "restored"),
    (remains(State("paused", "starting-up"), token=OURS, image="restoring"), "wait"),
    (remains(State("paused", "starting-up"), image="restoring"), "wait"),
    # Restored paused, by us or by a libvirtd that died before it let it run.
    (remains(State("paused", "migration"), token=OURS, image="saved"), "resume"),
    (remains(State("paused", "migration"), token=OURS, image="restoring"), "resume"),
    (remains(State("paused", "migration"), token=OURS, job="restore", image="saved"), "wait"),
    (remains(State("paused", "migration"), token="another", image="saved"), "wait"),
    # virsh start --paused
    (remains(State("paused", "migration"), token=OURS), "restored"),
    # Its owner has paused it since.
    (remains(State("paused", "user"), token=OURS, image="saved"), "restored"),
    (remains(State("running", "booted"), image="saved"), "not_ours"),
    (remains(State("running", "restored"), token="another", image="saved"), "not_ours"),
    (remains(None), "gone"),
    (remains(State("shutoff", "shutdown")), "gone"),
    (remains(None, image="saved"), "restore"),
    (remains(State("shutoff", "saved"), image="saved"), "restore"),
    (remains(State("shutoff", "unknown"), image="saved"), "restore"),
    (remains(State("shutoff", "destroyed"), image="saved"), "not_ours"),
    (remains(State("shutoff", "saved"), image="restoring"), "restore"),
    (remains(State("shutoff", "failed"), image="restoring"), "restore"),
    (remains(State("shutoff", "daemon"), image="restoring"), "restore"),
    (remains(State("shutoff", "unknown"), image="restoring"), "keep"),
    (remains(None, image="restoring"), "keep"),
    (remains(State("shutoff", "shutdown"), image="restoring"), "not_ours"),
])
def test_what_is_done_with_a_guest_that_was_left_half_way(found, verdict):
    was_paused = False
    assert recover_verdict(OURS, was_paused, found)[0] == verdict


@pytest.mark.parametrize("found", [
    (remains(State("paused", "migration"), same=True, token=OURS)), (remains(State("paused", "user"), same=True, token=OURS)),
])
def test_a_guest_that_was_paused_before_is_let_be(found):
    """Found on the lab: libvirt gives C(migration) as the reason of a paused guest that it has restored, for as long as it is paused."""
    assert recover_verdict(OURS, True, found)[0] == "untouched"


@pytest.mark.parametrize("found", [
    remains(state, same, token, job, image)
    for state, same, token, job, image in itertools.product(STATES, (False, True), (None, OURS, "another"), (None, "save"), ("absent", "saved", "restoring"))
])
@pytest.mark.parametrize("was_paused", [False, True])
def test_memory_is_restored_only_if_the_guest_cannot_have_run_since(found, was_paused):
    """Promise 3: no guest falls back to an older state; and none that runs is ended for it."""
    verdict, why = recover_verdict(OURS, was_paused, found)
    assert why
    if verdict == "resume":
        assert found.token == OURS and not was_paused and found.state.state == "paused" and found.state.reason != "user"
    if verdict == "restore":
        assert found.image != "absent"
        assert found.state is None or found.state.state == "shutoff"
        assert found.shutoff not in ("shutdown", "destroyed", "crashed")
        assert found.image == "saved" or found.shutoff in ("saved", "failed", "daemon")


# ---- a reboot ----

@given(st.lists(st.integers(0, 1 << 36), max_size=8), st.floats(1e6, 1e10), st.floats(0, 3600))
def test_who_is_restored_later_is_away_for_longer(residents, speed, reboot):
    found = predicted_absences(residents, speed, reboot)
    assert len(found) == len(residents)
    assert found == sorted(found)
    assert all(away > reboot for away in found)


def test_an_absence_is_the_reboot_and_every_save_and_restore_that_happens_meanwhile():
    # Two guests of 1 GiB at 1 GiB/s: the second is saved first and restored last.
    gib = 1024 * MIB
    assert predicted_absences([gib, gib], gib, 60) == pytest.approx([60 + FIXED + 2, 60 + 2 * (FIXED + 2)])
