"""Stand-alone program, a service of every host: the network devices that guests of the kinds macvtap and managed need.

It makes what is missing when it starts: a wire (a veth pair) whose one end carries the macvtap devices and whose other end has the host's address,
and a bridge whose forwarding entries libvirt keeps. Then it follows the kernel's messages about links, and gives every macvtap device its node
/dev/tapN, which libvirt waits for: that is udev's work, and a host in a container has none.
"""

import os
import pathlib
import socket
import stat
import subprocess

# As in layout.py, which does not exist on a host.
WIRE, WIRE_PEER, WIRE_ADDRESS = "lab-wire", "lab-peer", "192.168.123.1/24"
BRIDGE, BRIDGE_ADDRESS = "lab-bridge", "192.168.124.1/24"

SYSFS = pathlib.Path("/sys/devices/virtual/net")
NETLINK_ROUTE_LINKS = 1


def main() -> None:
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    # Before the first look, so that no device comes unseen between the two.
    links.bind((0, NETLINK_ROUTE_LINKS))
    make_writable()
    make_devices()
    if pathlib.Path("/run/udev/control").exists():  # a host that has udev makes the nodes by itself
        tell_ready()
        return
    make_nodes()
    tell_ready()
    while True:
        try:
            links.recv(65536)
        except OSError:  # messages were lost: the look shows all the same what there is
            pass
        make_nodes()


def make_writable() -> None:
    """libvirt sets in the kernel through these files which port of a bridge learns; a container has them read-only."""
    if os.access(SYSFS / "lo" / "ifalias", os.W_OK):
        return
    subprocess.run(["mount", "--bind", SYSFS, SYSFS], check=True)
    subprocess.run(["mount", "-o", "remount,rw", SYSFS], check=True)


def make_devices() -> None:
    if not (SYSFS / WIRE).exists():
        ip("link", "add", WIRE, "type", "veth", "peer", "name", WIRE_PEER)
        ip("address", "add", WIRE_ADDRESS, "dev", WIRE_PEER)
        ip("link", "set", WIRE, "up")
        ip("link", "set", WIRE_PEER, "up")
    if not (SYSFS / BRIDGE).exists():
        ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
        ip("address", "add", BRIDGE_ADDRESS, "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
    options = SYSFS / BRIDGE / "bridge"
    if not (options / "vlan_filtering").exists():
        # libvirt insists on switching this on. A kernel without it keeps forwarding entries all the same, and nothing here uses VLANs.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", options], check=True)
        (options / "vlan_filtering").write_text("0\n", encoding="ascii")


def make_nodes() -> None:
    """A node for every macvtap device, and none for one that has gone."""
    wanted = {}
    for file in pathlib.Path("/sys/class/net").glob("*/tap*/dev"):
        try:
            major, minor = file.read_text(encoding="ascii").split(":")
        except OSError:  # gone just now
            continue
        wanted["/dev/" + file.parent.name] = os.makedev(int(major), int(minor))
    for node in map(str, pathlib.Path("/dev").glob("tap[0-9]*")):
        if os.stat(node).st_rdev == wanted.get(node):
            del wanted[node]
        else:
            os.unlink(node)
    for node, device in wanted.items():
        os.mknod(node, stat.S_IFCHR | 0o600, device)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def tell_ready() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


if __name__ == "__main__":
    main()
