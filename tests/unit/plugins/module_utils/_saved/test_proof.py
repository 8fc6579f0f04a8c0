# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/proof: what is tried for which guests, and how often."""
from __future__ import annotations

import os
import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import proof
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.pair import Pair

URI = "qemu:///system"


def plan(number, machine="pc", memory="copy", formats=("ordinary",), emulator="/usr/bin/q"):
    xml = ET.fromstring(f"<domain type='kvm'><os><type arch='x86_64' machine='{machine}'>hvm</type></os></domain>")
    guest = types.SimpleNamespace(uuid=f"{number}1111111-1111-4111-8111-111111111111", xml=lambda: xml)
    return types.SimpleNamespace(candidate=types.SimpleNamespace(guest=guest), memory=memory, formats=list(formats), emulator=emulator, blockers=[])


class Libvirt:
    """A libvirt that starts only some throw-away guests, and saves and restores none."""

    def __init__(self, starts):
        self.starts, self.began = starts, []

    def start_throwaway(self, xml):
        in_place = "memoryBacking" in xml
        self.began.append(in_place)
        if not self.starts(in_place):
            raise RuntimeError("unable to map backing store")
        return types.SimpleNamespace(uuid="u")

    def guest(self, _uuid):
        return types.SimpleNamespace(destroy=lambda: self.began.append("destroyed"))


@pytest.mark.parametrize(("starts", "in_place", "began", "problem"), [
    (lambda _in_place: True, True, [True, "destroyed"], "in place: True"),
    (lambda in_place: not in_place, True, [True, False, "destroyed"], "in place: False"),
    (lambda _in_place: False, True, [True, False], "unable to map"), (lambda _in_place: False, False, [False], "unable to map"),
])
def test_huge_pages_that_are_used_up_are_no_reason_to_refuse(where, monkeypatch, starts, in_place, began, problem):
    libvirt = Libvirt(starts)
    monkeypatch.setattr(proof, "Connection", lambda _uri: libvirt)

    def entry(_where, _guest, trial):
        raise RuntimeError(f"in place: {trial.in_place}")

    monkeypatch.setattr(proof, "_entry", entry)
    with pytest.raises(RuntimeError, match=problem):
        proof._try(URI, where, proof.Trial(Pair("kvm", "x86_64", "pc", "q"), in_place, "ordinary"))
    assert libvirt.began == began


@pytest.fixture
def tried(where, monkeypatch):
    """What is tried, and how it ends: `fails` has the trials that fail."""
    seen, fails, left = [], [], []

    def attempt(_uri, _where, trial):
        assert os.path.isdir(proof.proof_folder(where))
        seen.append((trial.pair.machine, trial.in_place, trial.image_format))
        if (trial.in_place, trial.image_format) in fails:
            raise RuntimeError("fd: migration to a\nfile is not supported")

    monkeypatch.setattr(proof, "_try", attempt)
    monkeypatch.setattr(proof, "forget", lambda _uri, _where: left.append(len(seen)))
    return types.SimpleNamespace(seen=seen, fails=fails, left=left)


def test_guests_that_are_alike_need_one_trial(where, tried):
    plans = [plan(1), plan(2), plan(3, machine="q35"), plan(4, memory="in_place")]
    proof.prove(URI, where, plans)
    assert sorted(tried.seen) == [("pc", False, "ordinary"), ("pc", True, "ordinary"), ("q35", False, "ordinary")]
    assert all(one.formats == ["ordinary"] and not one.blockers for one in plans)
    assert tried.left == [3], "what it has of the host is removed after the last"


def test_each_guest_is_judged_by_its_own_formats(where, tried):
    tried.fails.append((False, "ordinary"))
    old, new, stays = plan(1), plan(2, formats=("ordinary", "sparse")), plan(3, memory="in_place")
    proof.prove(URI, where, [old, new, stays])
    assert (old.formats, new.formats, stays.formats) == ([], ["sparse"], ["ordinary"])
    assert [len(one.blockers) for one in (old, new, stays)] == [1, 0, 0]
    assert "fd: migration to a file is not supported" in old.blockers[0].message


def test_nobody_is_moved_so_nothing_is_tried(where, tried):
    proof.prove(URI, where, [])
    assert tried.seen == [] and tried.left == [] and not os.path.exists(proof.proof_folder(where))


def test_what_cannot_be_removed_refuses(where, tried, monkeypatch):
    def stuck(_uri, _where):
        raise MaintenanceError("libvirt does not end it", "proof")
    monkeypatch.setattr(proof, "forget", stuck)
    with pytest.raises(MaintenanceError, match="does not end it"):
        proof.prove(URI, where, [plan(1)])
