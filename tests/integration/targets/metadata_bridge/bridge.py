#!/usr/bin/env python3
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge with two guests and an uplink. Each guest is who it is, whatever it says, and the address stays between the host and its guests."""
from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time

WORK = sys.argv[1]
ROOT, PROGRAM = f"{WORK}/host", f"{WORK}/events.pyz"
ADDRESS = "169.254.169.254"
NAME = f"http://{ADDRESS}/metadata/instance/compute/name?api-version=2021-02-01&format=text"
EVENTS = f"http://{ADDRESS}/metadata/scheduledevents?api-version=2020-07-01"
#: What libvirt writes of a running guest, as far as it is read.
STATUS = """<domstatus state='running' pid='1'><domain type='qemu'><name>{name}</name><uuid>6f1c2b7a-0d3e-4a5f-8b9c-00000000000{number}</uuid>
<devices><interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><target dev='tap{number}'/></interface></devices></domain></domstatus>
"""
MACS = {1: "52:54:00:00:00:01", 2: "52:54:00:00:00:02"}


def run(*argv: str, fine: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode in fine, f"{' '.join(argv)}: {done.returncode}: {done.stdout}"
    return done.stdout


def ip(*words: str) -> str:
    return run("ip", *words)


def within(namespace: str, *words: str) -> str:
    return ip("netns", "exec", namespace, *words)


def ask(namespace: str, url: str = NAME, timeout: float = 3.0) -> str:
    """What somebody in a namespace gets: the body, the status of a refusal, or `no answer`."""
    code = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={'Metadata': 'true'}), timeout=float(sys.argv[2])).read().decode())\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "except OSError: print('no answer')\n"
    )
    return within(namespace, sys.executable, "-c", code, url, str(timeout)).strip()


#: A guest that tells the host by ARP where its own IP address is, and asks. It is told when, a word on a line each.
LIAR = """
import signal, socket, struct, sys
signal.alarm(60)
mac = {whose: bytes.fromhex(text.replace(":", "")) for whose, text in zip(("own", "other", "host"), sys.argv[1:4])}
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
client = socket.create_connection((sys.argv[6], 80), 20)
print("connected", flush=True)
for word in map(str.strip, sys.stdin):
    if word == "ask":
        client.sendall(f"GET {sys.argv[7]} HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\n\\r\\n".encode())
    elif word == "read":
        print(client.recv(65536).decode().rpartition("\\r\\n\\r\\n")[2], flush=True)
    else:
        raw.send(mac["host"] + mac["own"] + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2)
                 + mac[word] + socket.inet_aton(sys.argv[4]) + mac["host"] + socket.inet_aton(sys.argv[5]))
"""


#: A guest that begins two connections, the first from another's MAC address, and says which of them is answered first. Both answers go to one IP address of
#: its own, so they come in that order: when the second one is answered, the first one never will be.
FORGER = """
import signal, socket, struct, sys
signal.alarm(60)
own, other, host = (bytes.fromhex(text.replace(":", "")) for text in sys.argv[1:4])
mine, theirs, at = map(socket.inet_aton, sys.argv[4:7])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind(("eth0", 3))
def total(data):
    found = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return ~found & 0xFFFF
def begin(mac, port):
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1000, 0, 0x50, 0x02, 8192, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", total(mine + at + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + mine + at
    raw.send(host + mac + b"\\x08\\x00" + head[:10] + struct.pack("!H", total(head)) + head[12:] + tcp)
begin(other, 40000)
begin(own, 40001)
while True:
    packet = raw.recv(65536)
    if packet[12:14] == b"\\x08\\x06" and packet[20:22] == b"\\0\\1" and packet[38:42] == mine:
        raw.send(host + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2) + own + mine + host + theirs)
    elif packet[12:14] == b"\\x08\\x00" and packet[30:34] == mine and packet[23] == 6 and packet[34 + 13] == 0x12:
        print({40000: "other", 40001: "own"}[struct.unpack_from("!H", packet, 36)[0]])
        break
"""


class Liar:
    """The guest that lies, which does as it is told."""

    def __init__(self, namespace: str, *words: str) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", LIAR, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def neighbour(address: str) -> str:
    """The MAC address that the host has of an IP address at the bridge."""
    words = ip("neigh", "show", address, "dev", "br0").split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def port_of(mac: str) -> str:
    """The port at which the bridge saw a MAC address last."""
    rows = [line.split() for line in run("bridge", "fdb", "show", "br", "br0").splitlines() if line.startswith(f"{mac} ")]
    return next((row[2] for row in rows), "")


def is_owed(address: str) -> bool:
    """Whether the host has sent something to an IP address over TCP that has not come there; proc_net_tcp of the kernel's documentation."""
    wanted = f"{struct.unpack('=I', socket.inet_aton(address))[0]:08X}"
    with open("/proc/net/tcp", encoding="ascii") as stream:
        rows = [line.split() for line in stream.readlines()[1:]]
    return any(row[2].partition(":")[0] == wanted and int(row[4].partition(":")[0], 16) > 0 for row in rows)


def wait_until(what: str, holds) -> None:
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


def cable(namespace: str, host_side: str, mac: str, address: str) -> None:
    """A namespace with one interface, whose other end is a port of the bridge."""
    ip("netns", "add", namespace)
    ip("link", "add", host_side, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", namespace)
    ip("link", "set", host_side, "master", "br0", "up")
    within(namespace, "ip", "link", "set", "lo", "up")
    within(namespace, "ip", "link", "set", "eth0", "up")
    within(namespace, "ip", "address", "add", f"{address}/24", "dev", "eth0")


# ---- the host, with two guests, and another machine at the uplink that has the same address ----
os.makedirs("/run/libvirt/qemu")
for folder in ("var/lib/vm_preserving/scheduled_events/approvals", "run/vm_preserving/scheduled_events", "run/vm_preserving_events", "etc/vm_preserving"):
    os.makedirs(f"{ROOT}/{folder}")
settings = {
    "version": 1, "address": ADDRESS, "port": 80, "bridges": [], "dialects": ["azure"], "update_domain": "", "fault_domain": "", "location": "",
    "guests": {"web": {"resource": "web_0"}},
}
with open(f"{ROOT}/etc/vm_preserving/scheduled_events.json", "w", encoding="ascii") as stream:
    json.dump(settings, stream)
ip("link", "set", "lo", "up")
ip("link", "add", "br0", "address", "52:54:00:00:00:fe", "type", "bridge")
# Else the kernel believes no second word of ARP within a second. A network namespace has no default of it.
with open("/proc/sys/net/ipv4/neigh/br0/locktime", "w", encoding="ascii") as stream:
    stream.write("0")
ip("address", "add", "192.168.50.1/24", "dev", "br0")
ip("link", "set", "br0", "up")
for number, name in ((1, "web"), (2, "db")):
    cable(name, f"tap{number}", MACS[number], f"192.168.50.1{number}")
    with open(f"/run/libvirt/qemu/{name}.xml", "w", encoding="ascii") as stream:
        stream.write(STATUS.format(name=name, number=number, mac=MACS[number]))
cable("lan", "uplink", "52:54:00:00:00:aa", "192.168.50.254")
within("lan", "ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0")
other = subprocess.Popen(["ip", "netns", "exec", "lan", sys.executable, "-m", "http.server", "80"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
# One guest reaches link-local addresses by itself, the other sends all to a router, which is not the host.
within("web", "ip", "route", "add", "169.254.0.0/16", "dev", "eth0")
within("db", "ip", "route", "add", "default", "via", "192.168.50.254")
programs = [subprocess.Popen([sys.executable, "-I", PROGRAM, "--root", ROOT, what]) for what in ("watch", "serve")]
try:
    wait_until("the first guest is answered", lambda: ask("web") == "web_0")
    assert ask("db") == "db"
    document = json.loads(ask("web", EVENTS))
    assert document["Events"] == [] and document["DocumentIncarnation"] > 0

    # Whoever has the same address at the uplink is not asked, cannot ask, and does not answer in the host's place.
    within("lan", "ip", "address", "delete", f"{ADDRESS}/32", "dev", "eth0")
    within("lan", "ip", "route", "add", f"{ADDRESS}/32", "dev", "eth0")
    assert ask("lan", timeout=1.5) == "no answer"
    within("lan", "ip", "neigh", "replace", ADDRESS, "lladdr", "52:54:00:00:00:fe", "dev", "eth0")
    assert ask("lan", timeout=1.5) == "no answer"

    # A guest that says by ARP that it is at another's MAC address is not that one. It says so between its connection and its question, and takes that back
    # to get the answer, which TCP sends again.
    assert ask("web") == "web_0"
    wait_until("the bridge knows where the other guest is", lambda: port_of(MACS[1]) == "tap1")
    with Liar("db", MACS[2], MACS[1], "52:54:00:00:00:fe", "192.168.50.12", "192.168.50.1", ADDRESS, NAME.partition(ADDRESS)[2]) as liar:
        assert liar.says() == "connected"
        wait_until("the host believes the lie", lambda: liar.tell("other") or neighbour("192.168.50.12") == MACS[1])
        liar.tell("ask")
        wait_until("the answer goes to the other guest", lambda: is_owed("192.168.50.12"))
        assert port_of(MACS[1]) == "tap1"
        wait_until("the host believes the truth", lambda: liar.tell("own") or neighbour("192.168.50.12") == MACS[2])
        liar.tell("read")
        found = liar.says()
    assert "Not found" in found, f"it was taken for the guest that it says it is, or not asked: {found}"

    # One cannot begin a connection from another's MAC address, with which it would go on when that one has sent something.
    found = within("db", sys.executable, "-c", FORGER, MACS[2], MACS[1], "52:54:00:00:00:fe", "192.168.50.77", "192.168.50.1", ADDRESS)
    assert found.strip() == "own", f"a connection was begun from another guest's MAC address: {found}"
    assert ask("web") == "web_0"

    # A guest with another's IP address is still itself ...
    within("db", "ip", "address", "flush", "dev", "eth0")
    within("db", "ip", "address", "add", "192.168.50.11/24", "dev", "eth0")
    within("db", "ip", "route", "add", "default", "via", "192.168.50.254")
    ip("neigh", "flush", "dev", "br0")
    assert ask("db") in ("db", "no answer"), "it was taken for the guest whose address it has"
    # ... and with its MAC address as well it is nobody.
    within("db", "ip", "link", "set", "eth0", "down")
    within("db", "ip", "link", "set", "eth0", "address", MACS[1])
    within("db", "ip", "link", "set", "eth0", "up")
    within("db", "ip", "route", "replace", "default", "via", "192.168.50.254")
    ip("neigh", "flush", "dev", "br0")
    assert ask("db") in ("404", "no answer"), "it was taken for the guest whose MAC address it has"
    within("db", "ip", "link", "set", "eth0", "down")
    ip("neigh", "flush", "dev", "br0")
    wait_until("the guest is answered again", lambda: ask("web") == "web_0")

    # A guest that has gone is known no more; one that comes is.
    os.unlink("/run/libvirt/qemu/web.xml")
    wait_until("a guest that has gone is not answered", lambda: ask("web") in ("404", "no answer"))
    with open("/run/libvirt/qemu/web.xml", "w", encoding="ascii") as stream:
        stream.write(STATUS.format(name="web", number=1, mac=MACS[1]))
    wait_until("a guest that has come is answered", lambda: ask("web") == "web_0")

    # Rules that somebody has flushed, and an address that somebody has removed, are back.
    run("nft", "flush", "ruleset")
    ip("address", "delete", f"{ADDRESS}/32", "dev", "br0")
    wait_until("address and rules are back", lambda: ADDRESS in ip("address", "show", "dev", "br0") and "vm_preserving_events" in run("nft", "list", "tables"))
    wait_until("the guest is answered again", lambda: ask("web") == "web_0")

    # The bridge is made anew.
    ip("link", "delete", "br0")
    ip("link", "add", "br0", "address", "52:54:00:00:00:fe", "type", "bridge")
    ip("address", "add", "192.168.50.1/24", "dev", "br0")
    ip("link", "set", "br0", "up")
    ip("link", "set", "tap1", "master", "br0")
    wait_until("the guest is answered at the new bridge", lambda: ask("web") == "web_0")
finally:
    for program in [*programs, other]:
        program.terminate()
    assert [program.wait(20) for program in programs] == [0, 0]
run(sys.executable, "-I", PROGRAM, "--root", ROOT, "clear")
assert ADDRESS not in ip("address", "show", "dev", "br0") and "vm_preserving_events" not in run("nft", "list", "tables")
print("each guest is who it is, and the address stays between the host and its guests")
