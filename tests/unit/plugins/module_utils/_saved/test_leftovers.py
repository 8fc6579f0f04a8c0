# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/leftovers: what a proof that died has left goes, and nothing else."""
from __future__ import annotations

import os
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _program
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.throwaway import NAME, UUID, new_throwaway
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import leftovers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place.memory import Meeting

URI = "qemu:///system"


class Libvirt:
    """A libvirt that has throw-away guests, and forgets one when it has been asked for it so many times."""

    def __init__(self, *names, looks=2):
        self.looks, self.destroyed = looks, []
        self.guests = [types.SimpleNamespace(name=name, destroy=lambda name=name: self.destroyed.append(name)) for name in names]

    def throwaways(self):
        self.looks -= 1
        return self.guests if self.looks > 0 else []


@pytest.fixture
def host(where, tmp_path, monkeypatch):
    """A host on which a proof has died, with files of others beside its own."""
    places = {name: tmp_path / name for name in ("ram", "logs", "profiles", "meetings")}
    for path in places.values():
        path.mkdir()
    (places["ram"] / "vm_preserving").mkdir()
    monkeypatch.setattr(leftovers, "memory_backing_dir", lambda: str(places["ram"]))
    monkeypatch.setattr(leftovers.guest_log, "FOLDER", str(places["logs"]))
    monkeypatch.setattr(leftovers.apparmor, "PROFILES", str(places["profiles"]))
    monkeypatch.setattr(leftovers.in_place, "meeting_of", lambda uuid: Meeting(*(str(places["meetings"] / f"{uuid}.{end}") for end in ("sock", "pipe"))))
    who = new_throwaway()
    others = [places["logs"] / "web1.log", places["profiles"] / "libvirt-1111", places["meetings"] / "1111.sock"]
    others += [places["ram"] / "vm_preserving" / "1111" / "m"]
    ours = [
        places["logs"] / f"{who.name}.log", places["profiles"] / f"libvirt-{who.uuid}", places["meetings"] / f"{who.uuid}.sock",
        places["ram"] / "vm_preserving" / who.uuid / "pc.ram",
    ]
    for path in (*others, *ours):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    os.mkdir(leftovers.proof_folder(where))
    with open(os.path.join(leftovers.proof_folder(where), f"{who.uuid}.save"), "wb"):
        pass
    libvirt = Libvirt(who.name)
    monkeypatch.setattr(leftovers, "Connection", lambda _uri: libvirt)
    monkeypatch.setattr(leftovers, "throwaways", lambda _where: [])
    return types.SimpleNamespace(ours=ours, others=others, libvirt=libvirt, who=who)


def test_all_of_it_goes_and_nothing_of_others(where, host):
    leftovers.forget(URI, where)
    assert host.libvirt.destroyed == [host.who.name]
    assert [path for path in host.ours if path.exists()] == [] and all(path.exists() for path in host.others)
    assert not leftovers.are_there(where) and not host.ours[-1].parent.exists()


def test_where_there_is_nothing_libvirt_is_not_asked(where, monkeypatch):
    monkeypatch.setattr(leftovers, "Connection", None)
    leftovers.forget(URI, where)


def test_one_that_libvirt_does_not_end_is_told_and_kept(where, host, monkeypatch):
    host.libvirt.looks = 10**9
    monkeypatch.setattr(leftovers, "END_TIMEOUT", 0.05)
    with pytest.raises(MaintenanceError, match=host.who.name) as caught:
        leftovers.forget(URI, where)
    assert caught.value.code == "proof" and leftovers.are_there(where) and host.ours[0].exists()


def test_its_qemu_is_killed_and_no_process_that_has_its_number_by_now(where, host, start, until, monkeypatch):
    qemu, other = start(["sleep", "1000"]), start(["sleep", "1000"])
    lines = {qemu.pid: ["q", "-uuid", host.who.uuid], other.pid: ["sleep", "1000"]}
    monkeypatch.setattr(leftovers.in_place, "command_line", lines.__getitem__)
    monkeypatch.setattr(leftovers, "throwaways", lambda _where: [types.SimpleNamespace(pid=pid, uuid=host.who.uuid) for pid in lines])
    leftovers.forget(URI, where)
    assert qemu.wait(30) == -9 and other.poll() is None


def test_the_program_on_the_host_does_it_too(where, host, monkeypatch, capsys):
    monkeypatch.setattr(_program, "places", lambda _uri: where)
    assert _program._recover_proof(URI) == 0 and not leftovers.are_there(where)
    assert "was removed" in capsys.readouterr().out
    assert _program._recover_proof(URI) is None


def test_the_names_are_no_patterns():
    assert not set(NAME + UUID) & set("*?[")
