# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_update_apply: packages with restarts held back, with programs of the test's in the places of apt-get and systemctl."""
from __future__ import annotations

import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import host_update_apply
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import held, managers, restarts, systemctl_stand_in

#: Restarts as a package's scripts ask for them, through apt's path for them.
SCRIPTS = """
for word; do case $word in DPkg::Path=*) PATH=${word#DPkg::Path=};; esac; done
export DPKG_MAINTSCRIPT_PACKAGE=openvswitch-switch; systemctl restart openvswitch-switch.service
export DPKG_MAINTSCRIPT_PACKAGE=libvirt-daemon-system; systemctl restart libvirtd.service; systemctl start virtlockd.socket
systemctl is-active --quiet libvirtd.service || echo "is-active is not answered"
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose apt-get finds two packages, and runs what the test says when it applies them; returns what systemctl was called with."""
    bin_, log = tmp_path / "bin", tmp_path / "log"
    bin_.mkdir()

    def make(script=SCRIPTS, pending="openvswitch-switch libvirt-daemon-system", systemctl=""):
        simulation = "".join(f"Inst {name} [1] (2 repo [amd64])\\n" for name in pending.split())
        (bin_ / "apt-get").write_text(
            f'#!/bin/sh\ncase " $* " in *--simulate*) printf "{simulation}";; *indextargets*) ;; *) {script or "true"}\n;; esac\n')
        (bin_ / "systemctl").write_text(
            f'#!/bin/sh\necho "$*" >> {log}\n{systemctl}\n[ "$1" != show ] || for unit in $(echo "$*" | sed "s/.* -- //"); do '
            'state=active; case $unit in virtlockd*|virtnetworkd*) state=inactive;; esac; '
            'printf "LoadState=loaded\\nActiveState=$state\\nFragmentPath=\\n\\n"; done\n')
        for program in bin_.iterdir():
            program.chmod(0o755)
        (tmp_path / "os-release").write_text("ID=debian\n")
        monkeypatch.setattr(managers, "OS_RELEASE", str(tmp_path / "os-release"))
        monkeypatch.setattr(restarts, "RECORD", str(tmp_path / "run" / "held_restarts"))
        monkeypatch.setattr(restarts, "FOLDER", str(tmp_path / "held"))
        monkeypatch.setattr(systemctl_stand_in, "SYSTEM_PATH", f"{bin_}:/usr/bin:/bin")
        program = systemctl_stand_in.PROGRAM.replace("PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"PATH={bin_}:/usr/bin:/bin")
        monkeypatch.setattr(systemctl_stand_in, "PROGRAM", program)
        monkeypatch.setattr(host_update_apply.signal, "signal", lambda *_given: None)
        monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
        return lambda: [line for line in (log.read_text().splitlines() if log.exists() else []) if not line.startswith(("show", "is-active"))]
    return make


def apply(check_mode=False, **over):
    return host_update_apply.apply_update({
        "packages": [], "apply": True,
        "only_upgrade": True, "default_release": None, "rules": [], "restarts_in_pause": "needed", "lock_timeout": 5, "command_timeout": 20.0,
        **over,
    }, check_mode)


def test_what_needs_the_pause_waits_and_the_rest_is_done(host):
    calls = host()
    found = apply()
    assert found["changed"] and found["command"]["rc"] == 0 and found["problems"] == [] and found["command"]["stdout"] == ""
    assert found["restarts"] == [
        {"unit": "openvswitch-switch.service", "action": "restart", "packages": ["openvswitch-switch"], "in_pause": True},
        {"unit": "libvirtd.service", "action": "restart", "packages": ["libvirt-daemon-system"], "in_pause": False},
        {"unit": "virtlockd.socket", "action": "start", "packages": ["libvirt-daemon-system"], "in_pause": False},
    ]
    assert calls() == ["daemon-reload", "restart libvirtd.service virtlockd.socket"]
    assert found["commands"] == [["systemctl", "restart", "openvswitch-switch.service"], ["rm", "-f", restarts.RECORD]]
    assert restarts.left_over() == [held.Asked("openvswitch-switch", "restart", "openvswitch-switch.service")]


@pytest.mark.parametrize(("which", "now", "later"), [
    ("all", [], ["openvswitch-switch.service", "libvirtd.service", "virtlockd.socket"]),
    ("none", ["openvswitch-switch.service", "libvirtd.service", "virtlockd.socket"], []),
])
def test_all_or_none_in_the_pause(host, which, now, later):
    calls = host()
    found = apply(restarts_in_pause=which)
    assert calls() == ["daemon-reload", *([" ".join(["restart", *now])] if now else [])]
    assert found["commands"] == ([["systemctl", "restart", *later], ["rm", "-f", restarts.RECORD]] if later else [])
    assert os.path.exists(restarts.RECORD) == bool(later)


def test_a_run_that_was_cut_short_is_carried_on(host):
    """With nothing pending any more."""
    calls = host(pending="")
    restarts.keep([held.Asked("openvswitch-switch", "restart", "openvswitch-switch.service"), held.Asked("b", "restart", "b.service")])
    found = apply()
    assert found["changed"] and found["command"] is None
    assert calls() == ["daemon-reload", "restart b.service"] and found["commands"][0] == ["systemctl", "restart", "openvswitch-switch.service"]


def test_only_what_was_left_beside_packages_that_go_whole_into_the_pause(host, tmp_path):
    host(script=f"touch {tmp_path}/applied")
    restarts.keep([held.Asked("openvswitch-switch", "restart", "openvswitch-switch.service")])
    found = apply(apply=False)
    assert found["changed"] and found["command"] is None and not (tmp_path / "applied").exists()
    assert found["commands"][0] == ["systemctl", "restart", "openvswitch-switch.service"]


def test_what_was_left_counts_together_with_what_is_new(host):
    host()
    restarts.keep([held.Asked("openvswitch-switch", "restart", "ovsdb-server.service")])
    assert apply()["commands"][0] == ["systemctl", "restart", "ovsdb-server.service", "openvswitch-switch.service"]


def test_half_a_line_does_not_swallow_what_comes_after_it(host):
    host()
    restarts.begin([held.Asked("b", "restart", "b.service")])
    with open(restarts.RECORD, "a", encoding="utf-8") as stream:
        stream.write("openvswitch-switch\trest")
    assert [one["unit"] for one in apply()["restarts"]] == ["b.service", "openvswitch-switch.service", "libvirtd.service", "virtlockd.socket"]


def test_nothing_to_do(host):
    calls = host(pending="")
    assert apply() == {"changed": False, "command": None, "restarts": [], "commands": [], "problems": []}
    assert calls() == [] and not os.path.exists(restarts.RECORD)


def test_check_mode_touches_nothing(host, tmp_path):
    calls = host(script=f"touch {tmp_path}/applied")
    assert apply(check_mode=True)["changed"]
    assert calls() == [] and not (tmp_path / "applied").exists() and not os.path.exists(restarts.FOLDER)


def test_a_package_manager_that_fails_leaves_what_it_asked_for_held_back(host):
    calls = host(script=SCRIPTS + "\necho 'E: dpkg returned an error' >&2; exit 100")
    with pytest.raises(MaintenanceError) as caught:
        apply()
    assert caught.value.code == "update"
    assert "it ended with 100; E: dpkg returned an error" in str(caught.value)
    assert "which the next run does: openvswitch-switch.service, libvirtd.service, virtlockd.socket" in str(caught.value)
    assert calls() == ["daemon-reload"] and len(restarts.left_over()) == 3
    assert caught.value.result["command"]["rc"] == 100


def test_a_package_manager_that_outlasts_its_time(host):
    host(script="exec sleep 600")
    with pytest.raises(MaintenanceError) as caught:
        apply(command_timeout=0.5)
    assert "it was ended after" in str(caught.value)


def test_a_restart_that_fails_is_told_and_stops_nothing(host):
    host(systemctl='[ "$1" != restart ] || { echo "Job for libvirtd.service failed." >&2; exit 1; }')
    found = apply()
    assert found["commands"][0] == ["systemctl", "restart", "openvswitch-switch.service"]
    [problem] = found["problems"]
    assert problem.startswith("'systemctl restart libvirtd.service virtlockd.socket' failed: it ended with 1; Job for libvirtd.service failed.")


def test_an_update_that_would_be_refused(host):
    host()
    (open(os.environ["PATH"].split(":", 1)[0] + "/apt-get", "w", encoding="utf-8")).write('#!/bin/sh\necho "Remv loser [1]"\n')
    with pytest.raises(MaintenanceError) as caught:
        apply()
    assert caught.value.code == "packages" and not os.path.exists(restarts.FOLDER)


def test_a_host_where_nothing_can_be_held_back(host, tmp_path):
    host(script=f"touch {tmp_path}/applied")
    (tmp_path / "run").write_text("")
    with pytest.raises(MaintenanceError) as caught:
        apply()
    assert caught.value.code == "held" and not (tmp_path / "applied").exists()


def test_a_record_that_is_a_link_is_not_followed(host, tmp_path):
    host()
    (tmp_path / "run").mkdir()
    os.symlink("/etc/passwd", restarts.RECORD)
    with pytest.raises(MaintenanceError) as caught:
        apply()
    assert caught.value.code == "held" and "cannot be read" in str(caught.value)
