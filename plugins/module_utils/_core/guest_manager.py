# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else manages a guest: a cloud or a cluster that watches it, and that would take a saved guest for one that was shut off.

A pause is safe under all of them. A saved guest is not: it is stopped in their books, or started anew, here or elsewhere, while its memory lies on the
disk. What a manager leaves in a guest is known from its sources: nova (nova/virt/libvirt/config.py, `NOVA_NS`), vdsm and the oVirt engine
(LibvirtVmXmlBuilder.java), OpenNebula (src/vmm/LibVirtDriverKVM.cc), KubeVirt, CloudStack (LibvirtVMDef.java; a cloud can choose other words there) and
ZStack. Pacemaker leaves nothing in the guest: its configuration (CIB) names the file from which the guest was started (heartbeat/VirtualDomain).

Cockpit, virt-manager, libosinfo and Vagrant write metadata as well, and watch no guest. Ganeti, Proxmox and Incus run QEMU without libvirt.
"""
from __future__ import annotations

import os
import typing as t
import xml.etree.ElementTree as ET

#: What Pacemaker takes for true and for false (`pcmk__parse_bool`).
_TRUE = frozenset({"true", "on", "yes", "y", "1"})
_FALSE = frozenset({"false", "off", "no", "n", "0"})


class Manager(t.NamedTuple):
    """Who manages guests.

    :ivar name: The word for it in results.
    :ivar title: Its name for operators.
    :ivar seen: Whether its maintenance mode can be seen from the host. That its program does not run just now says nothing: it may be starting.
    :ivar instruction: What to do before guests of it may be saved; `{host}` is the host, `{resource}` what it calls the guest.
    """

    name: str
    title: str
    seen: bool
    instruction: str


PACEMAKER = "pacemaker"
#: All that are known, by name.
MANAGERS: dict[str, Manager] = {manager.name: manager for manager in (
    Manager(
        "nova", "OpenStack (nova)", False,
        "disable the compute service of {host}, stop nova-compute there until the guests are back (its unit or its container, so that no boot starts it),"
        " and see to it that nothing evacuates the host meanwhile",
    ),
    Manager(
        "ovirt", "oVirt (vdsm)", False,
        "set {host} to maintenance in the engine, which moves its guests away; to keep them here, switch off the engine's power management of {host} and"
        " stop vdsmd there until the guests are back (so that no boot starts it)",
    ),
    Manager(
        "opennebula", "OpenNebula", False,
        "take {host} offline in OpenNebula (onehost offline), and make sure that its guests are not resumed there meanwhile",
    ),
    Manager("kubevirt", "KubeVirt", False, "drain the node {host}, so that KubeVirt moves its guests away"),
    Manager("cloudstack", "Apache CloudStack", False, "prepare {host} for maintenance in CloudStack, which moves its guests away"),
    Manager("zstack", "ZStack", False, "set {host} to maintenance in ZStack, which moves its guests away"),
    Manager(
        PACEMAKER, "Pacemaker", True,
        "set its resource {resource} to maintenance (crm_resource --resource {resource} --meta --set-parameter maintenance --parameter-value true), and"
        " back when the guests are back",
    ),
)}
#: The XML namespaces of the managers' metadata.
_NAMESPACES = {
    "http://openstack.org/xmlns/libvirt/nova/1.0": "nova", "http://openstack.org/xmlns/libvirt/nova/1.1": "nova",
    "http://ovirt.org/vm/1.0": "ovirt", "http://ovirt.org/vm/tune/1.0": "ovirt",
    "http://opennebula.org/xmlns/libvirt/1.0": "opennebula", "http://kubevirt.io": "kubevirt", "http://zstack.org": "zstack",
}
#: Managers that have no metadata, by what they write into the guest's SMBIOS tables.
_SYSINFO = {("manufacturer", "Apache Software Foundation"): "cloudstack", ("product", "CloudStack KVM Hypervisor"): "cloudstack"}


class ClusterResource(t.NamedTuple):
    """A resource of Pacemaker that is a guest.

    :ivar id: Its id.
    :ivar files: The definition files that its configuration names; several where that depends on rules.
    :ivar maintenance: Which kinds of maintenance mode it is in: `cluster`, `node` (this one), `resource`.
    """

    id: str
    files: tuple[str, ...]
    maintenance: frozenset[str]


class Management(t.NamedTuple):
    """That a guest is managed by somebody.

    :ivar manager: The name in `MANAGERS`.
    :ivar resource: What Pacemaker calls the guest; empty for all others.
    :ivar maintenance: Which kinds of maintenance mode it is in, as far as they can be seen: those of Pacemaker's resource; for others none.
    """

    manager: str
    resource: str
    maintenance: frozenset[str]

    def lets_go(self, reboot: bool) -> bool:
        """Whether the guest may be saved, as far as this manager is concerned.

        Pacemaker forgets with its restart what ran on a node that is in maintenance, and starts it elsewhere ("Pacemaker Administration",
        maintenance mode): before a reboot the mode of the node is not enough. A mode that cannot be seen from the host counts as none.

        :param reboot: Whether the host is rebooted while the guest is saved.
        """
        return bool(self.maintenance - ({"node"} if reboot else set()))

    def refusal(self, host: str) -> str:
        """Why the guest may not be saved, and what to do about it, as a clause about the guest.

        :param host: The name of the host.
        """
        manager = MANAGERS[self.manager]
        known = f"; the maintenance mode of the node ends when {host} reboots" if self.maintenance == {"node"} else ""
        return (
            f"it is managed by {manager.title}, which takes a saved guest for one that was shut off and may start it anew{known}: "
            f"{manager.instruction.format(host=host, resource=self.resource)}; "
            + ("or accept that with managed_guests: accept" if manager.seen else "that cannot be seen from here, so say then managed_guests: accept")
        )


def _parsed(text: str, what: str) -> ET.Element:
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(f"{what} cannot be read ({error})") from None


def metadata_managers(domain: ET.Element) -> list[str]:
    """Who says in a guest's XML that it is theirs, by name.

    :param domain: Its XML.
    """
    found = set()
    for element in domain.findall("metadata/*"):
        space = element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""
        if space in _NAMESPACES:
            found.add(_NAMESPACES[space])
    for entry in domain.findall("sysinfo/system/entry"):
        manager = _SYSINFO.get((entry.get("name", ""), (entry.text or "").strip()))
        if manager is not None:
            found.add(manager)
    return sorted(found)


# ---- Pacemaker ----

class _Cib:
    """What is looked up in a CIB ("Pacemaker Explained"): sets of attributes, which may be elsewhere (`id-ref`) and may depend on rules."""

    def __init__(self, root: ET.Element) -> None:
        self.root = root
        self.parents = {child: parent for parent in root.iter() for child in parent}
        self._by_id = {element.get("id"): element for element in root.iter() if element.get("id")}

    def _there(self, element: ET.Element) -> ET.Element:
        return self._by_id.get(element.get("id-ref"), element)

    def template(self, primitive: ET.Element) -> list[ET.Element]:
        """The template of a resource, if it has one."""
        found = self._by_id.get(primitive.get("template"))
        return [] if found is None or found.tag != "template" else [found]

    def values(self, holders: t.Iterable[ET.Element], kind: str, name: str) -> list[tuple[str, bool]]:
        """All values that an attribute has in the sets of some elements, each with whether it depends on a rule."""
        found = []
        for holder in holders:
            for element in holder.findall(kind):
                attributes = self._there(element)
                by_rule = attributes.find("rule") is not None
                for pair in attributes.findall("nvpair"):
                    if pair.get("name", self._there(pair).get("name")) == name:
                        found.append((self._there(pair).get("value", ""), by_rule))
        return found

    def is_set(self, holders: t.Iterable[ET.Element], kind: str, name: str, words: t.Container[str]) -> bool | None:
        """Whether an attribute has one of some values, `None` when it is not set. What depends on a rule, and sets that differ, are no yes."""
        values = self.values(holders, kind, name)
        return all(not by_rule and value.strip().lower() in words for value, by_rule in values) if values else None

    def chain(self, primitive: ET.Element) -> list[list[ET.Element]]:
        """Who may say a meta-attribute of a resource, the nearest first: itself with its template, its group or clone, the defaults."""
        found = [[primitive, *self.template(primitive)]]
        above = self.parents.get(primitive)
        while above is not None and above.tag != "resources":
            found.append([above])
            above = self.parents.get(above)
        return [*found, self.root.findall("configuration/rsc_defaults")]

    def meta(self, primitive: ET.Element, name: str, words: t.Container[str]) -> bool:
        """Whether a meta-attribute of a resource has one of some values. The nearest who says it decides."""
        for holders in self.chain(primitive):
            found = self.is_set(holders, "meta_attributes", name, words)
            if found is not None:
                return found
        return False


def cluster_resources(cib: str, node: str) -> list[ClusterResource]:
    """The guests among the resources of a cluster.

    :param cib: Its configuration and status, as `cibadmin --query` shows it.
    :param node: What the cluster calls this host.
    :raises ValueError: This is no CIB.
    """
    root = _parsed(cib, "the cluster's configuration")
    if root.tag != "cib":
        raise ValueError("this is no configuration of a Pacemaker cluster")
    known = _Cib(root)
    everywhere = set()
    if known.is_set(root.findall("configuration/crm_config"), "cluster_property_set", "maintenance-mode", _TRUE):
        everywhere.add("cluster")
    here = [element for element in root.findall("configuration/nodes/node") if element.get("uname") == node]
    for state in root.findall("status/node_state"):
        if state.get("uname") == node:
            here += state.findall("transient_attributes")
    if known.is_set(here, "instance_attributes", "maintenance", _TRUE):
        everywhere.add("node")
    found = []
    for primitive in root.findall("configuration/resources//primitive"):
        kinds = [primitive, *known.template(primitive)]
        if not any(kind.get("class") == "ocf" and kind.get("type") == "VirtualDomain" for kind in kinds):
            continue
        holders = [holder for level in known.chain(primitive)[:-1] for holder in level]
        files = [path for path, _by_rule in known.values(holders, "instance_attributes", "config") if path]
        own = known.meta(primitive, "maintenance", _TRUE) or known.meta(primitive, "is-managed", _FALSE)
        found.append(ClusterResource(primitive.get("id", ""), tuple(dict.fromkeys(files)), frozenset(everywhere | ({"resource"} if own else set()))))
    return found


def is_guest_of(resource: ClusterResource, definitions: t.Mapping[str, str | None], name: str, uuid: str) -> bool:
    """Whether a resource of a cluster is a guest: by the name and UUID in its definition file; by the name of that file where it says neither.

    :param resource: The resource.
    :param definitions: The content of the definition files, by path; `None` for one that cannot be read on this host.
    :param name: libvirt's name of the guest.
    :param uuid: Its UUID.
    """
    for path in resource.files:
        try:
            domain = ET.fromstring(definitions.get(path) or "")
        except ET.ParseError:
            known = set()
        else:
            known = {text.strip() for text in (domain.findtext("name"), domain.findtext("uuid")) if text}
        if known & {name, uuid} or (not known and os.path.splitext(os.path.basename(path))[0] == name):
            return True
    return False


def managed_by(
    xml: str, resources: t.Iterable[ClusterResource], definitions: t.Mapping[str, str | None],
) -> list[Management]:
    """Who manages a guest, and whether they let it be saved.

    :param xml: The guest's live XML.
    :param resources: The guests among the resources of the cluster that the host is in; none without one.
    :param definitions: Their definition files, see `is_guest_of`.
    :raises ValueError: This is no XML of a guest.
    """
    domain = _parsed(xml, "the guest's XML")
    if domain.tag != "domain":
        raise ValueError("this is no XML of a guest")
    found = [Management(manager, "", frozenset()) for manager in metadata_managers(domain)]
    name, uuid = domain.findtext("name", ""), domain.findtext("uuid", "")
    for resource in resources:
        if is_guest_of(resource, definitions, name, uuid):
            found.append(Management(PACEMAKER, resource.id, resource.maintenance))
    return found
