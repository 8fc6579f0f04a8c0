#!/usr/bin/env python3
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge with two guests and an uplink. Each guest is who it is, whatever it says, and the address stays between the host and its guests."""
from __future__ import annotations

import json
import os
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


#: A guest that tells the host by ARP that its own IP address is at another guest's MAC address, asks, and takes that back to get the answer,
#: which TCP sends again.
LIAR = """
import socket, struct, sys, time
mac = {whose: bytes.fromhex(text.replace(":", "")) for whose, text in zip(("own", "other", "host"), sys.argv[1:4])}
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
def tell(whose):
    time.sleep(1.2)  # the kernel believes no second word within a second
    raw.send(mac["host"] + mac["own"] + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2)
             + mac[whose] + socket.inet_aton(sys.argv[4]) + mac["host"] + socket.inet_aton(sys.argv[5]))
client = socket.create_connection((sys.argv[6], 80), 5)
tell("other")
time.sleep(0.2)
client.sendall(f"GET {sys.argv[7]} HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\n\\r\\n".encode())
tell("own")
try:
    print(client.recv(65536).decode().rpartition("\\r\\n\\r\\n")[2])
except OSError:
    print("no answer")
"""


#: A guest that begins a connection from another's MAC address, waits until that one has sent something, and only then goes on, from its own.
FORGER = """
import socket, struct, sys, time
own, other, host = (bytes.fromhex(text.replace(":", "")) for text in sys.argv[1:4])
mine, theirs, at, path = *map(socket.inet_aton, sys.argv[4:7]), sys.argv[7]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind(("eth0", 3))
raw.settimeout(0.1)
def total(data):
    data += bytes(len(data) % 2)
    found = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return ~found & 0xFFFF
def send(mac, flags, seq, ack, data=b""):
    tcp = struct.pack("!HHIIBBHHH", 40000, 80, seq, ack, 0x50, flags, 8192, 0, 0)
    check = total(mine + at + struct.pack("!HH", 6, len(tcp) + len(data)) + tcp + data)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:] + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + mine + at
    raw.send(host + mac + b"\\x08\\x00" + head[:10] + struct.pack("!H", total(head)) + head[12:] + tcp)
def tell(whose):
    raw.send(host + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2) + whose + mine + host + theirs)
def wait(seconds, wanted=lambda packet: False):
    # Answers who asks for our address, until there is what is wanted.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            packet = raw.recv(65536)
        except OSError:
            continue
        if packet[12:14] == b"\\x08\\x06" and packet[20:22] == b"\\0\\1" and packet[38:42] == mine:
            tell(own)
        elif packet[12:14] == b"\\x08\\x00" and packet[30:34] == mine and packet[23] == 6 and wanted(packet[34:]):
            return packet[34:]
    return None
send(other, 0x02, 1000, 0)
answer = wait(3, lambda tcp: tcp[13] == 0x12)
if answer is None:
    sys.exit(print("no answer"))
seq = struct.unpack_from("!I", answer, 4)[0] + 1
wait(1.2)
tell(other)
time.sleep(0.3)  # the other guest sends something
send(own, 0x10, 1001, seq)
time.sleep(0.1)
send(own, 0x18, 1001, seq, f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\n\\r\\n".encode())
time.sleep(1.2)
tell(own)
answer = wait(4, lambda tcp: len(tcp) > tcp[12] // 16 * 4)
print("no answer" if answer is None else answer.decode("latin-1").rpartition("\\r\\n\\r\\n")[2])
"""
#: A guest that sends something all the time, so that the bridge knows where it is.
TALKER = """
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
    while True:
        talk.sendto(b"x", ("192.168.50.1", 9))
        time.sleep(0.05)
"""


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

    # A guest that says by ARP that it is at another's MAC address is not that one.
    assert ask("web") == "web_0"  # so the bridge knows where that is
    path = NAME.partition(ADDRESS)[2]
    found = within("db", sys.executable, "-c", LIAR, MACS[2], MACS[1], "52:54:00:00:00:fe", "192.168.50.12", "192.168.50.1", ADDRESS, path)
    assert "web_0" not in found, "it was taken for the guest that it says it is"

    # One that forges the beginning of a connection is not, either.
    with subprocess.Popen(["ip", "netns", "exec", "web", sys.executable, "-c", TALKER]) as talker:
        found = within("db", sys.executable, "-c", FORGER, MACS[2], MACS[1], "52:54:00:00:00:fe", "192.168.50.77", "192.168.50.1", ADDRESS, path)
        talker.terminate()
    assert found.strip() == "no answer", f"it was taken for the guest whose MAC address it has forged, or that was not seen to: {found}"
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
