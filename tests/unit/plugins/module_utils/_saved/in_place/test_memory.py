# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/in_place/memory: what a QEMU's memory is, names that outlive it, and the additions with which the new one waits for it."""
from __future__ import annotations

import json
import mmap
import os
import socket
import threading
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place import memory as in_place
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place.memory import (
    QEMU_NAMESPACE,
    additions,
    forget,
    keep,
    mapped_files,
    meeting_of,
    memory_backends,
    with_handover,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.rules import in_place_obstacle

MEETING = meeting_of("11111111-1111-4111-8111-111111111111")
RAM = {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/dev/shm/libvirt/qemu/4-g/pc.ram", "share": True}


def test_the_backends_in_a_command_line():
    """A file-backed guest of libvirt 9.0 with QEMU 7.2, from /proc/PID/cmdline."""
    words = ["/usr/bin/qemu", "-object", '{"qom-type":"secret","id":"masterKey0"}', "-machine", "pc,memory-backend=pc.ram", "-object", json.dumps(RAM)]
    assert memory_backends(words) == [RAM]


@pytest.mark.parametrize("word", ["{", "[]", "5", "null", '{"id": "x"}', '{"qom-type": 5}', "secret,id=x", "{" * 100_000])
def test_what_is_no_backend(word):
    assert memory_backends(["-object", word]) == []


@pytest.mark.parametrize(("value", "expected"), [
    # QEMU 5.2, to which libvirt writes no JSON
    ("memory-backend-file,id=pc.ram,mem-path=/dev/shm/libvirt/qemu/4-g/pc.ram,share=yes,size=134217728", {**RAM, "size": "134217728"}),
    ("memory-backend-file,id=pc.ram,mem-path=/a,,b,share=on", {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/a,b", "share": True}),
    ("memory-backend-file,id=pc.ram,mem-path=/x,share=no,discard-data=yes",
     {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/x", "share": False, "discard-data": True}),
    ("qom-type=memory-backend-ram,id=x", {"qom-type": "memory-backend-ram", "id": "x"}),
    ("memory-backend-memfd", {"qom-type": "memory-backend-memfd"}),
])
def test_a_backend_in_the_older_form(value, expected):
    assert memory_backends(["-object", value]) == [expected] == memory_backends(["--object", value])


def test_a_backend_in_the_older_form_is_judged_as_any_other():
    """It was told to set what was set."""
    (found,) = memory_backends(["-object", "memory-backend-file,id=pc.ram,mem-path=/dev/shm/libvirt/qemu/4-g/pc.ram,share=yes,size=134217728"])
    assert in_place_obstacle(ET.fromstring("<domain/>"), [found]) is None
    (found,) = memory_backends(["-object", "memory-backend-file,id=mem0,mem-path=/srv/mem0,share=on"])
    assert "libvirt's own folder" in in_place_obstacle(ET.fromstring("<domain/>"), [found])


@given(st.lists(st.text() | st.sampled_from(["-object", '{"qom-type": "memory-backend-file"}', "memory-backend-ram"])))
def test_any_command_line_can_be_read(words):
    assert all(str(one["qom-type"]).startswith("memory-backend-") for one in memory_backends(words))


@pytest.mark.parametrize(("flags", "shared"), [(mmap.MAP_SHARED, True), (mmap.MAP_PRIVATE, False)])
def test_what_a_process_has_mapped(tmp_path, flags, shared):
    path = tmp_path / "some ram"
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 0, flags=flags):
        assert mapped_files(os.getpid())[str(path)] is shared
        os.unlink(path)
        assert str(path) not in mapped_files(os.getpid())


def test_a_process_that_has_ended_has_nothing_mapped():
    assert mapped_files(99999999) == {}


def test_second_names_keep_the_memory(tmp_path):
    paths = [tmp_path / "ram-node0", tmp_path / "dimm0"]
    for path in paths:
        path.write_bytes(path.name.encode())
    folder = tmp_path / "kept"
    keep([{"id": "ram-node0", "mem-path": str(paths[0])}, {"id": "memdimm0", "mem-path": str(paths[1])}], str(folder))
    for path in paths:
        path.unlink()
    assert (folder / "ram-node0").read_bytes() == b"ram-node0" and (folder / "memdimm0").read_bytes() == b"dimm0"
    forget(str(folder))
    assert not folder.exists()


def test_when_one_cannot_be_kept_none_is(tmp_path):
    (tmp_path / "ram").write_bytes(b"")
    with pytest.raises(OSError, match="no regular file"):
        keep([{"id": "a", "mem-path": str(tmp_path / "ram")}, {"id": "b", "mem-path": str(tmp_path)}], str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def words_of(text):
    return [one.get("value") for one in ET.fromstring(text).findall(f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg")]


OWN = (
    f'<domain type="kvm" xmlns:qemu="{QEMU_NAMESPACE}"><metadata><own xmlns="urn:own"><x/></own></metadata>'
    '<qemu:commandline><qemu:arg value="-cpu"/><qemu:arg value="max&amp;&quot;"/><qemu:env name="A" value="b"/></qemu:commandline></domain>'
)


@pytest.mark.parametrize(("text", "own"), [("<domain/>", []), (OWN, ["-cpu", 'max&"'])])
def test_the_additions_come_once_and_go_without_a_trace(text, own):
    once = with_handover(text, MEETING)
    assert words_of(once) == [*own, *additions(MEETING)]
    assert with_handover(once, MEETING) == once
    assert words_of(with_handover(once, None)) == own
    assert with_handover(text, None) == text


def test_what_others_have_in_a_definition_stays_as_it_is():
    found = with_handover(with_handover(OWN, MEETING), None)
    assert '<metadata><own xmlns="urn:own"><x/></own></metadata>' in found and '<qemu:env name="A" value="b"/>' in found


def test_every_addition_is_an_option_and_its_value():
    """The removal of an earlier move's additions relies on it."""
    words = additions(MEETING)
    assert all(one.startswith("-") for one in words[::2]) and all(in_place._OURS in one for one in words[1::2])


def test_a_monitor_that_does_not_listen_yet_is_asked_again(tmp_path, monkeypatch):
    """Found on the lab: it was refused, and the new QEMU waited at a pipe that was not read any more, until the guard stepped in."""
    meeting = in_place.Meeting(str(tmp_path / "sock"), str(tmp_path / "pipe"))
    os.mkfifo(meeting.pipe)
    server = socket.socket(socket.AF_UNIX)
    server.bind(meeting.monitor)
    tried, asked = threading.Event(), []
    real = in_place.set_capability

    def set_capability(*words):
        try:
            real(*words)
        finally:
            tried.set()

    def qemu():
        tried.wait(30)
        server.listen()
        with open(meeting.pipe, "wb"):
            connection = server.accept()[0]
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            for answer in ({"QMP": {}}, {"return": {}}, {"return": {}}):
                stream.write(json.dumps(answer) + "\n")
                stream.flush()
                asked.append(json.loads(stream.readline() or "{}").get("execute"))
    monkeypatch.setattr(in_place, "set_capability", set_capability)
    monkeypatch.setattr(in_place, "_process_at", lambda _meeting: os.getpid())
    new = threading.Thread(target=qemu, daemon=True)
    new.start()
    handover = in_place.Handover(meeting, str(tmp_path / "kept"))
    handover.run()
    new.join(30)
    server.close()
    assert handover.problem is None and asked[:2] == ["qmp_capabilities", "migrate-set-capabilities"]


def test_libvirt_may_take_its_time_before_it_starts_qemu(tmp_path, monkeypatch):
    """Found on a host where AppArmor confines QEMU: libvirt came to its start after 40 s, and nobody waited for it any more."""
    meeting = in_place.Meeting(str(tmp_path / "sock"), str(tmp_path / "pipe"))
    monkeypatch.setattr(in_place, "TIMEOUT", 0.05)
    handover = in_place.Handover(meeting, str(tmp_path / "kept"))
    handover.start()
    handover.join(0.5)
    assert handover.is_alive() and handover.problem is None
    handover._over.set()  # the end of the restore; it does not come any more
    handover.join(30)
    assert not handover.is_alive() and handover.problem is None


def test_the_old_qemu_is_not_taken_for_the_new_one(tmp_path, monkeypatch):
    """It has the place in its command line when it came by it itself."""
    meeting = in_place.Meeting(str(tmp_path / "sock"), str(tmp_path / "pipe"))
    monkeypatch.setattr(in_place, "_process_at", lambda _meeting: 4242)
    assert not in_place.is_waiting(meeting, 99)
    (tmp_path / "sock").touch()
    assert in_place.is_waiting(meeting, 99) and not in_place.is_waiting(meeting, 4242)
