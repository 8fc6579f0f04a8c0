# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_plan: what an operator reads before anything is done."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_plan import host_plan

KERNEL = {"name": "linux-image-amd64", "technique": "reboot", "reason": "the kernel"}
SWITCH = {"name": "openvswitch-switch", "technique": "pause", "reason": "the switch"}
TOOL = {"name": "lab-tool", "technique": "live", "reason": "nothing"}


def paused(name, changed=True, message=""):
    return {"name": name, "uuid": f"u-{name}", "changed": changed, "message": message}


def moved(name, predicted=1.2, memory="copy", stale=False, message=""):
    return {"name": name, "uuid": f"u-{name}", "predicted": predicted, "memory": memory, "stale": stale, "message": message, "blockers": [],
            "no_way_back": None, "quiesce": False}


def test_live():
    found = host_plan("h1", "live", [TOOL])
    assert found["lines"] == ["h1: the update is applied while the guests run"]
    assert (found["host"], found["technique"], found["pending"], found["guests"]) == ("h1", "live", [TOOL], [])


def test_a_pause_of_unknown_length_lasts_for_the_limit_at_most():
    found = host_plan("h1", "pause", [SWITCH], pause={"guests": [paused("web"), paused("db", False, "left as it is: it is paused")]}, pause_limit=30.0)
    assert found["lines"] == [
        "h1: the update is applied while the guests are paused", "openvswitch-switch: pause (the switch)",
        "guest web: paused for at most 30 s", "guest db: left as it is: it is paused",
    ]
    assert [one["pause"] for one in found["guests"]] == [30.0, None]


def test_a_pause_of_known_length():
    assert host_plan("h1", "pause", pause={"guests": [paused("web")]}, duration=7.5, pause_limit=30.0)["lines"][1] == "guest web: paused for about 7.5 s"


def test_a_refresh_of_what_will_be_old():
    judged = {"guests": [moved("web"), moved("db", 0.9, "in_place"), moved("rt", message="left as it is: opted out")]}
    found = host_plan("h1", "refresh", [TOOL], refresh=judged, moved=["u-web", "u-db", "u-rt"])
    assert found["lines"] == [
        "h1: the update is applied while the guests run; then each is moved to the installed QEMU", "guest web: away for about 1.2 s while it is moved (copy)",
        "guest db: away for about 0.9 s while it is moved (in_place)", "guest rt: left as it is: opted out",
    ]


STOP = {"name": "gpu", "uuid": "u-gpu", "why": "a device of the host is passed through to it, whose state cannot be saved", "files": []}


@pytest.mark.parametrize("reboot", [False, True])
def test_who_is_shut_down_comes_first(reboot):
    asked = {"reboot": {"guests": [moved("web")], "reboot_time": 60.0}} if reboot else {"refresh": {"guests": [moved("web")]}, "moved": ["u-web", "u-gpu"]}
    plan = host_plan("h1", "reboot" if reboot else "refresh", [TOOL], stop=[STOP], pause={"guests": [paused("web"), paused("gpu")]}, **asked)
    headline, first, *rest = plan["lines"]
    assert "other guest" in headline
    assert first == f"guest gpu: SHUT DOWN for it, and started again; its memory is lost, because {STOP['why']}"
    assert [line.partition(":")[0] for line in rest] == ["guest gpu", "guest web"]  # it is paused as well, before
    assert [(one["name"], one["stop"]) for one in plan["guests"]] == [("gpu", STOP["why"]), ("web", "")]


def test_who_is_not_shut_down_is_not_named_so():
    assert not any("SHUT DOWN" in line or "other guest" in line for line in host_plan("h1", "refresh", [TOOL], refresh={"guests": [moved("a")]})["lines"])


@pytest.mark.parametrize("reboot", [False, True])
def test_a_guest_without_a_way_back_is_told_of_before(reboot):
    guests = [{**moved("a"), "no_way_back": "its QEMU cannot be kept"}, moved("b")]
    asked = {"reboot": {"guests": guests, "reboot_time": 60.0}} if reboot else {"refresh": {"guests": guests}, "moved": ["u-a", "u-b"]}
    plan = host_plan("h1", "reboot" if reboot else "refresh", **asked)
    assert [one["no_way_back"] for one in plan["guests"]] == ["its QEMU cannot be kept", None]
    assert plan["lines"][-2].endswith("without a way back, should the installed QEMU not take it up (its QEMU cannot be kept)")
    assert "way back" not in plan["lines"][-1]


def test_a_guest_that_is_quiesced_is_told_of_before():
    plan = host_plan("h1", "refresh", refresh={"guests": [{**moved("a"), "quiesce": True}, moved("b")]}, moved=[moved("a")["uuid"], moved("b")["uuid"]])
    assert [one["quiesce"] for one in plan["guests"]] == [True, False]
    assert [", quiesced by its agent before" in line for line in plan["lines"][-2:]] == [True, False]


def test_a_guest_that_is_skipped():
    judged = {"guests": [moved("web"), {**moved("db"), "blockers": [{"code": "missing", "message": "its CD-ROM is gone"}]}]}
    found = host_plan("h1", "refresh", [TOOL], refresh=judged, moved=["u-web", "u-db"])
    assert found["lines"][1:] == ["guest web: away for about 1.2 s while it is moved (copy)", "guest db: left on its old QEMU: its CD-ROM is gone"]
    assert [one["away"] for one in found["guests"]] == [1.2, None]


def test_a_refresh_with_nothing_pending_moves_who_is_old_already():
    found = host_plan("h1", "refresh", refresh={"guests": [moved("web", stale=True), moved("db")]}, moved=["u-web"], applies=False)
    assert [one["name"] for one in found["guests"]] == ["web"]
    assert found["lines"][0] == "h1: nothing is pending; each guest that runs an old QEMU is moved to the installed QEMU"


def test_commands_may_bring_another_qemu_and_are_never_among_what_is_pending():
    found = host_plan("h1", "refresh", refresh={"guests": [moved("web"), moved("db", stale=True)]}, moved=["u-web", "u-db"])
    assert [one["name"] for one in found["guests"]] == ["web", "db"]
    assert found["lines"][0] == "h1: the update is applied while the guests run; then each is moved to the installed QEMU"


def test_a_mixed_update_says_both():
    reboot = {"guests": [moved("web", 22.4, "managed"), moved("db", 24.0, "managed")], "reboot_time": 20.0}
    pause = {"guests": [paused("web"), paused("db", False, "it is paused")]}
    found = host_plan("h1", "reboot", [KERNEL, SWITCH, TOOL], pause=pause, reboot=reboot, pause_limit=30.0)
    assert found["lines"] == [
        "h1: the update is applied while the guests are paused; then all guests are saved to disk, and the host is rebooted, which is taken to last 20 s",
        "linux-image-amd64: reboot (the kernel)", "openvswitch-switch: pause (the switch)",
        "guest web: paused for at most 30 s, away for about 22.4 s while the host is rebooted", "guest db: away for about 24.0 s while the host is rebooted",
    ]


def test_a_reboot_that_nothing_pending_asks_for_says_why():
    reboot = {"guests": [], "reboot_time": 20.0}
    lines = host_plan("h1", "reboot", reboot=reboot, due=True, applies=False)["lines"]
    assert lines[0] == "h1: nothing is pending; all guests are saved to disk, and the host is rebooted, which is taken to last 20 s"
    assert len(lines) == 2 and "still to be rebooted for an earlier update" in lines[1]
    assert len(host_plan("h1", "reboot", [KERNEL], reboot=reboot)["lines"]) == 2  # its own need, and no more
    assert len(host_plan("h1", "live", due=True)["lines"]) == 1  # the operator knows better, and it is not rebooted


# ---- restarts that are held back ----

OVS = {"unit": "openvswitch-switch.service", "action": "restart", "packages": ["openvswitch-switch"], "in_pause": True}
LIBVIRTD = {"unit": "libvirtd.service", "action": "restart", "packages": ["libvirt-daemon-system"], "in_pause": False}


def held_back(restarts_in_pause, *restarts, **over):
    return host_plan("h1", "pause", [TOOL], pause={"guests": [paused("web")]}, restarts=restarts, holds=True, restarts_in_pause=restarts_in_pause, **over)


def test_the_pause_holds_the_restart_and_not_the_package_manager():
    found = held_back("needed", OVS, LIBVIRTD)
    assert found["lines"] == [
        "h1: the update is applied while the guests run", "the guests are paused for the restart of openvswitch-switch.service",
        "restarted while the guests run: libvirtd.service", "guest web: paused for at most 30 s",
    ]
    assert found["restarts"] == {"in_pause": ["openvswitch-switch.service"], "live": ["libvirtd.service"]}


def test_all_restarts_in_the_pause():
    assert held_back("all", OVS, LIBVIRTD)["restarts"] == {"in_pause": ["openvswitch-switch.service", "libvirtd.service"], "live": []}


OVN = {"name": "ovn-host", "technique": "pause", "reason": "its scripts", "in_pause": "package"}


def test_a_package_whole_in_the_pause_and_restarts_as_well():
    found = host_plan("h1", "pause", [OVN, SWITCH], pause={"guests": []}, restarts=[OVS], holds=True, whole=True, restarts_in_pause="needed")
    assert found["lines"] == [
        "h1: the update is applied while the guests run, and ovn-host while they are paused",
        "the guests are paused for the restart of openvswitch-switch.service",
        "ovn-host: pause, the whole package (its scripts)", "openvswitch-switch: pause (the switch)",
    ]


def test_what_cannot_be_kept_apart_is_all_in_the_pause():
    found = host_plan("h1", "pause", [OVN, SWITCH], pause={"guests": []}, whole=True, restarts_in_pause="needed")
    assert found["lines"][0] == "h1: the update is applied while the guests are paused"


def test_nobody_is_paused_for_a_package_that_would_go_whole_into_it():
    found = host_plan("h1", "live", [OVN], holds=True)
    assert found["lines"][0] == "h1: the update is applied while the guests run"


def test_scripts_that_name_no_unit():
    assert held_back("needed")["lines"][1].startswith("the guests are paused for the restart of what the new packages ask for, if anything")


def test_what_an_earlier_run_left_to_be_restarted():
    assert held_back("needed", OVS, applies=False)["lines"][:2] == [
        "h1: nothing is pending; what an earlier run held back is restarted", "the guests are paused for the restart of openvswitch-switch.service",
    ]


def test_what_is_left_to_be_restarted_beside_nothing_but_a_whole_package():
    found = host_plan("h1", "pause", [OVN], pause={"guests": []}, restarts=[OVS], holds=True, whole=True, restarts_in_pause="needed")
    assert found["lines"][0] == "h1: the update is applied while the guests are paused"
