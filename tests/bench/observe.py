"""An independent observer, run on a host: prints every suspend and resume of a guest as libvirt reports it, until its input ends.

Each line is JSON: `name`, `what` ("suspended" or "resumed") and `at` (CLOCK_MONOTONIC, seconds).
"""

import json
import sys
import threading
import time

import libvirt

_WHAT = {libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended", libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed"}


def note(_connection, guest, event, _detail, _opaque):
    """Print one event at once."""
    if event in _WHAT:
        print(json.dumps({"name": guest.name(), "what": _WHAT[event], "at": time.monotonic()}), flush=True)


def run_events():
    while True:
        libvirt.virEventRunDefaultImpl()


libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open("qemu:///system")
connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, note, None)
threading.Thread(target=run_events, daemon=True).start()
print(json.dumps({"what": "ready"}), flush=True)
sys.stdin.read()
