"""Our service at loopback, with an event for each guest: arguments are a folder for its files, the port, and how many guests there are.

All is as on a host, but for what the kernel tells of bridges: guests are at 127.1.0.1 and so on.
"""

import os
import socket
import struct
import sys

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata import serve
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.caller import LINUX
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.neighbours import Neighbours

BRIDGE = "lo"


class Tables(Neighbours):
    """The guest of an address, and its port. The kernel is asked as on a host, so that this costs what it does there; it knows of none on loopback."""

    def mac(self, bridge: str, address: str) -> str:
        self._ask(socket.AF_INET, self._index(bridge), {1: socket.inet_aton(address)})
        return mac_of(int(address.rpartition(".")[2]))

    def device_of_mac(self, bridge: str, mac: str) -> str:
        self._ask(socket.AF_BRIDGE, 0, {2: bytes.fromhex(mac.replace(":", "")), 9: struct.pack("=I", self._index(bridge))})
        return f"vnet{int(mac[-2:], 16)}"


def mac_of(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def guest(number: int) -> record.Guest:
    interface = record.Interface(mac_of(number), f"vnet{number}", BRIDGE)
    return record.Guest(f"6f1c2b7a-0d3e-4a5f-8b9c-{number:012x}", f"web{number}", f"web_{number}", None, "", "Linux", 1, (interface,))


def main(root: str, port: int, count: int) -> int:
    places = EventPlaces(root)
    for path in (places.approvals, *map(os.path.dirname, (places.guests, places.settings, places.health))):
        os.makedirs(path, exist_ok=True)
    guests = [guest(number) for number in range(1, count + 1)]
    wanted = [changes.Wanted("Freeze", one.uuid, one.name, (one.resource,), None, 5, "The host is updated.") for one in guests]
    spool.write_document(places.guests, record.guests_document(record.Guests(tuple(guests), {BRIDGE: LINUX})), os.getgid())
    spool.write_document(places.settings, record.settings_document(record.Settings(address="127.0.0.1", port=port)), os.getgid())
    spool.Spool(places, os.getgid()).write(changes.schedule(changes.NONE, "kvm1", wanted, "Platform", 900, spool.moment()))
    serve.Neighbours = Tables
    return serve.run(places)


sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
