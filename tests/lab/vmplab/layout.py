"""Which hosts, in which update domain, with which guests. Pure: sizes in, layout out."""

from .errors import LabError
from .settings import Settings, Sizes

KINDS = {
    "normal": "persistent, with a guest agent",
    "agentless": "persistent, without a guest agent",
    "transient": "known to libvirt only while it runs",
    "owner-paused": "persistent, suspended by its owner once it had booted",
    "shared": "persistent, with a guest agent, its memory a shared file (only by `guest add`)",
    "macvtap": "persistent, with a guest agent, on a macvtap device (only by `guest add`)",
    "managed": "persistent, with a guest agent, on a bridge whose forwarding entries libvirt keeps (only by `guest add`)",
    "openvswitch": "persistent, with a guest agent, on an Open vSwitch (only by `guest add`; the host gets one for its first)",
    "leased": "persistent, with a guest agent, its disk guarded by virtlockd (only by `guest add`; the host's libvirt then has it for all)",
    "minimal": "transient, no kernel, 16 MiB, the firmware idles: cheap enough for hundreds",
}
HOST_KINDS = {
    "container": "systemd-nspawn on this machine's kernel, up in seconds",
    "machine": "a virtual machine with a kernel, a boot loader and AppArmor of its own, emulated: slow, and saved once it is up",
}
MINIMAL_MEMORY_MIB = 16

# Where the hosts see the guests' kernel and initramfs.
GUEST_IMAGE = "/srv/guest-image"

# Where guests are reached from their host, by the beginning of their addresses: libvirt's own network, those of host_devices.py, and the virtual switch.
NAT_PREFIX, WIRE_PREFIX, BRIDGE_PREFIX, SWITCH_PREFIX = "192.168.122", "192.168.123", "192.168.124", "192.168.125"
_PREFIXES = {"macvtap": WIRE_PREFIX, "managed": BRIDGE_PREFIX, "openvswitch": SWITCH_PREFIX}
WIRE, BRIDGE = "lab-wire", "lab-bridge"
SWITCH, UPLINK, UPLINK_PORT = "lab-switch", "lab-uplink", "lab-uplink-port"
# libvirt's name of the network on the bridge.
MANAGED = "managed"
MAX_HOSTS = 99

# What the first hosts run; every host has a normal guest, every kind is there twice or more.
_FIRST_HOSTS = (
    ("normal", "transient", "owner-paused"),
    ("normal", "agentless", "normal"),
    ("normal", "transient", "normal"),
    ("normal", "owner-paused", "agentless"),
)
# On a machine, where each guest takes a minute to boot: one whose memory can stay in place, and one whose memory cannot.
_ON_MACHINES = ("shared", "normal")
# Guests take <prefix>.<10+number>; a network ends at .254.
MAX_ADDRESSED_GUESTS = 240


def hosts(settings: Settings, sizes: Sizes, releases: list[str], kind: str) -> list[dict]:
    """All hosts as documents: name, kind, address, update_domain (text), release (they take turns), guests."""
    if sizes.domains > sizes.hosts:
        raise LabError(f"{sizes.hosts} hosts cannot fill {sizes.domains} update domains.")
    if sizes.hosts > MAX_HOSTS:
        raise LabError(f"A lab has at most {MAX_HOSTS} hosts.")
    return [
        {
            "name": f"h{number}",
            "kind": kind,
            "address": settings.host_address(number),
            "update_domain": str((number - 1) * sizes.domains // sizes.hosts),
            "release": releases[(number - 1) % len(releases)],
            "guests": initial_guests(f"h{number}", kind, sizes),
        }
        for number in range(1, sizes.hosts + 1)
    ]


def initial_guests(host: str, host_kind: str, sizes: Sizes) -> list[dict]:
    """The guests of a fresh host."""
    template = _ON_MACHINES if host_kind == "machine" else _FIRST_HOSTS[(int(host[1:]) - 1) % len(_FIRST_HOSTS)]
    kinds = [template[i] if i < len(template) else "normal" for i in range(sizes.guests)]
    return [guest(host, kind, number, sizes.guest_memory_mib) for number, kind in enumerate(kinds, start=1)]


def more_guests(host: dict, kind: str, count: int, memory_mib: int) -> list[dict]:
    """`count` guests to add to a host, numbered after those that it has."""
    first = max((entry["number"] for entry in host["guests"]), default=0) + 1
    return [guest(host["name"], kind, number, memory_mib) for number in range(first, first + count)]


def guest(host: str, kind: str, number: int, memory_mib: int) -> dict:
    """One guest; its number is unique on its host and decides its address and its MAC."""
    addressed = kind != "minimal"
    if addressed and number > MAX_ADDRESSED_GUESTS:
        raise LabError(f"Host {host} has no address left for guest number {number}.")
    return {
        "name": f"{host}-{kind}-{number}",
        "kind": kind,
        "number": number,
        "memory_mib": memory_mib if addressed else MINIMAL_MEMORY_MIB,
        "address": f"{_PREFIXES.get(kind, NAT_PREFIX)}.{10 + number}" if addressed else None,
        "mac": f"52:54:00:77:{int(host[1:]):02x}:{number:02x}" if addressed else None,
    }
