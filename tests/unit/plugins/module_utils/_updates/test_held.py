# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/held: what the record of held-back restarts means, and how they are done."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.unit_states import UnitState
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.held import Asked, Held, commands, held, line, needed, predicted, read

RUNS, OFF, GONE = UnitState(True, True), UnitState(True, False), UnitState(False, False)
ACTIONS = ("start", "stop", "restart", "try-restart", "reload")


@pytest.mark.parametrize(("text", "expected"), [
    ("", []),
    ("ovs\trestart openvswitch-switch.service\n", [Asked("ovs", "restart", "openvswitch-switch.service")]),
    ("a\t--quiet --no-block try-restart b c.socket\n", [Asked("a", "try-restart", "b.service"), Asked("a", "try-restart", "c.socket")]),
    ("\tcondrestart x@1\n", [Asked("", "try-restart", "x@1.service")]),
    ("a\tenable --now b\n", [Asked("a", "start", "b.service")]),
    ("a\tdisable --now b\n", [Asked("a", "stop", "b.service")]),
    ("a\treload-or-restart dbus\n", [Asked("a", "restart", "dbus.service")]),
    ("a\tforce-reload v1.2\n", [Asked("a", "try-restart", "v1.2.service")]),
    ("a\tdaemon-reload\na\tis-active b\n", []),
    ("a\trestart ovs-x@*.service\n", [Asked("a", "restart", "ovs-x@*.service")]),
    ("half of a li", []),
])
def test_read(text, expected):
    assert read(text) == expected


@given(st.lists(st.tuples(st.sampled_from(["", "a", "libvirt-daemon"]), st.sampled_from(ACTIONS), st.sampled_from(["a.service", "b@1.socket"]))))
def test_what_is_kept_is_read_as_it_was(rows):
    asked = [Asked(*row) for row in rows]
    assert read("".join(map(line, asked))) == asked


def done(active, actions):
    """A unit after systemctl was called for each action: whether it runs, whether it runs the new program, and has read its new configuration."""
    fresh = loaded = False
    for action in actions:
        if action == "stop":
            active = False
        elif action == "restart" or (action == "start" and not active) or (action == "try-restart" and active):
            active = fresh = loaded = True
        elif action == "reload" and active:
            loaded = True
    return active, active and fresh, active and loaded


@given(st.booleans(), st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=6))
def test_one_action_leaves_a_unit_as_all_of_them_would(active, actions):
    [one] = held([Asked("p", action, "u.service") for action in actions])
    at_once, later = done(active, actions), done(active, [one.action])
    assert later[0] == at_once[0]
    assert later[1] >= at_once[1] and later[2] >= at_once[2]  # at most it is newer
    # and what is asked of systemctl, with the unit in that state, does the same
    verb = needed(one, RUNS if active else OFF)
    assert done(active, [verb] if verb else []) == later


def test_a_unit_has_one_action_and_all_its_packages():
    found = held([Asked("b", "restart", "x.service"), Asked("a", "start", "y.socket"), Asked("a", "restart", "x.service"), Asked("", "reload", "x.service")])
    assert found == [Held("x.service", "restart", ("b", "a")), Held("y.socket", "start", ("a",))]


@pytest.mark.parametrize(("action", "state", "expected"), [
    ("restart", RUNS, "restart"), ("restart", OFF, "restart"), ("restart", GONE, None), ("restart", None, "restart"),
    ("start", RUNS, None), ("start", OFF, "restart"), ("start", GONE, None),
    ("try-restart", RUNS, "restart"), ("try-restart", OFF, None), ("try-restart", None, "try-restart"),
    ("reload", RUNS, "reload"), ("reload", OFF, None), ("reload", None, "try-reload-or-restart"),
    ("stop", RUNS, "stop"), ("stop", OFF, None), ("stop", UnitState(False, True), "stop"), ("stop", None, "stop"),  # one whose file the update has taken away
])
def test_what_a_unit_needs(action, state, expected):
    assert needed(Held("u.service", action, ()), state) == expected


def test_one_call_for_each_action():
    """libvirt's packages restart its daemon twice; and a socket is refused beside its active service, but not in one call with it."""
    wanted = held([
        Asked("libvirt-daemon-system", "restart", "libvirtd.service"), Asked("libvirt-daemon-system", "start", "libvirtd-admin.socket"),
        Asked("libvirt-daemon-system", "restart", "libvirtd.service"), Asked("x", "reload", "dbus.service"), Asked("x", "stop", "old.service"),
        Asked("x", "restart", "y@*.service"),
    ])
    states = {"libvirtd.service": RUNS, "libvirtd-admin.socket": OFF, "dbus.service": RUNS, "old.service": RUNS}
    assert commands(wanted, states) == [
        ["systemctl", "stop", "old.service"],
        ["systemctl", "restart", "libvirtd.service", "libvirtd-admin.socket", "y@*.service"],
        ["systemctl", "reload", "dbus.service"],
    ]


def test_nothing_to_do():
    assert commands(held([Asked("a", "start", "a.service"), Asked("a", "try-restart", "b.service")]), {"a.service": RUNS, "b.service": OFF}) == []


@pytest.mark.parametrize(("action", "state", "daemons", "expected"), [
    ("try-restart", RUNS, {"libvirtd.service": RUNS}, ["libvirtd.service"]),
    ("restart", RUNS, {"libvirtd.service": OFF, "virtnetworkd.service": RUNS}, ["virtnetworkd.service"]),
    ("restart", RUNS, {"libvirtd.service": OFF}, None),  # it sets them when it starts
    ("try-restart", OFF, {"libvirtd.service": RUNS}, None),
    ("reload", RUNS, {"libvirtd.service": RUNS}, None),
])
def test_libvirts_own_rules_are_set_again_after_a_packet_filter_that_flushes_them(action, state, daemons, expected):
    found = commands([Held("nftables.service", action, ("nftables",))], {"nftables.service": state, **daemons})
    assert (found[-1] if len(found) > 1 else None) == (expected and ["systemctl", "reload", *expected])


OVS = """
		deb-systemd-invoke $_dh_action 'openvswitch-switch.service' 'ovs-record-hostname.service' >/dev/null || true
		systemctl --system daemon-reload >/dev/null || true
# systemctl restart not-this.service
"""
LVM = "deb-systemd-invoke start 'blk-availability.service' 'lvm2-monitor.service' >/dev/null || true\ndeb-systemd-invoke $_dh_action 'lvm2-lvmpolld.socket'\n"
FRR = '	if [ -x "/etc/init.d/frr" ]; then\n		invoke-rc.d frr start || exit 1\n'
BIRD = "invoke-rc.d --skip-systemd-native bird $_dh_action || exit 1\ndeb-systemd-invoke $_dh_action 'bird.service' >/dev/null || true\n"
SYSTEMD = "    _systemctl try-restart systemd-networkd.service || true\n"
RPM = "    /usr/lib/systemd/systemd-update-helper mark-restart-system-units libvirtd.service || :\n"


@pytest.mark.parametrize(("scripts", "expected"), [
    (OVS, [("restart", "openvswitch-switch.service"), ("restart", "ovs-record-hostname.service")]),
    (LVM, [("start", "blk-availability.service"), ("start", "lvm2-monitor.service"), ("restart", "lvm2-lvmpolld.socket")]),
    (FRR, [("restart", "frr.service")]), (BIRD, [("restart", "bird.service")]), (SYSTEMD, [("restart", "systemd-networkd.service")]),
    (RPM, [("restart", "libvirtd.service")]), ("systemctl --quiet restart systemd-networkd ssh || true\n", [
        ("restart", "systemd-networkd.service"), ("restart", "ssh.service")]),
    ("systemctl start x.socket\n", [("start", "x.socket")]), ("", []), ("cp a.service /etc/b.service\n", []),
])
def test_what_the_scripts_of_packages_will_ask_for(scripts, expected):
    assert predicted("p", scripts) == [Asked("p", *one) for one in expected]
