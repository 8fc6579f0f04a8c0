# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/rules: who can be moved, how, for how long, and what is done with a guest that was left half way."""
from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.room import MIB, CopyNeed
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.rules import (
    FIXED,
    Letting,
    Remains,
    in_place_obstacle,
    late_way_back,
    longest_save,
    memory_folder,
    plugged_backends,
    predicted_absences,
    predicted_copy,
    predicted_in_place,
    predicted_way_back,
    recover_verdict,
    save_blockers,
    worth_gathering,
)

RUNNING = State("running", "booted")
FILE = {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/dev/shm/libvirt/qemu/1-g/pc.ram", "share": True}
OURS = "5b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"


def guest(inner):
    return ET.fromstring(f"<domain type='kvm'>{inner}</domain>")


# ---- what cannot be saved ----

USB = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>"
TEAMING = "<interface type='hostdev'><teaming type='transient' persistent='ua-0'/></interface>"


@pytest.mark.parametrize(("inner", "codes", "codes_when_qemu_decides"), [
    ("", [], []),
    ("<devices><disk type='file'><target dev='vda'/></disk><interface type='network'/></devices>", [], []),
    ("<devices><hostdev mode='subsystem' type='pci'/></devices>", ["passthrough"], []),
    ("<devices><hostdev mode='subsystem' type='mdev'/></devices>", ["passthrough"], []),
    ("<devices><hostdev/></devices>", ["passthrough"], []),
    ("<devices><interface type='hostdev'/></devices>", ["passthrough"], []),
    ("<devices><interface type='vdpa'/></devices>", ["passthrough"], []),
    # libvirt saves guests with these: the guest sees the device unplugged and plugged in again.
    (f"<devices>{USB}</devices>", [], []),
    (f"<devices>{USB}<hostdev mode='subsystem' type='pci'/></devices>", ["passthrough"], []),
    # QEMU has no blocker for it, and would wait for the stopped guest for ever.
    (f"<devices>{TEAMING}</devices>", ["passthrough"], ["passthrough"]),
    ("<devices><hostdev mode='subsystem' type='pci'><teaming type='transient'/></hostdev></devices>", ["passthrough"], ["passthrough"]),
    ("<devices><interface type='network'><teaming type='persistent'/></interface></devices>", [], []),
    ("<devices><filesystem type='mount'><driver type='virtiofs'/></filesystem></devices>", ["virtiofs"], ["virtiofs"]),
    ("<devices><filesystem type='mount'/></devices>", ["filesystem"], []),
    ("<devices><filesystem type='mount'><driver type='path'/></filesystem></devices>", ["filesystem"], []),
    ("<devices><disk><transient/></disk></devices>", ["transient_disk"], ["transient_disk"]),
    ("<devices><shmem name='x'/></devices>", ["shmem"], ["shmem"]),
    ("<devices><shmem name='x' role='peer'/></devices>", ["shmem"], ["shmem"]),
    ("<devices><shmem name='x' role='master'/></devices>", [], []),
    ("<devices><shmem name='x' role='master'><server path='/x'/></shmem></devices>", ["shmem"], ["shmem"]),
    ("<launchSecurity type='sev'/>", ["launch_security"], ["launch_security"]),
    ("<cpu><feature policy='require' name='invtsc'/></cpu>", ["invtsc"], ["invtsc"]),
    ("<cpu><feature policy='disable' name='invtsc'/></cpu>", [], []),
    ("<cpu><feature policy='require' name='invtsc'/></cpu><clock><timer name='tsc' frequency='2400000000'/></clock>", [], []),
    ("<devices><hostdev/><shmem name='x'/></devices>", ["passthrough", "shmem"], ["shmem"]),
])
def test_what_cannot_be_saved(inner, codes, codes_when_qemu_decides):
    assert [one.code for one in save_blockers(guest(inner), RUNNING)] == codes
    assert [one.code for one in save_blockers(guest(inner), RUNNING, qemu_decides=True)] == codes_when_qemu_decides


@pytest.mark.parametrize(("state", "fine"), [
    (State("running", "unpaused"), True), (State("paused", "user"), True), (State("paused", "ioerror"), False), (State("paused", "unknown"), True),
    (State("paused", "migration"), True), (State("paused", "starting-up"), False), (State("paused", "postcopy"), False),
    (State("pmsuspended", "unknown"), False), (State("crashed", "unknown"), False), (State("shutoff", "saved"), False),
])
def test_in_which_states(state, fine):
    assert ([one.code for one in save_blockers(guest(""), state)] == []) is fine


# ---- whose memory can stay in place ----

def recorded(name, mem_path=None, **over):
    """QEMU's properties of a backend, as libvirt 9.0 wrote them into the command line of a guest of the lab."""
    path = mem_path or f"/dev/shm/libvirt/qemu/5-g/{name}"
    return {"qom-type": "memory-backend-file", "id": name, "mem-path": path, "share": True, "size": 100663296, **over}


NODES = [recorded("ram-node0", **{"host-nodes": [0], "policy": "bind"}), recorded("ram-node1", **{"host-nodes": [0], "policy": "bind"})]
DIMM = recorded("memdimm0", "/dev/shm/libvirt/qemu/5-g/dimm0", size=134217728)
HUGE = recorded("pc.ram", "/dev/hugepages/libvirt/qemu/5-g", prealloc=True)
MEMFD = {"qom-type": "memory-backend-memfd", "id": "pc.ram", "share": True, "x-use-canonical-path-for-ramblock-id": False, "size": 134217728}


def with_memory(model):
    return f"<devices><memory model='{model}'><alias name='x0'/></memory></devices>"


@pytest.mark.parametrize(("inner", "backends", "word"), [
    ("", [FILE], None),
    ("", [{**FILE, "prealloc": True}], None),
    ("", NODES, None),
    (with_memory("dimm"), [NODES[0], DIMM], None),
    # memory_backing_dir on a hugetlbfs: the files have names
    ("", [recorded("pc.ram", "/dev/hugepages/libvirt/qemu/14-v-vga/pc.ram")], None),
    ("", [NODES[0], {**NODES[1], "share": False}], "ram-node1 is a private file"),
    ("", [HUGE], "huge pages"),
    ("", [{**NODES[0], "size": 67108864}, {**HUGE, "id": "ram-node1"}], "huge pages"),
    ("", [MEMFD], "memory-backend-memfd"),
    ("", [{**MEMFD, "hugetlb": True, "hugetlbsize": 2097152}], "memory-backend-memfd"),
    ("", [{**FILE, "discard-data": True}], "discarded"),
    ("<cpu><numa><cell discard='yes'/></numa></cpu>", NODES, "discarded"),
    ("<devices><memory model='dimm' discard='yes'/></devices>", [NODES[0], DIMM], "discarded"),
    (with_memory("nvdimm"), [NODES[0], recorded("memnvdimm0", "/var/lib/libvirt/images/nvdimm.raw", prealloc=True)], "nvdimm"),
    (with_memory("virtio-pmem"), [NODES[0], recorded("memvirtiopmem0", "/var/lib/libvirt/images/nvdimm.raw")], "virtio-pmem"),
    (with_memory("virtio-mem"), [NODES[0], recorded("memvirtiomem0", "/dev/shm/libvirt/qemu/5-g/virtiomem0", reserve=False)], "virtio-mem"),
    ("", [recorded("pc.ram", "/srv/pc.ram")], "libvirt's own folder"),
    ("", [{key: value for key, value in FILE.items() if key != "mem-path"}], "libvirt's own folder"),
    ("", [NODES[0], recorded("ram-node1", "/dev/shm/libvirt/qemu/6-other/ram-node1")], "not in one folder"),
    ("", [], "is no file"),
    ("", [{**FILE, "qom-type": "memory-backend-ram"}], "memory-backend-ram"),
    ("", [FILE, {**FILE, "id": "dimm0", "qom-type": "memory-backend-memfd"}], "dimm0 is no file"),
    ("", [{**FILE, "share": False}], "private"),
    ("", [{key: value for key, value in FILE.items() if key != "share"}], "private"),
    ("<memoryBacking><discard/></memoryBacking>", [FILE], "discarded"),
    ("", [{**FILE, "id": "../x"}], "usable name"),
    ("", [{**FILE, "id": ""}], "usable name"),
])
def test_what_keeps_memory_from_staying_in_place(inner, backends, word):
    found = in_place_obstacle(guest(inner), backends)
    assert (found is None) if word is None else (word in found)


@pytest.mark.parametrize(("path", "folder"), [
    ("/dev/shm/libvirt/qemu/1-g/pc.ram", "/dev/shm"), ("/a/b/libvirt/qemu/1-g/dimm0", "/a/b"), ("/dev/hugepages/libvirt/qemu/1-g", None), ("/x/pc.ram", None),
    ("libvirt/qemu/1-g/pc.ram", None), ("", None), ("/dev/shm/libvirt/qemu/1-g/", None),
])
def test_the_folder_of_a_memory_file(path, folder):
    assert memory_folder(path) == folder


# ---- memory that was plugged in or out while the guest ran ----

def dimms(*aliases):
    return guest("<devices>" + "".join(f"<memory model='dimm'><alias name='{alias}'/></memory>" for alias in aliases) + "</devices>")


def paths(*names):
    return {f"/dev/shm/libvirt/qemu/5-g/{name}": True for name in names}


def test_a_dimm_that_was_plugged_in_is_found():
    """Found on the lab: it is not in the command line, so its memory got no second name, and was lost with the old QEMU."""
    found = plugged_backends([NODES[0], DIMM], dimms("dimm0", "dimm1"), paths("ram-node0", "dimm0", "dimm1"))
    assert [(one["id"], one["mem-path"].rsplit("/", 1)[-1]) for one in found] == [("ram-node0", "ram-node0"), ("memdimm0", "dimm0"), ("memdimm1", "dimm1")]
    assert in_place_obstacle(dimms("dimm0", "dimm1"), found) is None


def test_a_dimm_that_was_plugged_out_is_not_looked_for():
    assert plugged_backends([NODES[0], DIMM], dimms(), paths("ram-node0")) == [NODES[0]]


def test_what_is_mapped_is_not_forgotten_for_its_name():
    own = recorded("mem0", "/srv/mem0")
    assert plugged_backends([own], dimms(), {"/srv/mem0": True}) == [own]


@pytest.mark.parametrize(("mapped", "word"), [({}, "memdimm1 is no file"), ({"/dev/shm/libvirt/qemu/5-g/dimm1": False}, "memdimm1 is a private file")])
def test_a_dimm_that_was_plugged_in_as_other_memory_is_an_obstacle(mapped, word):
    found = plugged_backends([NODES[0]], dimms("dimm1"), {**paths("ram-node0"), **mapped})
    assert word in str(in_place_obstacle(dimms("dimm1"), found))


# ---- how long, and how many ----

def test_the_predicted_pause_of_a_copy():
    def copy(image, speed, growth=0, swapped=0):
        return predicted_copy(CopyNeed(image, growth, swapped), speed)

    assert copy(0, 1e9) == FIXED
    assert copy(2 << 30, 2e9) > copy(1 << 30, 2e9) > copy(1 << 30, 4e9) > FIXED
    assert copy(1 << 30, 2e9, growth=1 << 30) == copy(2 << 30, 2e9)


def test_the_predicted_pause_of_a_guest_in_swap():
    """1 GiB in RAM and 7 GiB in swap were taken to be copied in 5 s."""
    assert predicted_copy(CopyNeed(8 << 30, 0, 7 << 30), 2e9) > 30


def test_the_predicted_pause_in_place_grows_with_the_pages_that_are_let_go_of():
    """Found on the lab: 6 GiB in ordinary pages take 0.24 s longer than in huge ones."""
    speed = Letting(30e9, None)
    assert predicted_in_place(0, 0, speed) == FIXED
    assert FIXED + 0.2 < predicted_in_place(6 << 30, 0, speed) < FIXED + 0.5
    assert predicted_in_place(512 << 30, 0, speed) > 30.0
    # Where pages cannot be gathered none are.
    assert predicted_in_place(512 << 30, 512 << 30, speed) == predicted_in_place(512 << 30, 0, speed)


def test_the_predicted_pause_in_place_hardly_grows_with_gathered_pages():
    """Found on the lab: 43 ms for a GiB in ordinary pages, 4.1 ms when it is gathered."""
    speed = Letting(25e9, 260e9)
    assert predicted_in_place(12 << 30, 12 << 30, speed) < 1.2 * predicted_in_place(1 << 30, 1 << 30, speed)
    assert predicted_in_place(256 << 30, 256 << 30, speed) < 4.0 < 20.0 < predicted_in_place(256 << 30, 0, speed)
    # Half of it had holes.
    assert predicted_in_place(256 << 30, 128 << 30, speed) == pytest.approx(FIXED + 2 * (128 * 2**30 / 25e9 + 128 * 2**30 / 260e9))


@pytest.mark.parametrize(("gigabytes", "whole", "gathered", "expected"), [
    (1, 1, 260e9, False), (2, 2, 260e9, True), (256, 256, 260e9, True), (256, 1, 260e9, False), (256, 256, None, False), (256, 256, 26e9, True),
    (1, 1, 20e9, False), (256, 256, 20e9, False), (0, 0, 260e9, False),
])
def test_when_memory_is_gathered(gigabytes, whole, gathered, expected):
    assert worth_gathering(int(gigabytes * 1e9), int(whole * 1e9), Letting(25e9, gathered)) is expected


def test_the_way_back_is_one_more_restore():
    assert predicted_way_back(CopyNeed(0, 0, 0), 1e9) == FIXED
    assert FIXED < predicted_way_back(CopyNeed(1 << 30, 0, 0), 2e9) < predicted_copy(CopyNeed(1 << 30, 0, 0), 2e9)


@pytest.mark.parametrize(("predicted", "back", "late", "save"), [
    (10.0, 0.0, False, 25.0),  # there is none
    (10.0, 6.0, False, 19.0), (22.0, 8.0, False, 11.0),
    (22.0, 8.1, True, 19.0),  # for it there is no room in any case
])
def test_a_save_leaves_room_for_the_way_back(predicted, back, late, save):
    assert longest_save(predicted, back, 30.0) == save
    said = late_way_back(predicted, back, 30.0)
    assert (said is not None) is late and (not late or "after about 30.1 s, later than the pause limit of 30 s" in said)


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
    # Restored paused, by us or by a libvirtd that died before it resumed it.
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
    """Found on the lab: libvirt gives `migration` as the reason of a paused guest that it has restored, for as long as it is paused."""
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
