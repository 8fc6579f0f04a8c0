# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests ask, and what they get. Pure."""
from __future__ import annotations

import dataclasses
import json
import typing as t


@dataclasses.dataclass(frozen=True)
class Request:
    """One request, whole.

    :ivar method: As it was sent, such as `GET`.
    :ivar path: Percent-decoded, from the first slash on.
    :ivar query: Names and values in their order, decoded.
    :ivar headers: Names in lower case, and values, in their order.
    :ivar body: Its body, whatever its length was told by.
    :ivar keep_alive: The client keeps the connection.
    :ivar http_1_1: It speaks HTTP/1.1.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    keep_alive: bool = True
    http_1_1: bool = True

    def header(self, name: str) -> str | None:
        """The value of a header, several ones joined by a comma (RFC 9110, 5.3); `None` when it has none.

        :param name: In lower case.
        """
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def parameters(self, name: str) -> list[str]:
        """The values of a query parameter, whose name counts in any case."""
        return [value for key, value in self.query if key.lower() == name]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is sent back.

    :ivar status: HTTP's number.
    :ivar body: The body; for `HEAD` only its length is sent.
    :ivar content_type: Its type.
    :ivar headers: More headers, names and values.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Later:
    """There is nothing to say until something changes.

    :ivar timeout: Seconds after which the client gets an answer all the same; infinite: it waits as long as it likes.
    :ivar again: Gives the answer by what is known then (a `View`), or `None` while there still is none; the second argument says that the time is over.
    """

    timeout: float
    again: t.Callable[[t.Any, bool], Answer | None]


def as_json(document: t.Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), headers=headers)


def error(status: int, message: str, **more: t.Any) -> Answer:
    """An answer that says what is wrong with a request."""
    return as_json({"error": message, **more}, status)


#: What whoever is not known gets, whatever it asks, and what a path that is none gets.
NOT_FOUND = error(404, "Not found")


def text(words: str) -> Answer:
    """An answer in plain text."""
    return Answer(200, words.encode("utf-8", "replace"), "text/plain; charset=utf-8")


def matches(etag: str, given: str | None) -> bool:
    """Whether `If-None-Match` names an etag, with or without its quotes and `W/`, one of a list, or any (`*`).

    :param etag: Without quotes.
    :param given: The header's value, `None`: there is none.
    """
    if given is None:
        return False
    for one in given.split(","):
        word = one.strip()
        word = word[2:] if word.startswith("W/") else word
        if word == "*" or word.strip('"') == etag:
            return True
    return False
