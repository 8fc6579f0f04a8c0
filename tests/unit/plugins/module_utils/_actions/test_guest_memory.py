# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_memory: whose definition is changed, and that none is when one cannot be."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_memory as action
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_memory import guest_memory
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import transfer
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.memory_backing import Backing

RAM = Backing("/dev/shm", "tmpfs", 1 << 30)
HUGE = "<memoryBacking><hugepages/></memoryBacking>"


class Guest:
    """A guest that does not run."""

    id = -1

    def __init__(self, name, inner=""):
        self.name, self.uuid = name, f"uuid-{name}"
        self.text = f"<domain><name>{name}</name><memory unit='KiB'>131072</memory>{inner}</domain>"

    def definition(self):
        if not self.text:
            raise OSError("broken")
        return self.text

    def has_managed_save(self):
        return False


class Host:
    """A connection that keeps what it was given to define."""

    def __init__(self, *guests, refuses=()):
        self.guests, self.refuses, self.defined_as = guests, refuses, []

    def defined(self):
        return list(self.guests)

    def define(self, text):
        if any(name in text for name in self.refuses):
            raise OSError("schema")
        self.defined_as.append(text)


@pytest.fixture
def run(monkeypatch):
    def start(host, backing=RAM, check_mode=False, **over):
        monkeypatch.setattr(action, "Connection", lambda _uri: host)
        monkeypatch.setattr(action.memory_backing, "backing", lambda: backing)
        return guest_memory({"uri": "qemu:///system", "name": [], "apply": False, **over}, check_mode)
    return start


def test_all_are_shown_and_none_is_changed(run):
    broken = Guest("b")
    broken.text = ""
    host = Host(Guest("a"), broken)
    found = run(host)
    assert not found["changed"] and host.defined_as == [] and [one["next_start"]["qualifies"] for one in found["guests"]] == [False, False]
    assert found["guests"][1]["problem"] and found["guests"][0]["now"] is None


@pytest.mark.parametrize("check_mode", [False, True])
def test_only_who_is_named_is_changed(run, check_mode):
    host = Host(Guest("a"), Guest("b"))
    found = run(host, name=["b"], apply=True, check_mode=check_mode)
    assert found["changed"] and [one["name"] for one in found["guests"]] == ["b"] and found["guests"][0]["next_start"]["qualifies"]
    assert len(host.defined_as) == (0 if check_mode else 1) and [one["before_header"] for one in found["diff"]] == ["b"]


@pytest.mark.parametrize(("backing", "over", "code"), [
    (RAM, {"name": []}, "name"),
    (RAM, {"name": ["x"]}, "guest_unknown"),
    (RAM, {"name": ["a", "huge"]}, "refused"),
    (Backing("/var", "ext4", 1 << 40), {"name": ["a"]}, "refused"),
    (Backing("/dev/shm", "tmpfs", 1 << 20), {"name": ["a"]}, "refused"),
    (RAM, {"name": ["a"], "uri": "qemu:///session"}, "uri"),
])
def test_when_one_cannot_be_changed_none_is(run, backing, over, code):
    host = Host(Guest("a"), Guest("huge", HUGE))
    with pytest.raises(MaintenanceError) as caught:
        run(host, backing, apply=True, **over)
    assert caught.value.code == code and host.defined_as == []


def test_a_definition_that_libvirt_refuses_is_told_with_what_was_changed_before(run):
    with pytest.raises(MaintenanceError) as caught:
        run(Host(Guest("a"), Guest("bad"), refuses=("bad",)), name=["a", "bad"], apply=True)
    assert caught.value.code == "define" and "Changed before it: a" in str(caught.value)
    assert [one["changed"] for one in caught.value.result["guests"]] == [True, False]


# ---- QEMU has the last word on what memory it has ----

@pytest.mark.parametrize(("known", "kept"), [
    ([{"id": "pc.ram", "share": True}], True),
    ([{"id": "pc.ram", "share": True}, {"id": "memdimm0", "share": True}], False),
    ([{"id": "pc.ram", "share": True}, {"id": "memdimm0", "share": False}], False),
    ([{"id": "pc.ram", "share": False}], False),
    ([{"id": "pc.ram"}], False),
    ([], False),
])
def test_memory_that_is_not_what_was_judged_does_not_stay_in_place(monkeypatch, tmp_path, known, kept):
    (tmp_path / "pc.ram").write_bytes(b"")
    monkeypatch.setattr(transfer.in_place, "backends_of", lambda _pid, _xml: [{"id": "pc.ram", "mem-path": str(tmp_path / "pc.ram")}])
    commands = []

    class Running:
        def xml(self):
            return None

        def monitor(self, command):
            commands.append(command["execute"])
            return known

    one = SavedGuest("g", "u", 1, 2, 3, False, "in_place", str(tmp_path / "image"), ["pc.ram"], str(tmp_path / "vm_preserving" / "u"))
    if kept:
        transfer.keep_memory_in_place(Running(), one)
    else:
        with pytest.raises(MaintenanceError, match="runs on as before"):
            transfer.keep_memory_in_place(Running(), one)
    assert (tmp_path / "vm_preserving" / "u" / "pc.ram").exists() is kept and ("migrate-set-capabilities" in commands) is kept
