# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/techniques: the table of rules, row by row, and what is decided from it."""
from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import techniques as rules
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.techniques import (
    DEFAULT,
    FACTS,
    IN_PAUSE,
    NETWORKD,
    PACKET_FILTER,
    RULES,
    TECHNIQUES,
    WATCHDOG,
    Rule,
    bare,
    judge,
    operator_rules,
    strongest,
)

DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "..", "docs", "techniques.md")


# ---- the table ----

@pytest.mark.parametrize(("technique", "packages"), [
    ("reboot", "linux-image-amd64 linux-image-6.1.0-28-cloud-amd64 linux-image-generic linux-modules-6.8.0-49-generic linux-modules-extra-6.8.0-49-generic "
               "linux-generic-hwe-22.04 proxmox-kernel-6.8 zfs-dkms kernel kernel-core kernel-modules kernel-modules-core kernel-rt-core kernel-uek-core "
               "kmod-kvdo kmod-lpfc kernel-64k-core kernel-debug-core kernel-lt kernel6.12 kernel6.12-modules-extra kernel6.1 kernel-automotive-core "
               "kernel-uki-virt kernel-16k-modules-extra linux-image-6.12-cloud-amd64 linux-image-rt-amd64"),
    ("reboot", "intel-microcode amd64-microcode microcode_ctl firmware-misc-nonfree firmware-bnx2 linux-firmware linux-firmware-raspi iwl7260-firmware "
               "amd-ucode-firmware amd-gpu-firmware iwlwifi-mvm-firmware firmware-amd-graphics bluez-firmware raspi-firmware pve-firmware"),
    ("live", "linux-firmware-whence python3-virt-firmware python3-virt-firmware-peigen virt-firmware-rs gnome-firmware arm-trusted-firmware-tools "
             "firmware-microbit-micropython-doc firmware-tomu fwupd iucode-tool"),
    ("refresh", "qemu-system-x86 qemu-system-arm qemu-system-common qemu-system-data qemu-system-gui qemu-system-modules-spice qemu-block-extra qemu-kvm "
                "qemu-kvm-core qemu-kvm-common qemu-kvm-block-rbd qemu-kvm-device-usb-host qemu-system-x86-core qemu-device-display-qxl"),
    ("live", "seabios seabios-bin seavgabios-bin ovmf ovmf-ia32 ovmf-amdsev qemu-efi-aarch64 qemu-efi qemu-efi-riscv64 edk2-ovmf edk2-aarch64 ipxe-qemu "
             "ipxe-qemu-256k-compat-efi-roms ipxe-roms-qemu sgabios-bin qboot vgabios openbios-ppc pve-edk2-firmware pve-edk2-firmware-ovmf"),
    ("live", "swtpm swtpm-libs swtpm-tools libtpms0 libtpms virtiofsd passt passt-selinux libslirp0 libslirp slirp4netns"),
    ("live", "libvirt-daemon-system libvirt0 libvirt-daemon-driver-qemu libvirt libvirt-libs python3-libvirt libvirt-clients"),
    ("live", "qemu-utils qemu-img qemu-user-static qemu-guest-agent"),
    ("live", "linux-headers-amd64 linux-libc-dev linux-tools-common linux-base linux-perf linux-image-6.1.0-28-amd64-dbg kernel-headers kernel-devel "
             "kernel-rt-devel kernel-tools kernel-tools-libs kernel-doc kernel-debuginfo kmod kmod-libs libkmod2 kernel6.12-headers kernel6.12-devel "
             "kernel6.12-tools-devel kernel-lt-doc kernel-cross-headers kernelshark kernel-wedge proxmox-kernel-helper pve-headers-6.8 linux-kbuild-6.1"),
    ("live", "udev libsystemd0 systemd-libs systemd-resolved systemd-container bash openssh-server vim dbus tzdata netplan.io libnetplan1 netplan-generator"),
    ("pause", "systemd systemd-networkd nftables netfilter-persistent iptables-services vpp vpp-plugin-core wicked wicked-service"),
    ("refuse", "watchdog"),
    ("pause", "openvswitch-switch openvswitch-common openvswitch3.3 ovn-host ovn-controller frr bird2 keepalived ifupdown ifupdown2 network-manager "
              "NetworkManager NetworkManager-libnm firewalld lldpad"),
    ("pause", "multipath-tools multipath-tools-boot device-mapper-multipath device-mapper-multipath-libs open-iscsi iscsi-initiator-utils "
              "iscsi-initiator-utils-iscsiuio iscsiuio nvme-stas fcoe-utils lvm2 lvm2-lockd dmeventd device-mapper-event nfs-common nfs-utils rpcbind gssproxy "
              "ceph-osd glusterfs-server tgt"),
    ("live", "openvswitch-doc openvswitch-selinux-extra-policy dmsetup device-mapper libiscsi7 ceph-common frr-pythontools"),
    ("refuse", "pacemaker corosync sanlock sbd pacemaker-remote"),
    ("live", "pacemaker-cli libcorosync-common4"),
])
def test_the_table(technique, packages):
    found = {name: judge(name, (), {}).technique for name in packages.split()}
    assert found == dict.fromkeys(packages.split(), technique)


@pytest.mark.parametrize(("package", "fact", "there", "elsewhere"), [
    ("systemd", NETWORKD, "pause", "live"), ("systemd-networkd", NETWORKD, "pause", "live"), ("nftables", PACKET_FILTER, "pause", "live"),
    ("watchdog", WATCHDOG, "refuse", "live"),
])
def test_what_depends_on_the_host(package, fact, there, elsewhere):
    assert judge(package, (), {}, {fact}).technique == there
    assert judge(package, (), {}, set(FACTS) - {fact}).technique == elsewhere
    assert judge(package, (), {}).technique == there  # careful where it is not known


def test_every_rule_is_whole():
    assert {rule.when for rule in RULES} == {"", *FACTS}
    for rule in RULES:
        assert rule.technique in TECHNIQUES and rule.packages and rule.reason and rule.in_pause in IN_PAUSE, rule
        # A clause: it stands behind "because", and a sentence may go on behind it.
        assert rule.reason[0].islower() or rule.reason.startswith("QEMU"), rule.reason
        assert not rule.reason.endswith("."), rule.reason


def test_no_rule_is_hidden_behind_an_earlier_one():
    for number, rule in enumerate(RULES):
        for glob in rule.packages:
            example = glob.replace("*", "zz").replace("[0-9]", "6")
            assert judge(example, (), {}) == (rule.technique, rule.reason, rule.in_pause), f"{glob} of rule {number} is taken by an earlier one"


def test_the_table_is_documented_row_by_row():
    with open(DOCS, encoding="utf-8") as stream:
        rows = [line.rstrip("\n") for line in stream if line.startswith("| `")]
    expected = [
        "| " + " ".join(f"`{glob}`" for glob in rule.packages) +
        f" | {rule.technique}{', the whole package' if rule.in_pause == 'package' else ''}{', where ' + rule.when if rule.when else ''} | {rule.reason} |"
        for rule in RULES
    ]
    assert rows[-len(expected):] == expected


def test_what_no_rule_names_is_live():
    assert judge("some-thing", (), {}) == DEFAULT


def test_names_are_matched_with_their_case_and_as_a_whole():
    assert judge("QEMU-KVM", (), {}).technique == "live"
    assert judge("my-qemu-kvm", (), {}).technique == "live"


# ---- code that a guest's QEMU runs ----

def test_a_library_of_a_running_qemu_needs_a_refresh():
    found = judge("libfdt1", (), {"libfdt1": ["g1", "g2"]})
    assert found.technique == "refresh" and "the QEMU of g1, g2, or a helper process of it, runs code from it" in found.reason


def test_an_architecture_does_not_matter():
    assert bare("libc6:amd64") == "libc6"
    assert judge("libc6:i386", (), {"libc6": ["g1"]}).technique == "refresh"
    assert judge("qemu-system-x86:amd64", (), {}).technique == "refresh"


def test_many_guests_are_not_all_named():
    reason = judge("libc6", (), {"libc6": [f"g{number}" for number in range(60)]}).reason
    assert "g0, g1, g2 and 57 more" in reason


def test_what_is_mapped_makes_no_technique_weaker():
    users = {name: ["g1"] for name in ("linux-firmware", "sanlock", "qemu-system-x86", "lvm2")}
    assert judge("linux-firmware", (), users) == judge("linux-firmware", (), {})
    assert judge("sanlock", (), users).technique == "refuse"
    assert judge("qemu-system-x86", (), users) == judge("qemu-system-x86", (), {})
    assert judge("lvm2", (), users).technique == "refresh"


# ---- the operator's rules ----

def test_the_operators_rules_come_first_and_are_final():
    rules = operator_rules([
        {"packages": ["libvirt-daemon*"], "technique": "pause", "reason": "a", "in_pause": "package"},
        {"packages": ["libvirt*", "libc6"], "technique": "live", "reason": "b", "in_pause": "restarts"},
        {"packages": ["libvirt*"], "technique": "refuse", "reason": "never", "in_pause": "restarts"},
    ])
    assert judge("libvirt-daemon-system", rules, {}) == ("pause", "a", "package")
    assert judge("libvirt0", rules, {}) == ("live", "b", "restarts")
    assert judge("libc6", rules, {"libc6": ["g1"]}) == ("live", "b", "restarts")
    assert judge("qemu-kvm", rules, {}).technique == "refresh"


@pytest.mark.parametrize("packages", [[], [""], ["a", " "]])
def test_a_rule_for_no_package(packages):
    with pytest.raises(MaintenanceError) as caught:
        operator_rules([{"packages": ["a"], "technique": "live", "reason": "x"}, {"packages": packages, "technique": "live", "reason": "x"}])
    assert caught.value.code == "rules" and str(caught.value).startswith("rule 2 of rules has an empty packages")


def test_an_unknown_technique():
    with pytest.raises(MaintenanceError) as caught:
        operator_rules([{"packages": ["a"], "technique": "kexec", "reason": "x"}])
    assert caught.value.code == "rules" and "'kexec'" in str(caught.value)


@given(st.text(max_size=30), st.lists(st.text(max_size=10), max_size=3))
def test_any_name_and_any_glob_get_a_verdict(name, globs):
    rules = (Rule(tuple(globs), "pause", "x"),)
    assert judge(name, rules, {}).technique in TECHNIQUES


# ---- all together ----

def test_nothing_needs_nothing():
    assert strongest([]) is None


@given(st.lists(st.sampled_from(TECHNIQUES), min_size=1))
def test_the_strongest(techniques):
    found = strongest(techniques)
    assert found in techniques
    assert all(TECHNIQUES.index(other) <= TECHNIQUES.index(found) for other in techniques)
    assert strongest(reversed(techniques)) == found


def test_the_order_of_the_techniques():
    assert TECHNIQUES == ("live", "pause", "refresh", "reboot", "refuse") == tuple(sorted(TECHNIQUES, key=rules.TECHNIQUES.index))
