# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_way_back: what is said of each guest, and what is touched when. That a QEMU can be kept and started again is for test_kept_qemu and the lab."""
from __future__ import annotations

import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_way_back
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError

XML = ET.fromstring("<domain><devices><emulator>/usr/bin/qemu</emulator></devices></domain>")
START = "/var/lib/vm_preserving/qemu/ab/start/usr/bin/qemu"


def candidate(name, process=True, error=None):
    def xml():
        if error is not None:
            raise error
        return XML
    process = types.SimpleNamespace(process=types.SimpleNamespace(pid=7)) if process else None
    return types.SimpleNamespace(guest=types.SimpleNamespace(name=name, uuid=f"u-{name}", xml=xml), process=process)


@pytest.fixture
def host(where, monkeypatch):
    """A host with these guests; what is kept, and what is needed when the rest is removed, is noted."""
    done = types.SimpleNamespace(kept=[], wanted=None)

    def make(*candidates, before=None, why=None, removed=(), problem=""):
        connection = types.SimpleNamespace(running=lambda: [one.guest for one in candidates], inactive_names=list)
        monkeypatch.setattr(guest_way_back, "Connection", lambda _uri: connection)
        monkeypatch.setattr(guest_way_back, "places", lambda _uri: where)
        monkeypatch.setattr(guest_way_back, "select", lambda running, _inactive, names: [one for one in running if not names or one.name in names])
        monkeypatch.setattr(guest_way_back, "preflight", lambda guests, _where: [one for one in candidates if one.guest in guests])
        monkeypatch.setattr(guest_way_back.kept_qemu, "kept", lambda _pid, _emulator: before)
        monkeypatch.setattr(guest_way_back, "none_because", lambda _xml, _emulator, _pid: why)
        monkeypatch.setattr(guest_way_back, "keep", lambda _c, _xml, emulator, pid: done.kept.append((emulator, pid)) or (("", why) if why else (START, None)))

        def tidy(_uri, wanted):
            done.wanted = list(wanted)
            return list(removed), problem
        monkeypatch.setattr(guest_way_back, "tidy", tidy)
        return done
    return make


def run(check_mode=False, **over):
    return guest_way_back.keep_ways_back({"uri": "qemu:///system", "name": [], "exclude": [], **over}, check_mode)


def test_the_qemu_of_each_guest_is_kept(host):
    done = host(candidate("web"), candidate("db"))
    found = run()
    assert found["changed"] and [one["kept"] for one in found["guests"]] == [START, START] and found["warnings"] == []
    assert done.kept == [("/usr/bin/qemu", 7)] * 2 and done.wanted == [START, START]


def test_what_is_kept_already_is_no_change(host):
    host(candidate("web"), before=START)
    assert not run()["changed"]


def test_what_is_removed_is_a_change_and_what_cannot_be_is_told(host):
    host(candidate("web"), before=START, removed=["cd"], problem="it is still kept")
    found = run()
    assert found["changed"] and found["removed"] == ["cd"] and found["warnings"] == ["it is still kept"]


@pytest.mark.parametrize(("before", "why", "changed"), [(None, None, True), (START, None, False), (None, "it is confined", False)])
def test_check_mode_keeps_and_removes_nothing(host, before, why, changed):
    done = host(candidate("web"), before=before, why=why)
    found = run(check_mode=True)
    assert found["changed"] is changed and found["guests"][0]["no_way_back"] == why
    assert done.kept == [] and done.wanted is None


def test_a_guest_that_cannot_be_looked_at_is_told_and_the_others_go_on(host):
    host(candidate("web", error=OSError("libvirt is busy")), candidate("db"), candidate("rt", process=False))
    found = run()
    assert [one["kept"] for one in found["guests"]] == [None, START, None]
    assert len(found["warnings"]) == 2
    assert "guest 'web' has no way back" in found["warnings"][0] and "libvirt is busy" in found["warnings"][0]
    assert "guest 'rt'" in found["warnings"][1] and "status file" in found["warnings"][1]


def test_a_guest_without_one_is_told_with_the_reason(host):
    host(candidate("web"), why="its QEMU cannot be kept: /var/lib is mounted noexec")
    found = run()
    assert not found["changed"] and "mounted noexec" in found["warnings"][0]


@pytest.mark.parametrize("exclude", ["db", "u-db"])
def test_who_is_left_out(host, exclude):
    host(candidate("web"), candidate("db"))
    assert [one["name"] for one in run(exclude=[exclude])["guests"]] == ["web"]


def test_only_for_the_hosts_own_guests():
    with pytest.raises(MaintenanceError) as caught:
        run(uri="qemu:///session")
    assert caught.value.code == "uri" and "nothing was touched" in str(caught.value)
