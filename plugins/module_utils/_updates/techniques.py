# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which technique an update of a package needs: ordered rules as data, and the decisions made from them. Pure.

docs/techniques.md tells the same table to operators; a unit test compares the two.
"""
from __future__ import annotations

import fnmatch
import typing as t

from .._core.errors import MaintenanceError

#: From the gentlest to the strongest; the strongest that one package needs is what the whole update needs.
TECHNIQUES = ("live", "pause", "refresh", "reboot", "refuse")

#: Facts of a host which some rules depend on, as operators read them. Where one cannot be told, it is taken to hold.
NETWORKD = "systemd-networkd manages links of the host"
PACKET_FILTER = "a service that loads the packet filter is active"
WATCHDOG = "an armed watchdog cannot be stopped"
FACTS = (NETWORKD, PACKET_FILTER, WATCHDOG)

#: What of an update is done while the guests are paused: the restarts of its services, held back until then, or all of it, because its own scripts reach for
#: what carries the guests' packets and disks without asking systemd.
IN_PAUSE = ("restarts", "package")


class Rule(t.NamedTuple):
    """What updates of some packages need.

    :ivar packages: Globs of package names (fnmatch), without an architecture.
    :ivar technique: One of `TECHNIQUES`.
    :ivar reason: Why, as a clause for an operator.
    :ivar when: The fact of the host under which it holds, one of `FACTS`; empty for every host.
    :ivar in_pause: Of a `pause`, what has to be in it: one of `IN_PAUSE`.
    """

    packages: tuple[str, ...]
    technique: str
    reason: str
    when: str = ""
    in_pause: str = "restarts"


class Verdict(t.NamedTuple):
    """What the update of one package needs.

    :ivar technique: One of `TECHNIQUES`.
    :ivar reason: Why, as a clause for an operator.
    :ivar in_pause: Of a `pause`, what has to be in it: one of `IN_PAUSE`.
    """

    technique: str
    reason: str
    in_pause: str = "restarts"


#: The first rule that matches wins. Narrow exceptions stand before the glob that would take them in. In each rule the names of Debian's
#: family come first, then those of RHEL's that differ. What is not named is live: nothing on the guests' path is interrupted by it.
RULES: tuple[Rule, ...] = (
    # --- what must not be done under guests at all
    Rule(
        ("pacemaker", "pacemaker-remote*", "corosync", "sbd"), "refuse",
        "its restart makes the cluster stop or fence the guests that it owns; put the cluster into maintenance and update it by hand",
    ),
    Rule(
        ("sanlock",), "refuse",
        "its restart while guests hold leases makes the watchdog reset the host; move those guests away and update it by hand",
    ),
    Rule(
        ("watchdog",), "refuse",
        "its restart closes a watchdog that cannot be stopped (nowayout), which resets the host unless it is reopened in time; move the guests "
        "away and update it by hand",
        when=WATCHDOG,
    ),
    # --- kernel, firmware, microcode
    Rule(
        ("linux-headers-*", "linux-libc-dev*", "linux-doc*", "linux-source*", "linux-tools*", "linux-cloud-tools*", "linux-perf*",
         "linux-cpupower", "linux-base*", "linux-kbuild-*", "linux-compiler-*", "linux-config-*", "linux-image-*-dbg", "linux-image-*-template",
         "pve-kernel-helper", "proxmox-kernel-helper",
         "kernel-headers", "kernel-*-headers", "kernel[0-9]*-headers", "kernel-devel*", "kernel-*-devel*", "kernel[0-9]*-devel*", "kernel-doc*",
         "kernel-*-doc*", "kernel-tools*", "kernel-*-tools*", "kernel[0-9]*-tools*", "kernel[0-9]*-libbpf*", "kernel-debuginfo*", "kernel-*-debuginfo*",
         "kernel[0-9]*-debuginfo*", "kernel-srpm-macros", "kernel-rpm-macros", "kernel-abi-*", "kmod-libs", "kmod-devel"), "live",
        "it has the kernel's name, but no running kernel is made of it",
    ),
    Rule(
        ("linux-image-*", "linux-modules-*", "linux-generic*", "linux-virtual*", "linux-lowlatency*", "linux-kvm", "linux-aws*", "linux-azure*", "linux-gcp*",
         "linux-oracle*", "pve-kernel-*", "proxmox-kernel-*",
         "kernel", "kernel[0-9]*", "kernel-core", "kernel-*-core", "kernel-modules*", "kernel-*-modules*", "kernel-uki-virt*", "kernel-debug*", "kernel-rt*",
         "kernel-64k*", "kernel-uek*", "kernel-lt*", "kernel-ml*", "kernel-plus*", "kernel-automotive*"), "reboot",
        "the host runs the kernel that it was booted with until it is booted again",
    ),
    Rule(
        ("*-dkms", "zfs-modules-*", "kmod-*", "akmod-*"), "reboot",
        "a kernel module in use, as those of KVM and of storage are with guests, cannot be replaced before the next boot",
    ),
    Rule(
        ("intel-microcode", "amd64-microcode", "microcode_ctl", "amd-ucode-firmware"), "reboot",
        "the processors take new microcode safely only early at boot",
    ),
    Rule(
        ("linux-firmware-whence", "python3-virt-firmware*", "virt-firmware*", "gnome-firmware", "arm-trusted-firmware*", "firmware-microbit-*",
         "firmware-tomu", "hackrf-firmware", "nxt-firmware", "ubertooth-firmware", "hdmi2usb-fx2-firmware"), "live",
        "it has a firmware's name, and is a program, a text or the content of a gadget: the host's kernel loads none of it",
    ),
    # Before the host's firmware, which one of them has the name of.
    Rule(
        ("seabios*", "ovmf*", "qemu-efi*", "ipxe", "ipxe-qemu*", "ipxe-bootimgs*", "qemu-skiboot", "qemu-slof", "opensbi*", "u-boot-qemu", "vgabios*", "qboot",
         "openbios-*", "openhackware", "grub-firmware-qemu", "pve-edk2-firmware*",
         "seavgabios*", "edk2-*", "ipxe-roms*", "sgabios*", "SLOF", "openbios"), "live",
        "a guest keeps the firmware and the ROMs that are in its memory, through a save and restore as well, and gets the new ones at its next start",
    ),
    Rule(
        ("firmware-*", "linux-firmware*", "*-firmware"), "reboot",
        "the kernel gives a device its firmware when the driver starts, which is at boot",
    ),
    # --- QEMU, and what lives as long as the QEMU of a guest
    Rule(
        ("qemu-utils", "qemu-img", "qemu-tools", "qemu-user*", "qemu-guest-agent", "qemu-pr-helper"), "live",
        "it has QEMU's name, but no running guest's QEMU is made of it",
    ),
    Rule(
        ("qemu", "qemu-system-*", "qemu-block-*", "qemu-kvm*", "qemu-common", "qemu-device-*", "qemu-ui-*", "qemu-audio-*", "qemu-char-*"), "refresh",
        "a running guest stays on the QEMU that it was started with; save and restore gives it the new one",
    ),
    Rule(
        ("swtpm*", "libtpms*", "nbdkit*", "libslirp0", "libslirp"), "live",
        "the QEMU of no running guest, and no helper process that is renewed with it, runs code from it",
    ),
    Rule(
        ("passt*", "slirp4netns", "libslirp-helper", "virtiofsd"), "live",
        "a guest that was started with it keeps its process until its next start, because moving the guest would cut its connections or is not possible",
    ),
    # --- what restarts and leaves the guests alone, though one might think otherwise
    Rule(
        ("libvirt*", "python3-libvirt*"), "live",
        "libvirt's daemons are restarted and find their guests again, which run on meanwhile",
    ),
    Rule(
        ("systemd", "systemd-networkd"), "pause",
        "systemd-networkd carries this host's network and is restarted: addresses and routes on the way to the guests may go until it has set them anew",
        when=NETWORKD,
    ),
    Rule(
        ("systemd*", "udev"), "live",
        "systemd continues in its new self, and the guests' scopes and processes stay as they are",
    ),
    # --- the network path
    Rule(
        ("openvswitch-doc*", "openvswitch-test*", "openvswitch-dev*", "openvswitch-selinux*", "ovn-doc*"), "live",
        "it holds documentation, headers or policy, and no daemon",
    ),
    Rule(
        ("ovn*",), "pause",
        "its scripts stop the controller of the virtual switch by themselves, and the guests' flows may change meanwhile",
        in_pause="package",
    ),
    Rule(
        ("openvswitch*",), "pause",
        "the virtual switch is restarted, and the guests' packets are lost meanwhile",
    ),
    Rule(
        ("frr", "bird", "bird2", "bird3", "keepalived"), "pause",
        "the routing daemon is restarted, and routes or addresses on the way to the guests may go until it is up again",
    ),
    Rule(
        ("vpp", "vpp-plugin-*"), "pause",
        "the switch in user space is restarted, and the guests' packets are lost until its ports are there again",
        in_pause="package",
    ),
    Rule(
        ("nftables", "netfilter-persistent", "iptables-persistent", "iptables-services"), "pause",
        "the service that loads this host's packet filter is restarted, and flushes all rules: libvirt sets those of its own networks again only when "
        "virtnetworkd, or libvirtd, is reloaded",
        when=PACKET_FILTER,
    ),
    Rule(
        ("netplan*", "libnetplan*", "python3-netplan"), "live",
        "it writes configuration for others to read, at boot or when somebody runs netplan apply, and restarts nothing",
    ),
    Rule(
        ("ifupdown*", "network-manager*", "ifenslave", "lldpad", "firewalld*", "NetworkManager*", "network-scripts*", "teamd", "wicked*"), "pause",
        "its restart may take the host's bridges, bonds, links or packet filter down and up again",
    ),
    # --- the storage path
    Rule(
        ("multipath-tools*", "device-mapper-multipath*"), "pause",
        "multipathd is restarted, and a path that fails meanwhile is not replaced: the guests' writes must have been drained",
    ),
    Rule(
        ("open-iscsi*", "iscsiuio", "iscsi-initiator-utils*"), "pause",
        "iscsid is restarted, and a session that breaks meanwhile is not re-established: the guests' writes must have been drained",
    ),
    Rule(
        ("nvme-stas", "fcoe-utils"), "pause",
        "a daemon that holds the connections to the storage is restarted: the guests' writes must have been drained",
    ),
    Rule(
        ("lvm2*", "dmeventd*", "device-mapper-event*"), "pause",
        "the daemon that extends snapshots and thin pools and repairs mirrors is restarted: none of that happens meanwhile",
    ),
    Rule(
        ("nfs-common", "nfs-kernel-server", "rpcbind", "nfs-utils*", "gssproxy"), "pause",
        "the helpers of NFS mounts (locks, Kerberos) are restarted, and a request that needs them meanwhile hangs or fails",
    ),
    Rule(
        ("ceph-osd*", "ceph-mon*", "ceph-mgr*", "ceph-mds*", "ceph-base", "glusterfs-server", "tgt", "scsi-target-utils"), "pause",
        "a daemon that serves disks may be restarted: the guests' writes must have been drained",
    ),
)

#: Of a package that no rule names.
DEFAULT = Verdict("live", "no rule names it and no running guest's QEMU runs code from it")


def strongest(techniques: t.Iterable[str]) -> str | None:
    """What an update of several packages needs.

    :param techniques: What each of them needs.
    :returns: The strongest of them, `None` when there are none.
    """
    return max(techniques, key=TECHNIQUES.index, default=None)


def bare(package: str) -> str:
    """A package's name without dpkg's architecture: `libc6:amd64` is `libc6`."""
    return package.partition(":")[0]


def operator_rules(given: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Rule, ...]:
    """The operator's rules of the module's option `rules`.

    :param given: Each with `packages` (globs), `technique` and `reason`.
    :raises MaintenanceError: code `rules`: a rule that could match no package, or an unknown technique.
    """
    for number, rule in enumerate(given, 1):
        if not rule["packages"] or not all(glob.strip() for glob in rule["packages"]):
            raise MaintenanceError(f"rule {number} of rules has an empty packages, so it is for no package; no guest was touched. Give it a glob", "rules")
        if rule["technique"] not in TECHNIQUES:
            raise MaintenanceError(
                f"rule {number} of rules has the technique {rule['technique']!r}; no guest was touched. Give it one of {', '.join(TECHNIQUES)}", "rules",
            )
    return tuple(Rule(tuple(rule["packages"]), rule["technique"], rule["reason"], in_pause=rule["in_pause"]) for rule in given)


def _first(name: str, rules: t.Sequence[Rule], facts: t.Container[str]) -> Verdict | None:
    for rule in rules:
        if rule.when and rule.when not in facts:
            continue
        # Not fnmatch(): that ignores the case on some systems.
        if any(fnmatch.fnmatchcase(name, glob) for glob in rule.packages):
            return Verdict(rule.technique, rule.reason, rule.in_pause)
    return None


def _named(guests: t.Sequence[str]) -> str:
    shown = ", ".join(guests[:3])
    return shown if len(guests) <= 3 else f"{shown} and {len(guests) - 3} more"


def judge(package: str, given: t.Sequence[Rule], users: t.Mapping[str, t.Sequence[str]], facts: t.Container[str] = FACTS) -> Verdict:
    """What the update of one package needs.

    The operator's rules come first and are final. Else the table, but at least `refresh` for code that a guest's QEMU or a helper of it runs.

    :param package: Its name, an architecture may follow.
    :param given: The operator's rules.
    :param users: By package (without an architecture), the names of the guests whose QEMU, or a helper process of it, runs code from it.
    :param facts: Which of `FACTS` hold on the host.
    """
    name = bare(package)
    verdict = _first(name, given, facts)
    if verdict is not None:
        return verdict
    verdict = _first(name, RULES, facts) or DEFAULT
    guests = users.get(name)
    if guests and strongest([verdict.technique, "refresh"]) != verdict.technique:
        return Verdict("refresh", f"the QEMU of {_named(guests)}, or a helper process of it, runs code from it, and only what is started anew runs the new one")
    return verdict
