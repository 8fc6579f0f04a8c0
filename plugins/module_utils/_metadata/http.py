# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading HTTP/1.0 and 1.1 requests from bytes as they come, strictly, and writing answers. Pure.

Source: RFC 9112. Where it leaves a choice, what could be read in two ways is refused. No input makes it use more than `MAX_HEAD` and `MAX_BODY`.
"""
from __future__ import annotations

import email.utils
import functools
import http
import re
import urllib.parse

from .answers import Answer, Request

#: Bytes of the request line and the headers together.
MAX_HEAD = 16 * 1024
#: Bytes of a body, also in chunks, with what the chunks bring along.
MAX_BODY = 32 * 1024
_MAX_HEADERS = 64
_MAX_LINE = 256

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/1\.([01])", re.ASCII)
#: White space around the value is stripped later: a pattern that has it beside what matches it as well takes the cube of its length.
_HEADER = re.compile(rf"({_TOKEN}):([^\x00-\x08\x0a-\x1f\x7f]*)")
#: The host ends with the path or the query, whichever comes first (RFC 3986, 3.2).
_ABSOLUTE = re.compile(r"(?i:https?)://[^/?#]*(.*)")
#: Letters of a host and its port (RFC 3986, 3.2.2).
_HOST = re.compile(r"[0-9A-Za-z._~!$&'()*+,;=%:\[\]-]*")
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class Broken(Exception):
    """A request that cannot be read. Nothing that follows on its connection can be, either.

    :param status: The status of the answer.
    :param message: What is wrong with it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Head:
    """What stands before the body."""

    def __init__(self, raw: bytes) -> None:
        lines = raw.decode("latin-1").split("\r\n")
        found = _REQUEST_LINE.fullmatch(lines[0])
        if found is None:
            raise Broken(400, "Bad request. The request line is malformed")
        self.method, target, minor = found.groups()
        self.http_1_1 = minor == "1"
        self.headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            pair = _HEADER.fullmatch(line)
            if pair is None:
                raise Broken(400, "Bad request. A header is malformed")
            self.headers.append((pair[1].lower(), pair[2].strip(" \t")))
        if len(self.headers) > _MAX_HEADERS:
            raise Broken(431, "Bad request. There are too many headers")
        self.path, self.query = _target(target)
        hosts = self._values("host")
        if len(hosts) > 1 or (self.http_1_1 and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            raise Broken(400, "Bad request. There is not just one Host header, with a host")
        self.chunked, self.length = self._framing()

    def _values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def _framing(self) -> tuple[bool, int]:
        """Whether the body comes in chunks, and its length otherwise. A proxy and we must never disagree on this."""
        codings, lengths = self._values("transfer-encoding"), self._values("content-length")
        if codings:
            if lengths or not self.http_1_1 or [one.lower() for one in codings] != ["chunked"]:
                raise Broken(400, "Bad request. The transfer encoding is not one that is understood here")
            return True, 0
        if not lengths:
            return False, 0
        if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
            raise Broken(400, "Bad request. The content length is malformed")
        if int(lengths[0]) > MAX_BODY:
            raise Broken(413, "Bad request. The body is too large")
        return False, int(lengths[0])

    def keep_alive(self) -> bool:
        options = {word.strip().lower() for value in self._values("connection") for word in value.split(",")}
        return "close" not in options and (self.http_1_1 or "keep-alive" in options)

    def expects(self) -> bool:
        return self.http_1_1 and [one.lower() for one in self._values("expect")] == ["100-continue"]

    def request(self, body: bytes) -> Request:
        return Request(self.method, self.path, self.query, tuple(self.headers), body, self.keep_alive(), self.http_1_1)


def _target(target: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:  # as a proxy gets it; every server has to take it (RFC 9112, 3.2.2)
        target = absolute[1] if absolute[1].startswith("/") else f"/{absolute[1]}"
    if not target.startswith("/") or "#" in target:
        raise Broken(400, "Bad request. The request target is malformed")
    path, _mark, query = target.partition("?")
    try:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_HEADERS)
    except ValueError as error:
        raise Broken(400, "Bad request. There are too many query parameters") from error
    return urllib.parse.unquote(path), tuple(pairs)


class Reader:
    """Requests from one connection's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._body = bytearray()
        self._chunk: int | None = None
        self._overhead = 0
        self._trailers = False

    def feed(self, data: bytes) -> None:
        """Take more bytes. A caller that stops while `next_request` has something to say keeps this small."""
        self._buffer += data

    @property
    def is_amid(self) -> bool:
        """Whether a part of a request is there."""
        return self._head is not None or bool(self._buffer)

    @property
    def waits_for_body(self) -> bool:
        """Whether the client wants to be told to go on before it sends the body (`Expect: 100-continue`)."""
        return self._head is not None and self._head.expects() and not self._body and not self._buffer

    def next_request(self) -> Request | None:
        """The next request, `None`: more bytes are needed.

        :raises Broken: It cannot be read; the connection is to be closed.
        """
        head = self._head = self._head or self._read_head()
        if head is None:
            return None
        if head.chunked:
            if not self._read_chunks():
                return None
        else:
            if len(self._buffer) < head.length:
                return None
            self._body += self._buffer[:head.length]
            del self._buffer[:head.length]
        request = head.request(bytes(self._body))
        self._head, self._chunk, self._overhead, self._trailers = None, None, 0, False
        self._body.clear()
        return request

    def _read_head(self) -> _Head | None:
        while self._buffer.startswith(b"\r\n"):  # some clients send one too many after a body (RFC 9112, 2.2)
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD + 4)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                line_ended = b"\r\n" in self._buffer
                raise Broken(431 if line_ended else 414, f"Bad request. The {'headers are' if line_ended else 'request line is'} too long")
            # What is no HTTP is told so at once, and not only when its end comes.
            line = self._buffer.partition(b"\r\n")[0] if b"\r\n" in self._buffer else self._buffer
            if b"\n" in line or b"\0" in line:
                raise Broken(400, "Bad request. The request line is malformed")
            return None
        found = _Head(bytes(self._buffer[:end]))
        del self._buffer[:end + 4]
        return found

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_LINE + 2)
        if end < 0:
            if len(self._buffer) > _MAX_LINE:
                raise Broken(400, "Bad request. A chunk is malformed")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[:end + 2]
        self._overhead += end + 2
        if self._overhead > MAX_BODY:
            raise Broken(413, "Bad request. The body is too large")
        return line

    def _read_chunks(self) -> bool:
        """Read as far as there is something. Whether the body is whole."""
        while True:
            if self._trailers:
                line = self._line()
                if line is None:
                    return False
                if not line:
                    return True
                continue  # trailers are not used
            if self._chunk is None:
                line = self._line()
                if line is None:
                    return False
                found = _CHUNK.fullmatch(line)
                if found is None:
                    raise Broken(400, "Bad request. A chunk is malformed")
                self._chunk = int(found[1], 16)
                self._trailers = self._chunk == 0
                if len(self._body) + self._chunk > MAX_BODY:
                    raise Broken(413, "Bad request. The body is too large")
                continue
            if len(self._buffer) < self._chunk + 2:
                return False
            if self._buffer[self._chunk:self._chunk + 2] != b"\r\n":
                raise Broken(400, "Bad request. A chunk is malformed")
            self._body += self._buffer[:self._chunk]
            del self._buffer[:self._chunk + 2]
            self._chunk = None


@functools.lru_cache(maxsize=1024)
def moment(seconds: int) -> str:
    """A moment as HTTP and the documents have it, RFC 1123 in GMT, whatever the locale is; seconds since the epoch."""
    return email.utils.formatdate(seconds, usegmt=True)


def rendered(answer: Answer, *, head: bool, keep_alive: bool, now: float) -> bytes:
    """The bytes of an answer.

    :param head: The request's method was `HEAD`.
    :param keep_alive: The connection stays open.
    :param now: Wall clock, seconds since the epoch.
    """
    lines = [
        f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}", f"Date: {moment(int(now))}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}", *(f"{name}: {value}" for name, value in answer.headers),
    ]
    if answer.status != 304:
        lines += [f"Content-Type: {answer.content_type}", f"Content-Length: {len(answer.body)}"]
    text = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return text if head or answer.status == 304 else text + answer.body


#: What a client that waits for it gets before it sends its body.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
