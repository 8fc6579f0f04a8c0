# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core.guest_manager: whose a guest is, and whether they let it be saved."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.guest_manager import (
    MANAGERS,
    ClusterResource,
    Management,
    cluster_resources,
    is_guest_of,
    managed_by,
)

UUID = "ff91d2dc-69a1-43ef-abde-c9e4e9a0305b"
NOVA = """<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{}"><nova:package version="25.1.0"/>
<nova:name>web</nova:name><nova:flavor name="m1.small"><nova:memory>2048</nova:memory></nova:flavor></nova:instance></metadata>"""
OVIRT = """<metadata xmlns:ovirt-tune="http://ovirt.org/vm/tune/1.0" xmlns:ovirt-vm="http://ovirt.org/vm/1.0"><ovirt-tune:qos/>
<ovirt-vm:vm><ovirt-vm:destroy_on_reboot type="bool">False</ovirt-vm:destroy_on_reboot></ovirt-vm:vm></metadata>"""
ONE = """<metadata><one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0"><one:system_datastore>/var/lib/one//datastores/0/7</one:system_datastore>
</one:vm></metadata>"""
KUBEVIRT = """<metadata><kubevirt xmlns="http://kubevirt.io"><uid>f4686d2c-6e8d-4335-b8fd-81bee22f4814</uid></kubevirt></metadata>"""
ZSTACK = """<metadata xmlns:zs="http://zstack.org"><zs:zstack><internalId>2921</internalId></zs:zstack></metadata>"""
CLOUDSTACK = """<sysinfo type='smbios'><system><entry name='manufacturer'>Apache Software Foundation</entry>
<entry name='product'>CloudStack KVM Hypervisor</entry></system></sysinfo>"""
#: What does not watch: libosinfo, Cockpit, ourselves; a namespace that is declared and not used; what stands deeper than a manager writes it.
NOBODY = """<metadata xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo>
<cockpit_machines:data xmlns:cockpit_machines="https://github.com/cockpit-project/cockpit/tree/master/pkg/machines"/>
<a:note xmlns:a="urn:notes"><nova:instance/></a:note><plain/></metadata>
<sysinfo type='smbios'><system><entry name='manufacturer'>Acme</entry><entry name='product'/></system></sysinfo>"""


def guest(inside="", name="g1"):
    return f"<domain type='kvm' id='1'><name>{name}</name><uuid>{UUID}</uuid>{inside}</domain>"


@pytest.mark.parametrize(("inside", "managers"), [
    ("", []), (NOBODY, []), (NOVA.format("1.0"), ["nova"]), (NOVA.format("1.1"), ["nova"]), (NOVA.format("9.9"), []), (OVIRT, ["ovirt"]),
    (OVIRT.replace("<ovirt-tune:qos/>", ""), ["ovirt"]), (ONE, ["opennebula"]), (KUBEVIRT, ["kubevirt"]), (ZSTACK, ["zstack"]),
    (CLOUDSTACK, ["cloudstack"]), (CLOUDSTACK.replace("Apache Software Foundation", "Acme"), ["cloudstack"]),
    (NOVA.format("1.1") + CLOUDSTACK, ["cloudstack", "nova"]),
])
def test_who_says_that_a_guest_is_theirs(inside, managers):
    assert [found.manager for found in managed_by(guest(inside), [], {})] == managers


@pytest.mark.parametrize("inside", [NOVA.format("1.1"), OVIRT, ONE, KUBEVIRT, CLOUDSTACK, ZSTACK])
def test_a_maintenance_mode_that_cannot_be_seen_counts_as_none(inside):
    """That nova-compute or vdsm does not run just now says nothing: it may be starting, and finds the guest shut off when it has."""
    found, = managed_by(guest(inside), [], {})
    assert not found.lets_go(reboot=False) and not found.lets_go(reboot=True)
    assert found.refusal("kvm7").endswith("so say then managed_guests: accept")


def test_each_manager_says_what_to_do():
    for manager in MANAGERS.values():
        said = Management(manager.name, "vm-g1", frozenset()).refusal("kvm7")
        assert said.startswith(f"it is managed by {manager.title}, ") and "\n" not in said and "{" not in said
        assert ("vm-g1" if manager.name == "pacemaker" else "kvm7") in said


@pytest.mark.parametrize("xml", ["", "<domain", "<network/>"])
def test_what_is_no_guest(xml):
    with pytest.raises(ValueError, match="guest"):
        managed_by(xml, [], {})


# ---- Pacemaker ----

VM = """<primitive id="vm-g1" class="ocf" provider="heartbeat" type="VirtualDomain">
<instance_attributes id="i"><nvpair id="i1" name="config" value="/etc/vm/g1.xml"/>
<nvpair id="i2" name="hypervisor" value="qemu:///system"/></instance_attributes>
{}</primitive>"""


def pair(name, value):
    return f'<nvpair id="{name}-{value}" name="{name}" value="{value}"/>'


def meta(*pairs, kind="meta_attributes"):
    return f'<{kind} id="m">{"".join(pairs)}</{kind}>'


def cib(resources=VM.format(""), config="", nodes="", defaults="", status=""):
    return f"""<cib epoch="11" num_updates="8" admin_epoch="0" validate-with="pacemaker-3.0"><configuration><crm_config>{config}</crm_config>
<nodes><node id="1" uname="kvm1">{nodes}</node><node id="2" uname="kvm2">{meta(pair("maintenance", "true"), kind="instance_attributes")}</node></nodes>
<resources><primitive id="d" class="ocf" provider="pacemaker" type="Dummy"/>{resources}</resources><constraints/>{defaults}</configuration>
<status><node_state id="1" uname="kvm1">{status}</node_state></status></cib>"""


def properties(*pairs):
    return meta(*pairs, kind="cluster_property_set")


RULE = '<rule id="r" score="100"><date_expression id="x" operation="in_range" start="2026-01-01"/></rule>'


@pytest.mark.parametrize(("known", "maintenance"), [
    (cib(), set()),
    # the cluster
    (cib(config=properties(pair("maintenance-mode", "true"))), {"cluster"}),
    (cib(config=properties(pair("maintenance-mode", "Yes"))), {"cluster"}),
    (cib(config=properties(pair("maintenance-mode", "false"))), set()),
    (cib(config=properties(pair("maintenance-mode", "true"), pair("maintenance-mode", "false"))), set()),
    (cib(config=properties(RULE, pair("maintenance-mode", "true"))), set()),
    # this node; the other one is in maintenance always
    (cib(nodes=meta(pair("maintenance", "on"), kind="instance_attributes")), {"node"}),
    (cib(status=f'<transient_attributes id="1">{meta(pair("maintenance", "true"), kind="instance_attributes")}</transient_attributes>'), {"node"}),
    (cib(nodes=meta(pair("standby", "on"), kind="instance_attributes")), set()),
    (cib(nodes=meta(pair("maintenance", "on"), kind="utilization")), set()),
    # the resource
    (cib(VM.format(meta(pair("maintenance", "true")))), {"resource"}),
    (cib(VM.format(meta(pair("is-managed", "false")))), {"resource"}),
    (cib(VM.format(meta(pair("is-managed", "true")))), set()),
    (cib(VM.format(meta(pair("is-managed", "default")))), set()),
    (cib(VM.format(meta(pair("target-role", "Started"), pair("allow-migrate", "true")))), set()),
    (cib(VM.format(meta(RULE, pair("maintenance", "true")))), set()),
    (cib(VM.format(meta(pair("maintenance", "true")) + meta(pair("maintenance", "false")))), set()),
    (cib(VM.format('<operations><op id="o" name="monitor" interval="10s"/></operations>')), set()),
    # its group, clone or the defaults, unless it says otherwise itself
    (cib(f'<group id="g">{meta(pair("is-managed", "false"))}{VM.format("")}</group>'), {"resource"}),
    (cib(f'<clone id="c">{meta(pair("maintenance", "true"))}<group id="g">{VM.format("")}</group></clone>'), {"resource"}),
    (cib(f'<group id="g">{meta(pair("is-managed", "false"))}{VM.format(meta(pair("is-managed", "true")))}</group>'), set()),
    (cib(defaults=f'<rsc_defaults>{meta(pair("is-managed", "false"))}</rsc_defaults>'), {"resource"}),
    (cib(VM.format(meta(pair("is-managed", "true"))), defaults=f'<rsc_defaults>{meta(pair("is-managed", "false"))}</rsc_defaults>'), set()),
    # all of it
    (cib(VM.format(meta(pair("maintenance", "true"))), properties(pair("maintenance-mode", "1")), meta(pair("maintenance", "y"), kind="instance_attributes")),
     {"cluster", "node", "resource"}),
])
def test_the_maintenance_modes_of_a_cluster(known, maintenance):
    assert cluster_resources(known, "kvm1") == [ClusterResource("vm-g1", ("/etc/vm/g1.xml",), frozenset(maintenance))]


TEMPLATE = '<template id="t" class="ocf" provider="heartbeat" type="VirtualDomain">{}</template><primitive id="vm-g1" template="t">{}</primitive>'


@pytest.mark.parametrize(("resources", "files", "maintenance"), [
    (TEMPLATE.format("", VM[VM.index("<inst"):VM.index("{}")]), ("/etc/vm/g1.xml",), set()),
    (TEMPLATE.format(meta(pair("is-managed", "no")), meta(pair("config", "/a.xml"), kind="instance_attributes")), ("/a.xml",), {"resource"}),
    (TEMPLATE.format(meta(pair("is-managed", "no")), meta(pair("is-managed", "yes"))), (), set()),
    (VM.format("") + '<primitive id="other" class="ocf" provider="heartbeat" type="Xen"/>', ("/etc/vm/g1.xml",), set()),
    ('<primitive id="vm-g1" class="ocf" provider="acme" type="VirtualDomain"><instance_attributes id-ref="far"/><meta_attributes id-ref="m"/></primitive>'
     '<group id="x"><instance_attributes id="far"><nvpair id="n" name="config" value="/far.xml"/></instance_attributes>'
     f'{meta(pair("maintenance", "true"))}</group>', ("/far.xml",), {"resource"}),
    ('<primitive id="vm-g1" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="i">'
     '<nvpair id-ref="n" name="config"/></instance_attributes></primitive><group id="x"><meta_attributes id="y">'
     '<nvpair id="n" name="file" value="/far.xml"/></meta_attributes></group>', ("/far.xml",), set()),
    (VM.format(f'<instance_attributes id="j">{RULE}{pair("config", "/sunday.xml")}</instance_attributes>'), ("/etc/vm/g1.xml", "/sunday.xml"), set()),
    (VM.replace('template', '').format("").replace('id="vm-g1"', 'id="vm-g1" template="gone"'), ("/etc/vm/g1.xml",), set()),
])
def test_how_a_resource_can_be_written(resources, files, maintenance):
    assert cluster_resources(cib(resources), "kvm1") == [ClusterResource("vm-g1", files, frozenset(maintenance))]


@pytest.mark.parametrize("text", ["", "<cib", "<crm_mon/>"])
def test_what_is_no_configuration_of_a_cluster(text):
    with pytest.raises(ValueError, match="cluster"):
        cluster_resources(text, "kvm1")


@pytest.mark.parametrize(("files", "definitions", "expected"), [
    (["/etc/vm/x.xml"], {"/etc/vm/x.xml": guest()}, True),
    (["/etc/vm/x.xml"], {"/etc/vm/x.xml": guest(name="other")}, True),
    (["/etc/vm/g1.xml"], {"/etc/vm/g1.xml": "<domain><name>other</name></domain>"}, False),
    (["/etc/vm/g1.xml"], {"/etc/vm/g1.xml": None}, True),
    (["/etc/vm/g1.xml"], {}, True),
    (["/etc/vm/g1"], {"/etc/vm/g1": "no XML"}, True),
    (["/etc/vm/g10.xml"], {}, False),
    (["/etc/vm/a.xml", "/etc/vm/b.xml"], {"/etc/vm/b.xml": "<domain><name> g1\n</name></domain>"}, True),
    ([], {}, False),
])
def test_which_resource_is_a_guest(files, definitions, expected):
    assert is_guest_of(ClusterResource("vm", tuple(files), frozenset()), definitions, "g1", UUID) is expected


@pytest.mark.parametrize(("maintenance", "refresh", "reboot"), [
    ((), False, False), (("cluster",), True, True), (("resource",), True, True), (("node",), True, False), (("node", "resource"), True, True),
])
def test_a_node_in_maintenance_may_not_be_rebooted(maintenance, refresh, reboot):
    resource = ClusterResource("vm-g1", ("/etc/vm/g1.xml",), frozenset(maintenance))
    other = ClusterResource("vm-g2", ("/etc/vm/g2.xml",), frozenset({"cluster"}))
    found, = managed_by(guest(), [other, resource], {})
    assert found == Management("pacemaker", "vm-g1", frozenset(maintenance))
    assert found.lets_go(reboot=False) is refresh and found.lets_go(reboot=True) is reboot
    assert ("ends when kvm1 reboots" in found.refusal("kvm1")) is (set(maintenance) == {"node"})


def test_a_guest_with_two_managers_names_both():
    resource = ClusterResource("vm-g1", ("/etc/vm/g1.xml",), frozenset())
    assert [found.manager for found in managed_by(guest(NOVA.format("1.1")), [resource], {})] == ["nova", "pacemaker"]
