# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server: connections, their time-outs and limits. What is asked and answered is not its business."""
from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import typing as t

from .answers import NOT_FOUND, Answer, Later, Request, error
from .http import CONTINUE, Broken, Reader, rendered
from .listeners import sender
from .pace import Pace

#: Connections of one client, and of all. One that is known is one client with all its addresses; all who are not known at a bridge are one together.
MAX_PER_CLIENT, MAX_CONNECTIONS = 128, 2048
#: Connections that wait to be taken.
BACKLOG = 1024
#: Seconds between two requests of a connection; for a request to be there whole; for an answer to be taken.
IDLE, REQUEST, WRITE = 120.0, 10.0, 10.0
#: What is still taken of a client whose request was refused, seconds and bytes. A connection that is ended before is reset, and the answer is lost with it
#: (RFC 9112, 9.6).
HEAR_OUT, _HEARD = 2.0, 1024 * 1024
#: Seconds between two looks whether somebody who waits for a change gets his answer.
_LOOK = 0.25
_BLOCK = 16 * 1024

Who = t.TypeVar("Who")


class Source(t.NamedTuple):
    """Where a connection comes from.

    :ivar bridge: The bridge at which it came in.
    :ivar address: Its IP address.
    :ivar sender: The MAC address from which it was begun, `None` where the kernel does not tell.
    """

    bridge: str
    address: str
    sender: str | None


class Server(t.Generic[Who]):
    """Serves what comes in at some sockets.

    :param identify: Gives who asks from somewhere; `None`: nobody who is known.
    :param answer: Gives the answer to whom.
    :param view: Gives what somebody may see now, for those who wait.
    """

    def __init__(
        self, identify: t.Callable[[Source], Who | None], answer: t.Callable[[Request, Who], t.Awaitable[Answer | Later]],
        view: t.Callable[[Who], t.Any],
    ) -> None:
        self._identify = identify
        self._answer = answer
        self._view = view
        #: By client, its connections, the oldest first.
        self._open: dict[t.Hashable, dict[asyncio.Task[None], asyncio.WriteTransport]] = {}
        self._count = 0
        self.pace = Pace()

    async def listen(self, listener: socket.socket, bridge: str) -> asyncio.AbstractServer:
        """Serve what comes in at a socket that listens.

        :param bridge: The bridge that it is bound to.
        """
        return await asyncio.start_server(lambda reader, writer: self._take(reader, writer, bridge), sock=listener, limit=_BLOCK, backlog=BACKLOG)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bridge: str) -> None:
        # At the end of the service; asyncio would tell the journal of each connection that was open.
        with contextlib.suppress(asyncio.CancelledError):
            await self._serve(reader, writer, bridge)

    def _admit(self, client: t.Hashable, task: asyncio.Task[None], connection: asyncio.WriteTransport) -> None:
        """Count a connection. One too many costs an older one: of its own client, or else of the one that has the most.

        So nobody can take another's place, and a guest is not shut out by what it left open before it was started anew.
        """
        if len(self._open.get(client, ())) >= MAX_PER_CLIENT:
            self._drop_oldest(client)
        elif self._count >= MAX_CONNECTIONS:
            self._drop_oldest(max(self._open, key=lambda one: len(self._open[one])))
        self._open.setdefault(client, {})[task] = connection
        self._count += 1

    def _drop_oldest(self, client: t.Hashable) -> None:
        task, connection = next(iter(self._open[client].items()))
        self._leave(client, task)
        connection.abort()
        task.cancel()

    def _leave(self, client: t.Hashable, task: asyncio.Task[None]) -> None:
        mine = self._open.get(client, {})
        if mine.pop(task, None) is not None:
            self._count -= 1
            if not mine:
                del self._open[client]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bridge: str) -> None:
        peer, task = writer.get_extra_info("peername"), asyncio.current_task()
        if peer is None or task is None:  # it has gone already
            writer.transport.abort()
            return
        source = Source(bridge, peer[0], sender(writer.get_extra_info("socket")))
        client = self._identify(source) or bridge
        self._admit(client, task, writer.transport)
        writer.transport.set_write_buffer_limits(high=_BLOCK)
        try:
            # A client that is paused, or goes away, is none of our concern.
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
                await self._converse(reader, writer, source, client)
            # What is not sent yet still is, as long as the client takes it.
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), WRITE)
        finally:
            writer.transport.abort()
            self._leave(client, task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Source, client: t.Hashable) -> None:
        requests = Reader()
        while True:
            try:
                request = await self._next(requests, reader, writer)
            except Broken as broken:
                await self._send(writer, error(broken.status, str(broken)), head=False, keep_alive=False)
                await asyncio.wait_for(self._hear_out(reader, writer), HEAR_OUT)
                return
            if request is None:
                return
            await asyncio.sleep(self.pace.delay(client, time.monotonic()))
            # Who it is is asked each time: this may be another by now.
            who = self._identify(source)
            answer = NOT_FOUND if who is None else await self._ask(request, who, lambda: reader.at_eof() or writer.is_closing())
            await self._send(writer, answer, head=request.method == "HEAD", keep_alive=request.keep_alive)
            if not request.keep_alive:
                return

    @staticmethod
    async def _hear_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard = 0
        while heard < _HEARD:
            block = await reader.read(_BLOCK)
            if not block:
                return
            heard += len(block)

    async def _next(self, requests: Reader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        """The next request, `None` when the client has ended the connection."""
        request = requests.next_request()
        if request is not None:
            return request
        if not requests.is_amid:
            # Not wait_for, which makes a task of it: that would cost as much as the answer.
            idle = asyncio.get_running_loop().call_later(IDLE, writer.transport.abort)
            try:
                block = await reader.read(_BLOCK)
            finally:
                idle.cancel()
            if not block:
                return None
            requests.feed(block)
            request = requests.next_request()
            if request is not None:  # mostly
                return request
        try:
            return await asyncio.wait_for(self._rest(requests, reader, writer), REQUEST)
        except asyncio.TimeoutError as late:
            raise Broken(408, "Bad request. It was not there in time") from late

    async def _rest(self, requests: Reader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        told = False
        while True:
            request = requests.next_request()
            if request is not None:
                return request
            if requests.waits_for_body and not told:
                told = True
                writer.write(CONTINUE)
            block = await reader.read(_BLOCK)
            if not block:
                return None
            requests.feed(block)

    async def _ask(self, request: Request, who: Who, is_gone: t.Callable[[], bool]) -> Answer:
        answer = await self._answer(request, who)
        if not isinstance(answer, Later):
            return answer
        end = time.monotonic() + answer.timeout
        while not is_gone():
            found = answer.again(self._view(who), time.monotonic() >= end)
            if found is not None:
                return found
            await asyncio.sleep(_LOOK)
        raise ConnectionAbortedError("who waited has gone")

    @staticmethod
    async def _send(writer: asyncio.StreamWriter, answer: Answer, *, head: bool, keep_alive: bool) -> None:
        writer.write(rendered(answer, head=head, keep_alive=keep_alive, now=time.time()))
        if writer.transport.get_write_buffer_size():
            await asyncio.wait_for(writer.drain(), WRITE)
