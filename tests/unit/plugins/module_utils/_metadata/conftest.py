# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on loopback: guests are told by the loopback address that they ask from, all else is as on a host."""
from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import changes, record, spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.changes import Wanted
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.places import EventPlaces
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events.spool import Spool
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.serve import Service
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.server import Server

WEB0, WEB1, DB = ("6f1c2b7a-0d3e-4a5f-8b9c-000000000000", "6f1c2b7a-0d3e-4a5f-8b9c-000000000001", "6f1c2b7a-0d3e-4a5f-8b9c-000000000002")
#: Where each guest asks from.
ADDRESSES = {"127.0.0.10": WEB0, "127.0.0.11": WEB1, "127.0.0.12": DB}
PAUSED = "Virtual machine is being paused because of a memory-preserving Live Migration operation."


def guest(uuid, name, resource, availability_set):
    return record.Guest(uuid, name, resource, availability_set, "baz:bash;foo:bar", "Linux", 1, ())


class Host:
    """A host with the service, its documents, and guests that ask."""

    def __init__(self, root, settings):
        self.places = EventPlaces(str(root))
        os.makedirs(self.places.approvals)
        for path in (self.places.guests, self.places.settings):
            os.makedirs(os.path.dirname(path))
        self.spool = Spool(self.places, os.getgid())
        self.found = changes.NONE
        self.guests = {one.uuid: one for one in (
            guest(WEB0, "web0", "WestNO_0", "WestNO"), guest(WEB1, "web1", "WestNO_1", "WestNO"), guest(DB, "db", "db", None),
        )}
        spool.write_document(self.places.guests, record.guests_document(record.Guests(tuple(self.guests.values()), {})), os.getgid())
        spool.write_document(self.places.settings, record.settings_document(settings), os.getgid())
        self.service = Service(self.places)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.server = Server(lambda source: self.guests.get(ADDRESSES.get(source.address)), self.service.answer, self.service.view)
        self.do(self.server.listen(self.listener, "lo"))

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def end(self):
        async def cancel():
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        self.do(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.listener.close()
        self.loop.close()

    def change(self, how, *given, now=None):
        """Announce, start or end, as the module does."""
        self.found = how(self.found, *given, now or spool.moment())
        self.spool.write(self.found)
        self.look()
        return self.found

    def look(self):
        """What the service does ten times in a second."""
        self.loop.call_soon_threadsafe(self.service.known.look)
        self.do(asyncio.sleep(0))

    def tidy(self):
        """What the service does each second."""
        async def tidy():
            self.service.tidy()
        self.do(tidy())

    def announce(self, uuid=WEB0, **over):
        one = self.guests[uuid]
        wanted = Wanted(**{
            "type": "Freeze", "uuid": uuid, "name": one.name, "resources": (one.resource,), "availability_set": one.availability_set,
            "duration": 5, "description": PAUSED, **over,
        })
        return self.change(lambda found, now: changes.schedule(found, f"host-of-{one.name}", [wanted], "Platform", 900, now)).events[-1]

    def connect(self, who="127.0.0.10"):
        return socket.create_connection(("127.0.0.1", self.port), 10, (who, 0))

    def raw(self, data, who="127.0.0.10"):
        """Everything that comes back for some bytes, up to the end of the connection."""
        with self.connect(who) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def ask(self, path, who="127.0.0.10", method="GET", body=None, **headers):
        """One request as a client makes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(who, 0))
        connection.request(method, path, body, {"Metadata": "true", **headers})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        kind = answer.getheader("Content-Type", "")
        return types.SimpleNamespace(status=answer.status, headers=answer, body=data, json=json.loads(data) if data and "json" in kind else None)

    def events(self, who="127.0.0.10", version="2020-07-01"):
        found = self.ask(f"/metadata/scheduledevents?api-version={version}", who)
        assert found.status == 200
        return found.json

    def approve(self, event_id, who="127.0.0.10", **headers):
        return self.ask("/metadata/scheduledevents?api-version=2020-07-01", who, "POST", json.dumps({"StartRequests": [{"EventId": event_id}]}), **headers)


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path, record.Settings(dialects=record.DIALECTS, update_domain="42", fault_domain="36", location="westus"))
    yield found
    found.end()
