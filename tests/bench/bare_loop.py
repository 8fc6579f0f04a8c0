"""The yardstick, run on a host: suspend guests one after another with libvirt's own bindings, then resume them; prints JSON, seconds.

Arguments: the names of the guests.
"""

import json
import sys
import time

import libvirt

connection = libvirt.open("qemu:///system")
guests = [connection.lookupByName(name) for name in sys.argv[1:]]
began = time.monotonic()
for guest in guests:
    guest.suspend()
paused = time.monotonic()
for guest in guests:
    guest.resume()
print(json.dumps({"suspend": paused - began, "resume": time.monotonic() - paused}))
