# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/transfer: bringing back guests that were left half way, on a libvirt of our own."""
from __future__ import annotations

import os
import time
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import GuestGone, LedgerError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.kept_qemu import KEPT
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import transfer
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place import memory as in_place

INSTALLED = "/usr/bin/qemu-system-x86_64"
WAY_BACK = f"{KEPT}/0abc/start{INSTALLED}"
DOMAIN = f"<domain><devices><emulator>{INSTALLED}</emulator></devices></domain>"
UUID = "11111111-1111-4111-8111-111111111111"
OURS = "33333333-3333-4333-8333-333333333333"


class Refused(Exception):
    """libvirt's own answer."""


class Libvirt:
    """A libvirt with one guest, and the guest: what is asked of them is kept in `did`."""

    def __init__(self, state, mark=None, managed=False, whole=True, runs_as=7):
        self.at, self.mark, self.managed, self.whole, self.id = state, mark, managed, whole, runs_as
        self.did, self.fails = [], None
        #: By emulator, why a QEMU does not take its state up; the definition in its image, and the emulator that it runs on.
        self.refuses, self.image, self.runs_on = {}, DOMAIN, INSTALLED

    def guest(self, _uuid):
        if self.at is None:
            raise GuestGone("libvirt does not know it")
        return self

    def image_is_whole(self, _path):
        return self.whole

    def managed_save_is_whole(self):
        return self.whole

    def has_managed_save(self):
        return self.managed

    def state(self):
        return self.at

    def token(self):
        return self.mark

    def job(self):
        return None

    def image_xml(self, _path):
        return self.image

    def managed_save_xml(self):
        return self.image

    def set_managed_save_xml(self, xml):
        self.image = xml

    def xml(self):
        return ET.fromstring(f"<domain><devices><emulator>{self.runs_on}</emulator></devices></domain>")

    def start_on(self, xml):
        self.runs_on = ET.fromstring(xml).findtext("devices/emulator")
        if self.runs_on in self.refuses:
            self.did.append(f"refused by {'the kept one' if self.runs_on == WAY_BACK else 'the installed one'}")
            self.at = None if not self.managed else State("shutoff", "failed")
            raise self.refuses[self.runs_on]

    def remove_managed_save(self):
        self.did.append("image removed")
        self.managed = False

    def clear_token(self):
        self.did.append("mark removed")
        self.mark = None

    def restore(self, path, xml):
        self.start_on(xml or self.image)
        self.did.append(f"restored {os.path.basename(path)}")
        self.at, self.id, self.mark = State("paused", "migration"), 8, OURS

    def start_from_managed_save(self):
        self.start_on(self.image)
        self.did.append("started")
        self.at, self.id, self.mark, self.managed = State("running", "restored"), 8, OURS, False

    def resume(self):
        self.did.append("resumed")
        if self.fails is not None:
            raise self.fails
        self.at = State("running", "unpaused")

    def set_autostart(self, value):
        self.did.append(f"autostart {value}")


@pytest.fixture
def saving(where, monkeypatch):
    monkeypatch.setattr(transfer.boot_unit.RESTORE, "remove", lambda: None)
    monkeypatch.setattr(transfer.host_power, "goes_down", lambda: False)
    monkeypatch.setattr(transfer, "daemon_said", lambda error: not isinstance(error, ConnectionError))
    monkeypatch.setattr(transfer, "libvirt_refused", lambda error: isinstance(error, Refused))
    monkeypatch.setattr(transfer, "describe", str)
    monkeypatch.setattr(transfer.way_back, "tidy", lambda _uri: ([], ""))

    def make(memory="managed", phase="moving", paused=False, boot_id=None, **over):
        image = "" if memory == "managed" else os.path.join(where.state, "1.save")
        one = SavedGuest("g1", UUID, 7, os.getpid(), identity.own_identity().start_time, paused, memory, image, [], "", False, phase, 100.0)
        for key, value in over.items():
            setattr(one, key, value)
        return SavedTogether(OURS, "qemu:///system", "reboot", boot_id or identity.boot_id(), "root", 4000, 98, "2026-11-23T08:00:00Z", 900.0, [one])
    return make


def bring_back(where, libvirt, saving, monkeypatch):
    monkeypatch.setattr(transfer, "Connection", lambda _uri: libvirt)
    said = []
    runs = []
    over = transfer.bring_back_all("qemu:///system", SavedLedger(where), saving, "guard", said.append, lambda one, _at: runs.append(one.name))
    return over, saving.guests[0]


def image(saving, suffix=""):
    path = saving.guests[0].image + suffix
    with open(path, "w", encoding="ascii"):
        pass
    return path


def test_a_mark_goes_when_the_ledger_says_that_its_guest_is_back(where, saving, monkeypatch):
    """Found on the lab: with a full disk the ledger could not say so, and the guest was taken for one that somebody else had started."""
    libvirt, this = Libvirt(State("shutoff", "saved"), managed=True, runs_as=-1), saving()

    def full(_self, _content):
        raise LedgerError("the ledger cannot be written (No space left on device)")
    with monkeypatch.context() as patch:
        patch.setattr(SavedLedger, "write", full)
        assert bring_back(where, libvirt, this, patch)[0] is False
    assert libvirt.did == ["started"] and libvirt.mark == OURS and this.is_open
    # Another program, which knows only what the ledger said.
    this = saving()
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert over and (one.outcome, one.message) == ("restored", "it is back")
    assert libvirt.did == ["started", "mark removed"] and SavedLedger(where).read().closed_by == "guard"


def test_a_guest_that_was_not_started_loses_its_mark(where, saving, monkeypatch):
    libvirt = Libvirt(State("running", "booted"), mark=OURS)
    over, one = bring_back(where, libvirt, saving(phase="planned"), monkeypatch)
    assert over and one.outcome == "untouched" and libvirt.did == ["mark removed"]


def test_a_mark_of_somebody_else_stays(where, saving, monkeypatch):
    libvirt = Libvirt(State("running", "booted"), mark="another")
    assert bring_back(where, libvirt, saving(phase="planned"), monkeypatch)[0]
    assert libvirt.did == []


def test_a_guest_that_runs_on_has_no_image_beside_it(where, saving, monkeypatch):
    """libvirt died between the end of the image and the end of the guest: its next start would go back to that."""
    libvirt = Libvirt(State("running", "booted"), mark=OURS, managed=True)
    over, one = bring_back(where, libvirt, saving(), monkeypatch)
    assert over and one.outcome == "untouched" and libvirt.did == ["image removed", "mark removed"]


@pytest.mark.parametrize(("state", "outcome", "words"), [
    (State("shutoff", "unknown"), "gone", "the host went down before it was saved, and its memory is lost"),
    (State("running", "booted"), "not_ours", "the host went down before it was saved, and its memory is lost; it was started anew since"),
])
def test_an_image_that_was_never_finished_is_nothing_to_start_from(where, saving, monkeypatch, state, outcome, words):
    libvirt = Libvirt(state, managed=True, whole=False, runs_as=-1 if outcome == "gone" else 1)
    over, one = bring_back(where, libvirt, saving(boot_id="another"), monkeypatch)
    assert over and (one.outcome, one.message) == (outcome, words)
    assert libvirt.did == ["image removed"]


def test_neither_is_one_of_ours(where, saving, monkeypatch):
    libvirt, this = Libvirt(None, whole=False), saving("copy", boot_id="another")
    path = image(this)
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert over and one.outcome == "gone" and not os.path.exists(path) and libvirt.did == []


def test_an_image_that_was_finished_is_tried_again_whatever_libvirt_says(where, saving, monkeypatch):
    libvirt, this = Libvirt(None, whole=False), saving("copy", "saved", boot_id="another")
    path = image(this)

    def fail(*_args):
        libvirt.did.append("tried")
        raise OSError("no")
    monkeypatch.setattr(libvirt, "restore", fail)
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert not over and not one.settled and os.path.exists(path) and libvirt.did == ["tried"]


@pytest.mark.parametrize("paused", [False, True])
def test_the_image_is_good_until_its_guest_is_resumed(where, saving, monkeypatch, paused):
    libvirt, this = Libvirt(None), saving("copy", "saved", paused)
    path = image(this)
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert over and one.outcome == "restored"
    assert libvirt.did == ["restored 1.save", *([] if paused else ["resumed"]), "mark removed"]
    assert not os.path.exists(path) and not os.path.exists(path + transfer.RESTORING)


@pytest.mark.parametrize(("error", "left"), [(OSError("it failed"), ""), (ConnectionError("libvirt is gone"), transfer.RESTORING)])
def test_only_libvirt_itself_can_say_that_it_did_not_run(where, saving, monkeypatch, error, left):
    libvirt, this = Libvirt(None), saving("copy", "saved")
    path = image(this)
    libvirt.fails = error
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert not over and not one.settled
    assert [suffix for suffix in ("", transfer.RESTORING) if os.path.exists(path + suffix)] == [left]
    # It is there, paused: it only has to be resumed.
    libvirt.fails = None
    assert bring_back(where, libvirt, this, monkeypatch)[0]
    assert libvirt.did == ["restored 1.save", "resumed", "resumed", "mark removed"] and os.listdir(os.path.dirname(path)) == ["saved.json"]


def test_a_guest_that_libvirt_restored_and_did_not_resume(where, saving, monkeypatch):
    """libvirtd died just then; it removes its own image last."""
    libvirt = Libvirt(State("paused", "migration"), mark=OURS, managed=True, runs_as=8)
    over, one = bring_back(where, libvirt, saving(phase="saved"), monkeypatch)
    assert over and one.outcome == "restored" and libvirt.did == ["resumed", "image removed", "mark removed"]


# ---- whose clock is looked at ----

@pytest.mark.parametrize(("state", "managed", "over", "told"), [
    (State("shutoff", "saved"), True, {}, True),  # restored by this
    (State("running", "restored"), False, {}, True),  # by somebody who died before he came to its clock
    (State("running", "booted"), True, {}, True),  # a save that was aborted: it stood still for a while
    (State("running", "booted"), False, {"phase": "planned"}, False),
    (State("shutoff", "saved"), True, {"paused": True}, False),  # its owner had paused it
])
def test_whoever_runs_again_after_it_stood_still_is_told_of_once(where, saving, monkeypatch, state, managed, over, told):
    libvirt = Libvirt(state, mark=OURS, managed=managed, runs_as=-1 if state.state == "shutoff" else 8 if state.reason == "restored" else 7)
    monkeypatch.setattr(transfer, "Connection", lambda _uri: libvirt)
    this, runs = saving(**over), []
    if this.guests[0].phase == "planned":
        this.guests[0].began_at = None
    before = time.monotonic()
    arguments = ("qemu:///system", SavedLedger(where), this, "guard", lambda _line: None, lambda one, at: runs.append((one.name, at)))
    assert transfer.bring_back_all(*arguments) is True
    assert [name for name, _at in runs] == (["g1"] if told else [])
    assert all(at <= time.monotonic() and at >= before - 60.0 for _name, at in runs)
    assert [one.name for one in this.clocks_due] == (["g1"] if told else [])


class Saves:
    """A guest for which libvirt can make only some formats of an image."""

    name = "g1"

    def __init__(self, *can, error=NotImplementedError):
        self.can, self.error, self.asked = can, error, []

    def save(self, _path, image_format):
        self.asked.append(image_format)
        if image_format not in self.can:
            raise self.error(f"no {image_format} image")

    def managed_save(self, image_format):
        self.save("", image_format)

    def has_managed_save(self):
        return False

    def state(self):
        return State("running", "booted")


@pytest.mark.parametrize("memory", ["managed", "copy"])
@pytest.mark.parametrize(("can", "formats", "asked"), [
    (("ordinary", "sparse"), ["sparse", "ordinary"], ["sparse"]), (("ordinary",), ["sparse", "ordinary"], ["sparse", "ordinary"]),
])
def test_the_best_format_that_libvirt_can_make(saving, monkeypatch, memory, can, formats, asked):
    monkeypatch.setattr(transfer, "unsupported", lambda error: isinstance(error, NotImplementedError))
    guest = Saves(*can)
    transfer.save(guest, saving(memory).guests[0], 30.0, formats)
    assert guest.asked == asked


@pytest.mark.parametrize(("formats", "error"), [(["sparse"], NotImplementedError), (["sparse", "ordinary"], OSError), ([], OSError)])
def test_no_format_is_taken_that_was_not_proved_and_none_after_a_failure(saving, monkeypatch, formats, error):
    monkeypatch.setattr(transfer, "unsupported", lambda found: isinstance(found, NotImplementedError))
    guest = Saves("ordinary", error=error)
    with pytest.raises(transfer.MaintenanceError, match="runs on"):
        transfer.save(guest, saving().guests[0], 30.0, formats)
    assert guest.asked == formats[:1]


# ---- the way back ----

def with_way_back(saving, memory, **over):
    this = saving(memory, "saved", way_back=WAY_BACK, **over)
    if memory == "copy":
        image(this)
    return this


@pytest.fixture(params=["copy", "managed"])
def memory(request):
    return request.param


def gone_to_disk(memory, refuses=(INSTALLED,)):
    libvirt = Libvirt(State("shutoff", "saved"), managed=memory == "managed", runs_as=-1)
    libvirt.refuses = {one: Refused(f"no from {one[:8]}") for one in refuses}
    return libvirt


def test_a_guest_that_the_installed_qemu_refuses_is_back_on_the_one_that_it_had(where, saving, monkeypatch, memory):
    libvirt = gone_to_disk(memory)
    over, one = bring_back(where, libvirt, with_way_back(saving, memory), monkeypatch)
    assert over and one.outcome == "returned" and libvirt.runs_on == WAY_BACK
    assert one.message == "the installed QEMU did not take it up (no from /usr/bin); it is back on the QEMU that it had"
    assert libvirt.did[0] == "refused by the installed one" and "refused by the kept one" not in libvirt.did
    assert os.listdir(where.state) == ["saved.json"]


def test_nothing_changes_where_it_takes_it_up(where, saving, monkeypatch, memory):
    libvirt = gone_to_disk(memory, ())
    over, one = bring_back(where, libvirt, with_way_back(saving, memory), monkeypatch)
    assert over and (one.outcome, one.refused) == ("restored", "") and libvirt.runs_on == INSTALLED


def test_one_that_came_back_before_goes_to_the_installed_one_next(where, saving, monkeypatch, memory):
    libvirt = gone_to_disk(memory, ())
    libvirt.image = DOMAIN.replace(INSTALLED, WAY_BACK)
    over, one = bring_back(where, libvirt, with_way_back(saving, memory), monkeypatch)
    assert over and one.outcome == "restored" and libvirt.runs_on == INSTALLED


def test_one_whose_memory_stayed_in_place_before_is_started_without_what_that_added(where, saving, monkeypatch, memory):
    libvirt, started = gone_to_disk(memory, ()), []
    libvirt.image = in_place.with_handover(DOMAIN, in_place.meeting_of("a"))
    monkeypatch.setattr(libvirt, "start_on", lambda xml: started.append(xml) or Libvirt.start_on(libvirt, xml))
    over, one = bring_back(where, libvirt, with_way_back(saving, memory), monkeypatch)
    assert over and one.outcome == "restored" and len(started) == 1 and "vm-preserving" in in_place.with_handover(DOMAIN, in_place.meeting_of("a"))
    assert "vm-preserving" not in started[0]


def test_what_neither_takes_up_stays_saved_and_says_what_both_said(where, saving, monkeypatch, memory):
    libvirt, this = gone_to_disk(memory, (INSTALLED, WAY_BACK)), with_way_back(saving, memory)
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert not over and not one.settled and (libvirt.managed or os.path.exists(one.image))
    assert "the installed QEMU did not take it up (no from /usr/bin)" in one.message
    assert f", and the one that it had, kept as {WAY_BACK}, did not either (no from /var/lib)" in one.message
    # Whoever starts it meanwhile is not sent to what is kept; and the next pass begins anew.
    assert WAY_BACK not in libvirt.image
    libvirt.refuses = {INSTALLED: Refused("still no")}
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert over and one.outcome == "returned"
    assert libvirt.did[:3] == ["refused by the installed one", "refused by the kept one", "refused by the installed one"]


def test_without_a_way_back_it_stays_saved(where, saving, monkeypatch, memory):
    libvirt, this = gone_to_disk(memory), with_way_back(saving, memory)
    this.guests[0].way_back = ""
    over, one = bring_back(where, libvirt, this, monkeypatch)
    assert not over and libvirt.did == ["refused by the installed one"] and "no from /usr/bin" in one.message


def test_a_libvirt_that_was_lost_has_refused_nothing(where, saving, monkeypatch, memory):
    libvirt = gone_to_disk(memory)
    libvirt.refuses = {INSTALLED: ConnectionError("libvirt is gone")}
    over, one = bring_back(where, libvirt, with_way_back(saving, memory), monkeypatch)
    assert not over and one.refused == "" and libvirt.did == ["refused by the installed one"]


def test_what_is_known_to_be_refused_is_not_tried_again(where, saving, monkeypatch, memory):
    """Whoever tried has died in between."""
    libvirt = gone_to_disk(memory)
    over, one = bring_back(where, libvirt, with_way_back(saving, memory, refused="no virtio-console"), monkeypatch)
    assert over and "(no virtio-console)" in one.message and "refused by the installed one" not in libvirt.did


def test_one_that_somebody_else_brought_back_says_on_which_qemu(where, saving, monkeypatch):
    libvirt = Libvirt(State("running", "restored"), mark=OURS, managed=False, runs_as=8)
    libvirt.runs_on = WAY_BACK
    over, one = bring_back(where, libvirt, saving(phase="saved"), monkeypatch)
    assert over and one.outcome == "returned" and "libvirt's log of it has what it said" in one.message
