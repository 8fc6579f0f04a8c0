"""The guests: their libvirt definitions, and what a host does with them."""

from . import layout, remote
from .settings import Settings

# No boot from a kernel: the firmware finds no disk and idles.
_MINIMAL = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
"""

# tsc=unstable: on a busy machine the emulated timers mislead the kernel's measurement of the time stamp
# counter (seen: by a factor of 18), and the guest's clock then races until the kernel notices.
# no_timer_check: for the same reason the kernel may believe that the timer does not work, and panics (seen: once in fifty boots).
_BOOTED = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
{backing}\
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64'>hvm</type>
    <kernel>{image}/vmlinuz</kernel>
    <initrd>{image}/initramfs</initrd>
    <cmdline>console=ttyS0 quiet tsc=unstable no_timer_check lab.address={address}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <devices>
    <controller type='usb' model='none'/>
    <interface type='{interface}'>
      <source {source}/>
      <mac address='{mac}'/>
      <model type='virtio'/>
{port}\
    </interface>
    <serial type='file'><source path='/var/log/libvirt/qemu/{name}-console.log'/></serial>
{agent}{disk}\
  </devices>
</domain>
"""

_AGENT = """\
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
"""

# Nothing in the guest uses it: what matters is who holds its lease.
_DISK = """\
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
"""

_NETWORKS = {
    "macvtap": ("direct", f"dev='{layout.WIRE}' mode='bridge'"), "managed": ("network", f"network='{layout.MANAGED}'"),
    "openvswitch": ("bridge", f"bridge='{layout.SWITCH}'"),
}  # fmt: skip

# A switch in user space hands packets on as it gets them: checksums that the guest leaves to its device would never be made.
_SWITCH_PORT = """\
      <virtualport type='openvswitch'/>
      <driver><host csum='off'/><guest csum='off'/></driver>
"""

# The host's own port of the switch, with an address; it makes its checksums itself, for the same reason.
_UPLINK_UNIT = f"""\
[Unit]
Description=The host's own port of the lab's virtual switch
Before=ovs-vswitchd.service libvirtd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link add {layout.UPLINK} type veth peer name {layout.UPLINK_PORT}
ExecStart=ip address add {layout.SWITCH_PREFIX}.1/24 dev {layout.UPLINK}
ExecStart=ip link set {layout.UPLINK} up
ExecStart=ip link set {layout.UPLINK_PORT} up
ExecStart=ethtool --offload {layout.UPLINK} tx off
[Install]
WantedBy=multi-user.target
"""

_SHARED = """\
  <memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>
"""


def definition(guest: dict) -> str:
    """The guest as libvirt XML. The machine type is libvirt's own choice, which newer QEMUs keep supporting."""
    template = _MINIMAL if guest["kind"] == "minimal" else _BOOTED
    agent = "" if guest["kind"] == "agentless" else _AGENT
    backing = _SHARED if guest["kind"] == "shared" else ""
    interface, source = _NETWORKS.get(guest["kind"], ("network", "network='default'"))
    port = _SWITCH_PORT if guest["kind"] == "openvswitch" else ""
    disk = _DISK.format(disk=disk_path(guest)) if guest["kind"] == "leased" else ""
    return template.format(**guest, image=layout.GUEST_IMAGE, agent=agent, backing=backing, interface=interface, source=source, port=port, disk=disk)


def disk_path(guest: dict) -> str:
    """The image of a guest's disk on its host."""
    return f"/var/lib/libvirt/images/{guest['name']}.raw"


# Seconds until a guest has booted. In a machine its processor is emulated by an emulated one.
_PATIENCE = {"container": 120, "machine": 600}


def start(settings: Settings, host: dict, guests: list[dict]) -> None:
    """Start guests on a host, wait until they have booted, and pause those that their owner has paused."""
    if any(guest["kind"] == "openvswitch" for guest in guests):
        remote.call(settings, host, "make_switch", bridge=layout.SWITCH, port=layout.UPLINK_PORT, uplink_unit=_UPLINK_UNIT, timeout=180)
    patience = _PATIENCE[host["kind"]]
    wanted = [{**guest, "xml": definition(guest), "disk": disk_path(guest) if guest["kind"] == "leased" else None} for guest in guests]
    remote.call(settings, host, "start_guests", guests=wanted, patience=patience, timeout=patience + 60 + 2 * len(guests))


def come_back(settings: Settings, host: dict, guests: list[dict]) -> None:
    """Wait until guests that were saved together with their host answer again, and put their clocks right."""
    remote.call(settings, host, "guests_are_back", guests=guests, patience=120, timeout=180)


def remove(settings: Settings, host: dict, names: list[str]) -> None:
    remote.call(settings, host, "remove_guests", names=names, timeout=60 + len(names))


def states(settings: Settings, host: dict) -> dict[str, str]:
    """State of each guest of the host, by name."""
    return remote.call(settings, host, "states", names=[guest["name"] for guest in host["guests"]], timeout=30)


def checksums(settings: Settings, host: dict) -> dict[str, str | None]:
    return remote.call(settings, host, "checksums", guests=host["guests"], timeout=600)


def evidence(settings: Settings, host: dict) -> list[dict]:
    return remote.call(settings, host, "evidence", guests=host["guests"], timeout=120)


def start_pings(settings: Settings, host: dict, interval: float) -> dict[str, int]:
    """Have every guest on the virtual switch send a numbered packet to its host each `interval` seconds; returns the processes in the guests, by name."""
    names = [guest["name"] for guest in host["guests"] if guest["kind"] == "openvswitch"]
    return remote.call(settings, host, "start_pings", names=names, address=f"{layout.SWITCH_PREFIX}.1", interval=interval, timeout=30)


def end_pings(settings: Settings, host: dict, pids: dict[str, int]) -> dict[str, str]:
    """What the processes have printed, by the guest's name."""
    return remote.call(settings, host, "end_pings", pids=pids, timeout=60)


def start_listening(settings: Settings, host: dict, approve: bool) -> str | None:
    """Start the application that is told of maintenance in the host's first guest that can be asked; returns the guest's name."""
    guest = next((guest for guest in host["guests"] if guest["kind"] == "normal"), None)
    if guest is not None:
        remote.call(settings, host, "page", address=guest["address"], path=f"cgi-bin/listen{'?approve' if approve else ''}", timeout=30)
    return None if guest is None else guest["name"]


def what_it_saw(settings: Settings, host: dict, name: str) -> str:
    """What that application has written down."""
    guest = next(guest for guest in host["guests"] if guest["name"] == name)
    return remote.call(settings, host, "page", address=guest["address"], path="events", timeout=30)
