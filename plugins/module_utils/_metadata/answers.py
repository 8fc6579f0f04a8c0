# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dialect is given and what it gives back: a request, what its guest may see, an answer. Pure."""
from __future__ import annotations

import dataclasses
import json
import typing as t

from .._events.record import Event, Guest, Settings


@dataclasses.dataclass(frozen=True)
class Request:
    """A request that was read whole.

    :ivar method: As it was sent, such as `GET`.
    :ivar path: Percent-decoded, begins with a slash.
    :ivar query: The parameters in the order in which they came, percent-decoded.
    :ivar headers: By name in lower case, the values in the order in which they came.
    :ivar body: The whole body.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    body: bytes = b""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer.

    :ivar status: HTTP's status.
    :ivar body: The body; of an answer to HEAD too, whose length alone is sent then.
    :ivar content_type: The type of the body.
    :ivar headers: Further headers.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Later:
    """Not yet: ask the dialect again when what the guest sees has changed, or the time is over (then with `waited` set).

    :ivar seconds: How long to wait at the most.
    """

    seconds: float


class View(t.Protocol):
    """What one guest may see and do. Made anew for each request.

    :ivar guest: Who is asking.
    :ivar settings: How the service is set.
    :ivar events: The events that this guest sees now; what is over lingers as `Started`.
    :ivar incarnation: The incarnation of these events for this guest.
    :ivar waited: The time of a `Later` is over.
    """

    guest: Guest
    settings: Settings
    events: t.Sequence[Event]
    incarnation: int
    waited: bool

    def approve(self, event: Event) -> None:
        """Record that this guest lets an event begin. Safe to repeat."""


#: A dialect: answers the paths below its own, `None` for any other.
Dialect = t.Callable[[Request, View], t.Union[Answer, Later, None]]


def json_answer(status: int, document: t.Any, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer with a JSON document."""
    return Answer(status, json.dumps(document, separators=(",", ":")).encode("ascii"), headers=headers)
