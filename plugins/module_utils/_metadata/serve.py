# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that answers guests: it knows who asks, what they may see, and writes down what they approve."""
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import typing as t

from .._events import approvals, health
from .._events.approvals import Approval
from .._events.places import EventPlaces
from .._events.record import Guest
from .._events.spool import moment
from .._system.neighbours import Neighbours
from . import azure, ec2, google
from .answers import NOT_FOUND, Answer, Later, Request
from .caller import caller
from .known import Known
from .listeners import index, listener
from .server import Server, Source
from .view import View

#: Seconds between two looks at the documents, and between two looks at the bridges.
_LOOK, _TIDY = 0.1, 1.0
#: Seconds that an answer waits for its approval to be on disk. Clients give up after five.
_PATIENCE = 2.0


class _Dialect(t.Protocol):
    """A way in which guests ask; a module."""

    def handles(self, path: str) -> bool:
        """Whether a path is one of it."""

    def answer(self, request: Request, view: View) -> Answer | Later:
        """What the guest gets."""


#: By their names in the settings.
DIALECTS: dict[str, _Dialect] = {"azure": azure, "google": google, "ec2": ec2}


def say(words: str) -> None:
    """Tell the journal. One that does not take a line must not hold up an answer."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()


class Service:
    """What is asked, and by whom.

    :param places: Where the documents are.
    """

    def __init__(self, places: EventPlaces) -> None:
        self.places = places
        self.known = Known(places)
        self.known.look()
        self.neighbours = Neighbours()
        self.asked: dict[str, float] = {}
        #: Approvals that could not be written yet, by the event's id.
        self.waiting: dict[str, Approval] = {}
        self._approved: set[str] = set()
        #: Of those that wait: the ones that are being written, and what the last try met.
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, str] = {}

    def identify(self, source: Source) -> Guest | None:
        """The guest that asks from somewhere."""
        return caller(self.known.guests, self.neighbours, source.bridge, source.address, source.sender)

    async def answer(self, request: Request, guest: Guest) -> Answer | Later:
        """The answer to a guest."""
        self.asked[guest.uuid] = time.time()
        spoken = [DIALECTS[name] for name in self.known.settings.dialects if name in DIALECTS]
        dialect = next((one for one in spoken if one.handles(request.path)), None)
        if dialect is None:
            return NOT_FOUND
        ids: list[str] = []
        found = dialect.answer(request, self.view(guest, ids.append))
        for one in ids:
            await self._approve(one, Approval(guest.uuid, guest.name, time.time()))
        return found

    def view(self, guest: Guest, approve: t.Callable[[str], None] = lambda _event_id: None) -> View:
        """What a guest may see now.

        :param approve: What is done with an approval.
        """
        return View(guest, self.known.settings, self.known.of_group(guest.group), moment(), approve)

    async def _approve(self, event_id: str, approval: Approval) -> None:
        if event_id not in self._approved and event_id not in self.waiting:
            self.waiting[event_id] = approval
            # A disk that hangs must not keep the guest from its answer: the approval is known, and written when that is possible.
            await asyncio.wait({self._write(event_id)}, timeout=_PATIENCE)

    def _write(self, event_id: str) -> asyncio.Task[None]:
        """Begin to write an approval down that waits for it. What becomes of that is seen to in the task, which raises nothing."""
        if event_id not in self._writing:
            self._writing[event_id] = asyncio.ensure_future(self._written(event_id, self.waiting[event_id]))
        return self._writing[event_id]

    async def _written(self, event_id: str, approval: Approval) -> None:
        """Write an approval down. One that cannot be written is kept, and tried again."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._write_now, event_id, approval)
        except FileNotFoundError:  # the event has gone meanwhile
            self.waiting.pop(event_id, None)
        except OSError as error:
            why = error.strerror or str(error)
            if self._refused.get(event_id) != why:
                say(f"the approval of event {event_id} by guest {approval.name} could not be written ({why}); it is tried again")
            self._refused[event_id] = why
        else:
            say(f"guest {approval.name} has approved event {event_id}")
            self._approved.add(event_id)
            self.waiting.pop(event_id, None)
        finally:
            del self._writing[event_id]

    def _write_now(self, event_id: str, approval: Approval) -> None:
        # The first one counts, also one of before this service was started.
        if approvals.read(self.places.approvals, event_id) is None:
            approvals.overwrite(self.places.approvals, event_id, approval)

    def tidy(self) -> None:
        """Begin to write what could not be written, and forget what is not there any more."""
        ids = {event.id for event in self.known.announcements.events}
        self._approved &= ids
        self.waiting = {one: approval for one, approval in self.waiting.items() if one in ids}
        self._refused = {one: why for one, why in self._refused.items() if one in self.waiting}
        for event_id in self.waiting:
            self._write(event_id)
        uuids = {one.uuid for one in self.known.guests.guests}
        self.neighbours.forget()
        self.asked = {uuid: at for uuid, at in self.asked.items() if uuid in uuids}


class _Listening:
    """The bridges at which the service listens."""

    def __init__(self, server: Server[Guest]) -> None:
        self._server = server
        self._open: dict[str, tuple[tuple[int, str, int], asyncio.AbstractServer]] = {}
        self.deaf: dict[str, str] = {}

    @property
    def bridges(self) -> list[str]:
        """Those where it does."""
        return sorted(self._open)

    async def follow(self, wanted: t.Iterable[str], address: str, port: int) -> None:
        """Listen at these bridges, and at no other."""
        keys = {bridge: (index(bridge), address, port) for bridge in wanted}
        for bridge in [one for one, (key, _server) in self._open.items() if keys.get(one) != key]:
            self._open.pop(bridge)[1].close()
        self.deaf = {bridge: why for bridge, why in self.deaf.items() if bridge in keys}
        for bridge, key in keys.items():
            if bridge in self._open:
                continue
            try:
                self._open[bridge] = key, await self._server.listen(listener(bridge, address, port), bridge)
            except OSError as error:
                why = f"it cannot listen at {address}:{port} there ({error.strerror or error})"
                if self.deaf.get(bridge) != why:
                    say(f"bridge {bridge}: {why}; it is tried again")
                self.deaf[bridge] = why
            else:
                self.deaf.pop(bridge, None)
                say(f"bridge {bridge}: guests are answered at {address}:{port}")

    def close(self) -> None:
        """Take no more connections."""
        for _key, server in self._open.values():
            server.close()


async def _answer_health(places: EventPlaces, found: t.Callable[[], health.Health]) -> asyncio.AbstractServer:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(health.line(found()))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    with contextlib.suppress(FileNotFoundError):
        os.unlink(places.health)
    return await asyncio.start_unix_server(answer, places.health)


async def _serve(places: EventPlaces) -> None:
    service = Service(places)
    server: Server[Guest] = Server(service.identify, service.answer, service.view)
    listening = _Listening(server)
    started = time.time()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    answering = await _answer_health(places, lambda: health.Health(
        os.getpid(), started, listening.bridges, listening.deaf, service.asked, sorted(service.waiting), service.known.trouble,
    ))
    tidied = -_TIDY
    trouble: list[str] = []
    while not stop.is_set():
        service.known.look()
        if service.known.trouble != trouble:
            trouble = service.known.trouble
            for one in trouble:
                say(one)
        if time.monotonic() - tidied >= _TIDY:
            tidied = time.monotonic()
            settings = service.known.settings
            await listening.follow(service.known.guests.bridges, settings.address, settings.port)
            service.tidy()
            server.pace.forget(tidied)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK)
    listening.close()
    answering.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(places.health)


def run(places: EventPlaces) -> int:
    """Serve until the process is told to end.

    :returns: The exit code.
    """
    asyncio.run(_serve(places))
    return 0
