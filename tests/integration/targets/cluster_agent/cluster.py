#!/usr/bin/env python3
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of two guests with Debian's azure-events agent: the guest whose event it is puts itself on standby, the other one approves, and both come back."""
from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading

WORK = sys.argv[1]
COLLECTIONS = next(path for path in os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":") if os.path.isdir(os.path.join(path, "ansible_collections")))
sys.path.insert(0, COLLECTIONS)

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, record, spool  # noqa: E402
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces  # noqa: E402
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.serve import Service  # noqa: E402
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.server import Server  # noqa: E402

AGENT = f"{WORK}/unpacked/usr/lib/ocf/resource.d/heartbeat/azure-events"
GUESTS = {
    "node-a": record.Guest("6f1c2b7a-0d3e-4a5f-8b9c-000000000000", "web0", "web_0", "web", "", "Linux", 1, ()),
    "node-b": record.Guest("6f1c2b7a-0d3e-4a5f-8b9c-000000000001", "web1", "web_1", "web", "", "Linux", 1, ()),
}
#: Pacemaker's commands, as far as the agent uses them: attributes in a file, and a cluster without resources.
COMMANDS = """#!/usr/bin/env python3
import json, os, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
def given(*names):
    return next((words[words.index(one) + 1] for one in names if one in words), None)
if name == "crm_node":
    print("1 node-a member\\n2 node-b member")
elif name == "crm_simulate":
    print("Transition Summary:")
elif name == "crm_attribute":
    path = os.environ["CLUSTER"]
    kept = json.load(open(path)) if os.path.exists(path) else {}
    key = f"{given('--node', '-N') or 'cluster'} {given('--name', '-n')}"
    value = given("--update", "-v")
    if "--query" in words:
        print(kept.get(key, ""))
    elif "--delete" in words:
        kept.pop(key, None)
    else:
        kept[key] = value
    json.dump(kept, open(path, "w"))
"""

places = EventPlaces(f"{WORK}/host")
os.makedirs(places.approvals)
for needed in (places.guests, places.settings):
    os.makedirs(os.path.dirname(needed))
ours = spool.Spool(places, os.getgid())
service = Service(places)
asking = ["node-a"]


def serve() -> None:
    """The service; who asks is whoever's turn it is."""
    async def run() -> None:
        server = Server(lambda _source: GUESTS[asking[0]], service.answer, service.view)
        await server.listen(listener, "lo")
        await asyncio.Event().wait()

    asyncio.run(run())


def attributes() -> dict:
    with open(f"{WORK}/cluster.json", encoding="ascii") as stream:
        return json.load(stream)


def monitor(node: str) -> None:
    """One monitor operation of the agent on a node."""
    asking[0] = node
    environment = {
        "PATH": f"{WORK}/bin:{os.environ['PATH']}", "OCF_ROOT": f"{WORK}/unpacked/usr/lib/ocf", "OCF_RESKEY_eventTypes": "Freeze,Reboot,Redeploy",
        "CLUSTER": f"{WORK}/cluster.json", "HA_LOGFACILITY": "none", "HA_logfile": f"{WORK}/log", "OCF_RESOURCE_INSTANCE": "events",
    }
    argv = ["unshare", "--uts", "--", "sh", "-c", f'hostname {node}; exec /usr/bin/env python3 "$0" monitor', AGENT]
    done = subprocess.run(argv, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"{node}: {done.returncode}\n{done.stdout}", flush=True)
    assert done.returncode == 0 and "Traceback" not in done.stdout


def announce(found: record.Announcements) -> record.Announcements:
    ours.write(found)
    service.known.look()
    return found


os.makedirs(f"{WORK}/bin")
for command in ("crm_node", "crm_simulate", "crm_attribute", "crm_resource"):
    with open(f"{WORK}/bin/{command}", "w", encoding="ascii") as program:
        program.write(COMMANDS)
    os.chmod(f"{WORK}/bin/{command}", 0o755)
listener = socket.create_server(("169.254.169.254", 80))
threading.Thread(target=serve, daemon=True).start()

monitor("node-a")
monitor("node-b")
assert attributes()["node-a azName"] == "web_0" and attributes()["cluster hostName_web_1"] == "node-b"

web0 = GUESTS["node-a"]
wanted = changes.Wanted("Freeze", web0.uuid, web0.name, (web0.resource,), "web", 5, "The host is updated.")
told = announce(changes.schedule(changes.NONE, "kvm1", [wanted], "Platform", 900, spool.moment()))
event = told.events[0]
monitor("node-a")
assert attributes()["node-a azure-events_curNodeState"] == "STOPPING" and attributes()["node-a standby"] == "on"
assert ours.approval(event.id) is None
monitor("node-b")
approval = ours.approval(event.id)
assert approval is not None and approval.name == "web1"  # a guest of the set that is not in Resources
assert attributes()["node-a azure-events_curNodeState"] == "IN_EVENT"

begun = announce(changes.start(told, [event.id], spool.moment()))
monitor("node-b")
over = changes.end(begun, [event.id], spool.moment())
now = spool.moment()
over.events[0].completed = record.Moment(now.boot_id, now.boottime - record.LINGER - 1, now.wall)
announce(over)
monitor("node-a")
assert "node-a azure-events_pendingEventIDs" not in attributes() and attributes()["node-a azure-events_curNodeState"] == "AVAILABLE"
assert attributes()["node-a standby"] == "off"
print("the agent works unchanged")
