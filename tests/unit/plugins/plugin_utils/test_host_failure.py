# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_failure: the sentences with which the role refuses a host, or fails on it."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_failure import KINDS, host_failure

PACKAGES = {"host_update_packages": [], "host_update_commands": [], "host_update_tasks_file": ""}


def said(kind, **facts):
    return host_failure("h1", kind, **facts)


SENTENCES = [
    ("python", {"python": {"version_info": [3, 6, 8, "final", 0], "executable": "/usr/libexec/platform-python"}, "oldest": "3.9"},
     "h1: the Python that Ansible uses on this host is 3.6.8 (/usr/libexec/platform-python), and the modules of this collection need 3.9 or newer. No guest "
     "was touched. Name a newer one with ansible_python_interpreter, and run again."),
    ("ways", {"given": PACKAGES},
     "h1: give the update as exactly one of host_update_packages, host_update_commands and host_update_tasks_file (given: none). No guest was touched."),
    ("ways", {"given": {**PACKAGES, "host_update_packages": ["a"], "host_update_tasks_file": "x.yml"}},
     "h1: give the update as exactly one of host_update_packages, host_update_commands and host_update_tasks_file (given: host_update_packages, "
     "host_update_tasks_file). No guest was touched."),
    ("lists", {"given": {"host_update_packages": "a", "host_update_rules": [], "host_update_guests": "web"}},
     "h1: host_update_packages, host_update_guests must be a list, not a text, for example [libvirt-daemon-system]. No guest was touched."),
    ("window", {"window": {"opened_at": "2026-01-01T00:00:00Z", "opened_by": "root", "seconds_left": 4.2}},
     "h1: a pause window is open since 2026-01-01T00:00:00Z (opened by root); its guests run again in 5 s at the latest. No guest was touched by this run. "
     "Wait for that run to end and run again."),
    ("technique", {"pending": [
        {"name": "sbd", "technique": "refuse", "reason": "it fences"}, {"name": "tool", "technique": "live", "reason": "no"},
        {"name": "sanlock", "technique": "refuse", "reason": "leases"},
    ]}, "h1: refused, no guest was touched: sbd needs refuse (it fences); sanlock needs refuse (leases). Take it out of this update, or say with "
        "host_update_technique or host_update_rules that you know better."),
    ("stage", {"result": {"rc": 100, "msg": "non-zero return code", "stdout_lines": [], "stderr_lines": [
        "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)"]}},
     "h1: the packages could not be downloaded, and nothing was applied; no guest was touched: E: Could not get lock /var/lib/dpkg/lock-frontend. It is held "
     "by process 7 (apt-get). Repair that and run again."),
    ("stage", {"result": {"msg": "no such\n file"}},
     "h1: the packages could not be downloaded, and nothing was applied; no guest was touched: no such file. Repair that and run again."),
    ("files", {"lost": [
        {"path": "/f/a.rom", "packages": [{"name": "ipxe", "installed": "1", "candidate": "2"}]},
        {"path": "/f/code.fd", "packages": [{"name": "ovmf", "installed": "1", "candidate": None}]},
    ], "guests": [
        {"name": "web", "files": [{"path": "/f/a.rom", "what": "the ROM of its device net0"}, {"path": "/f/disk", "what": "its disk vda"}]},
        {"name": "db", "files": [{"path": "/f/code.fd", "what": "its firmware"}, {"path": "/f/a.rom", "what": "the ROM of its device net0"}]},
    ]}, "h1: refused, nothing was applied and no guest was touched: guest web: the ROM of its device net0, guest db: the ROM of its device net0, /f/a.rom, is "
        "not in ipxe 2 any more; guest db: its firmware, /f/code.fd, is not in ovmf (another package takes its place) any more. The next QEMU could not open "
        "it, and the guest would stay saved. Leave these packages out of this update, or give the guest a file that stays."),
    ("no_events", {},
     "h1: refused, no guest was touched: its guests are to be told ahead (host_update_events: always), and scheduled events are not set up on it. Run the role "
     "scheduled_events on it."),
    ("unserved", {},
     "h1: refused, no guest was touched: the service that tells its guests of the update does not answer, so they cannot get ready. See on the host systemctl "
     "status vm-preserving-events, or say with host_update_events_unserved that it may go on without."),
    ("duration", {"duration": "40", "limit": 30.0},
     "h1: refused, no guest was touched: the update is expected to take 40 s (host_update_duration), and a guest may be paused for 30 s "
     "(host_update_pause_limit). Give it less to do, or a longer limit."),
    ("refresh", {"guests": [
        {"name": "web", "blockers": [{"code": "a", "message": "it uses a 9p file system"}, {"code": "b", "message": "it is too large"}]},
        {"name": "db", "blockers": [{"code": "a", "message": "it is busy"}]},
    ]}, "h1: refused, no guest was touched: guest web: it uses a 9p file system, it is too large; guest db: it is busy. Exclude these guests, or move them "
        "away first."),
    ("reboot", {"names": ["web", "db"]},
     "h1: refused, no guest was touched: the update needs a reboot of the host, which affects every guest, and these are left out: web, db. Move them away, or "
     "shut them down, first."),
    ("connection", {"limit": 30},
     "h1: the connection was lost while the guests were paused. The guard on the host resumes them within 30 s of their pause. Whether the update was applied "
     "is not known: look at the host, then run recover.yml and this playbook again."),
    ("deadline", {"limit": "30"},
     "h1: the update outlasts the pause limit of 30 s. The guard on the host resumed all guests on time, and the last tasks ran with the guests running. Look "
     "at what they did, give a longer host_update_pause_limit or less to do, and run again."),
    ("away", {},
     "h1: the host does not answer. Its guests are saved on its disk, and it restores them by itself when it boots. Look at its console; then run recover.yml, "
     "which puts their clocks right."),
    ("not_rebooted", {},
     "h1: the update was applied, and the host was not rebooted. Its guests were saved and are back. See on the host why (journalctl -b), then run again."),
]


@pytest.mark.parametrize(("kind", "facts", "expected"), SENTENCES)
def test_the_sentence(kind, facts, expected):
    assert said(kind, **facts) == expected


BEGIN = "h1: the update failed while the guests ran; no guest was paused, moved or saved for it, and the host may be half updated: "
END = ". Repair the host and run again."


@pytest.mark.parametrize(("result", "expected"), [
    ({"rc": 100, "stdout_lines": ["1", "2", "3", "4 "], "stderr_lines": [" E: dpkg", ""], "failed": True}, "it ended with 100, 2; 3; 4; E: dpkg"),
    ({"rc": 124, "stdout_lines": [], "stderr_lines": [], "failed": True}, "it ended with 124, after host_update_command_timeout (2 s), and said nothing"),
    ({"rc": -9, "failed": True}, "it ended with -9, after host_update_command_timeout (2 s), and said nothing"),
    # A loop over commands: the one that failed.
    ({"results": [{"rc": 0, "failed": False}, {"rc": 3, "stderr_lines": ["no"], "failed": True}], "msg": "One or more items failed"}, "it ended with 3, no"),
    # Operators' own tasks fail in many ways.
    ({"msg": "the  switch\nis old", "failed": True}, "the switch is old"),
    ({"results": [{"failed": True}], "msg": "One or more items failed"}, "One or more items failed"),
    ({"failed": True}, "and said nothing"),
])
def test_an_update_that_failed_is_told_by_its_own_words(result, expected):
    assert said("update", result=result, timeout=2) == BEGIN + expected + END


def test_every_kind_is_here():
    assert {kind for kind, *_rest in SENTENCES} | {"update"} == set(KINDS)
