# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/ownership: who else owns a guest that is about to be saved, by the guest itself and by Pacemaker's tools."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import ownership
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ownership import Owners
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.containers import Daemon

UUID = "11111111-1111-4111-8111-111111111111"
PLAIN = ET.fromstring(f"<domain><name>g1</name><uuid>{UUID}</uuid></domain>")
NOVA = ET.fromstring(
    f'<domain><name>instance-1</name><uuid>{UUID}</uuid><metadata><n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"/></metadata></domain>'
)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Make one of Pacemaker's tools; without it there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name, script):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
    return make


@pytest.fixture
def cluster(tool, tmp_path):
    """This host is node kvm-1 of a cluster with guest g1, some of whose attributes are these."""
    (tmp_path / "g1.xml").write_text(f"<domain><name>g1</name><uuid>{UUID}</uuid></domain>")

    def make(resource="", node=""):
        (tmp_path / "cib.xml").write_text(
            f'<cib><configuration><crm_config/><nodes><node id="1" uname="kvm-1">{node}</node></nodes><resources>'
            f'<primitive id="vm-g1" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="i">'
            f'<nvpair id="c" name="config" value="{tmp_path}/g1.xml"/></instance_attributes>{resource}</primitive></resources></configuration><status/></cib>'
        )
        tool("cibadmin", f'while IFS= read -r line || [ -n "$line" ]; do echo "$line"; done < {tmp_path}/cib.xml\n')
        tool("crm_node", "echo kvm-1")
    return make


MAINTENANCE = '<meta_attributes id="m"><nvpair id="n" name="maintenance" value="true"/></meta_attributes>'
NODE = '<instance_attributes id="m"><nvpair id="n" name="maintenance" value="true"/></instance_attributes>'


def test_a_host_of_its_own(tool):
    owners = Owners()
    assert owners.problem == "" and owners.of(PLAIN) == [] and owners.blockers(PLAIN, True) == [] and ownership.managed(owners, PLAIN) == []


@pytest.mark.parametrize(("resource", "node", "refresh", "reboot", "maintenance"), [
    ("", "", True, True, []), (MAINTENANCE, "", False, False, ["resource"]), ("", NODE, False, True, ["node"]),
    (MAINTENANCE, NODE, False, False, ["node", "resource"]),
])
def test_pacemaker_lets_go_of_what_is_in_maintenance(cluster, resource, node, refresh, reboot, maintenance):
    """That of a node ends with its reboot."""
    cluster(resource, node)
    owners = Owners()
    assert ownership.managed(owners, PLAIN) == [{"manager": "pacemaker", "resource": "vm-g1", "maintenance": maintenance}]
    for saved_for_reboot, refused in ((False, refresh), (True, reboot)):
        found = owners.blockers(PLAIN, saved_for_reboot)
        assert [one.code for one in found] == (["managed"] if refused else [])
        assert all("crm_resource --resource vm-g1" in one.message and one.message.endswith("or accept that with managed_guests: accept") for one in found)
    assert owners.of(ET.fromstring("<domain><name>other</name><uuid>u</uuid></domain>")) == []


@pytest.mark.parametrize("script", ["echo 'Permission denied' >&2; exit 4", "echo '<cib'", "echo '<crm_mon/>'"])
def test_a_cluster_that_cannot_be_asked_refuses_every_guest(tool, script):
    tool("cibadmin", script)
    owners = Owners()
    found = owners.blockers(PLAIN, False)
    assert owners.problem and [one.code for one in found] == ["managed"]
    assert "whether a cluster manages it cannot be found out (" in found[0].message and "managed_guests: accept" in found[0].message


def test_a_cloud_refuses_whose_maintenance_mode_cannot_be_seen_from_here(tool):
    owners = Owners()
    assert ownership.managed(owners, NOVA) == [{"manager": "nova", "resource": None, "maintenance": []}]
    for reboot in (False, True):
        found = owners.blockers(NOVA, reboot)
        assert [one.code for one in found] == ["managed"] and "OpenStack (nova)" in found[0].message
        assert owners.blockers(PLAIN, reboot) == []


def test_a_libvirt_in_a_container_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(ownership, "contained_libvirt", lambda: None)
    ownership.refuse_container()
    monkeypatch.setattr(ownership, "contained_libvirt", lambda: Daemon("libvirtd", 4711))
    with pytest.raises(MaintenanceError, match=r"libvirtd \(process 4711\) runs in a container, .*no guest was touched") as caught:
        ownership.refuse_container()
    assert caught.value.code == "container"
