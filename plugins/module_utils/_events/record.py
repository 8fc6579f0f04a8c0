# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of scheduled events on a host: what is announced, which guests there are, how the service is set. Pure.

Ansible writes `events.json`, the watcher of the host `guests.json`, the role the settings. The service that answers guests reads all three and writes none.
"""
from __future__ import annotations

import dataclasses
import re
import socket
import typing as t

from .._core.errors import LedgerError
from .._core.records import checked

VERSION = 1
#: Azure's types of events; we announce the first two.
TYPES = ("Freeze", "Reboot", "Redeploy", "Preempt", "Terminate")
#: `Completed` is ours alone: guests see it as `Started` for `LINGER` seconds, and then no more.
STATUSES = ("Scheduled", "Started", "Completed")
SOURCES = ("Platform", "User")
DIALECTS = ("azure", "google", "ec2")
#: Seconds for which a guest that was paused itself still finds its event, as started, when it is over.
LINGER = 10.0
#: Seconds after its NotBefore when an event that was never started is not shown any more: whoever announced it has died.
EXPIRES = 3600.0

_GUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


def is_event_id(text: str) -> bool:
    """Whether a text is the id of an event: a GUID in upper case."""
    return _GUID.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment on a host, by a clock that no one sets and by the wall clock.

    :ivar boot_id: The boot of the host.
    :ivar boottime: `CLOCK_BOOTTIME` seconds in that boot.
    :ivar wall: Seconds since the epoch.
    """

    boot_id: str
    boottime: float
    wall: float

    def since(self, earlier: Moment) -> float:
        """Seconds from an earlier moment to this one, never negative; over a reboot of the host by the wall clock."""
        if self.boot_id == earlier.boot_id:
            return max(0.0, self.boottime - earlier.boottime)
        return max(0.0, self.wall - earlier.wall)


@dataclasses.dataclass
class Event:
    """One announced event, of one guest.

    :ivar id: A GUID in upper case, the same from the announcement to the end.
    :ivar type: One of `TYPES`.
    :ivar status: One of `STATUSES`.
    :ivar uuid: The guest's UUID.
    :ivar name: libvirt's name of the guest.
    :ivar resources: The names that guests know it by.
    :ivar availability_set: Its availability set, whose other guests see the event too; `None` without one.
    :ivar host: The inventory name of the host that is updated.
    :ivar not_before: Wall clock before which it does not begin unless it was approved; seconds since the epoch.
    :ivar notice: Seconds of notice that were promised.
    :ivar duration: Seconds that the guest is expected to be away; -1 when not known.
    :ivar description: One sentence for the guest's users.
    :ivar source: One of `SOURCES`.
    :ivar announced: When it was announced on this host.
    :ivar started: When it began.
    :ivar completed: When it was over.
    :ivar gone_incarnation: The incarnation from the moment on when it has gone without another change: completed, or expired. 0: it does not go by itself.
    """

    id: str
    type: str
    status: str
    uuid: str
    name: str
    resources: list[str]
    availability_set: str | None
    host: str
    not_before: int
    notice: int
    duration: int
    description: str
    source: str
    announced: Moment
    started: Moment | None
    completed: Moment | None
    gone_incarnation: int

    @property
    def group(self) -> str:
        """Who sees it."""
        return group_of(self.uuid, self.availability_set)


def group_of(uuid: str, availability_set: str | None) -> str:
    """The name of a guest's group: its availability set, or the guest alone."""
    return f"guest:{uuid}" if availability_set is None else f"set:{availability_set}"


@dataclasses.dataclass
class Announcements:
    """All that is announced on a host: `events.json`.

    :ivar incarnation: That of the last change. All guests of a host count alike: so none ever sees it go back, also one that is given to another set.
    :ivar counter: The last incarnation that was given away, also to an event for when it will have gone.
    :ivar events: The events, in the order of their announcement.
    """

    incarnation: int
    counter: int
    events: list[Event]


@dataclasses.dataclass(frozen=True)
class Interface:
    """A network interface of a guest that ends at a bridge.

    :ivar mac: Its address, in lower case with colons.
    :ivar device: The device on the host, such as `vnet3`.
    :ivar bridge: The bridge.
    """

    mac: str
    device: str
    bridge: str


@dataclasses.dataclass(frozen=True)
class Guest:
    """A running guest as the service knows it.

    :ivar uuid: libvirt's UUID.
    :ivar name: libvirt's name.
    :ivar resource: The name that it goes by in events and instance data.
    :ivar availability_set: Its availability set, or `None`.
    :ivar tags: `key:value` pairs, separated by semicolons.
    :ivar os_type: `Linux` or `Windows`.
    :ivar since: Incarnations begin here for it: when its QEMU was started, in seconds since `EPOCH`.
    :ivar interfaces: Its interfaces at bridges.
    """

    uuid: str
    name: str
    resource: str
    availability_set: str | None
    tags: str
    os_type: str
    since: int
    interfaces: tuple[Interface, ...]

    @property
    def group(self) -> str:
        """The group whose events it sees."""
        return group_of(self.uuid, self.availability_set)


#: Incarnations are counted in seconds from here, 2024-01-01 in UTC: small enough for clients that read 32 bits.
EPOCH = 1704067200


@dataclasses.dataclass(frozen=True)
class Guests:
    """The running guests of a host, and the bridges at which they are served: `guests.json`.

    :ivar guests: The guests.
    :ivar bridges: Bridges that are served, by name: `linux` or `openvswitch`.
    """

    guests: tuple[Guest, ...]
    bridges: dict[str, str]


@dataclasses.dataclass(frozen=True)
class GuestSettings:
    """What the inventory says of a guest; `None` leaves it to the guest's own metadata."""

    resource: str | None = None
    availability_set: str | None = None
    tags: str | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the service is set.

    :ivar address: Where guests ask.
    :ivar port: The port there.
    :ivar bridges: The bridges to serve; empty: each at which a running guest has an interface.
    :ivar dialects: Which of `DIALECTS` are spoken.
    :ivar update_domain: The host's update domain, as guests see it.
    :ivar fault_domain: Its fault domain.
    :ivar location: Where it is.
    :ivar guests: By libvirt's name of the guest.
    """

    address: str = "169.254.169.254"
    port: int = 80
    bridges: tuple[str, ...] = ()
    dialects: tuple[str, ...] = DIALECTS[:1]
    update_domain: str = ""
    fault_domain: str = ""
    location: str = ""
    guests: t.Mapping[str, GuestSettings] = dataclasses.field(default_factory=dict)


_MOMENT: dict[str, tuple[type, ...]] = {"boot_id": (str,), "boottime": (int, float), "wall": (int, float)}
_EVENT: dict[str, tuple[type, ...]] = {
    "id": (str,), "type": (str,), "status": (str,), "uuid": (str,), "name": (str,), "resources": (list,), "availability_set": (str,), "host": (str,),
    "not_before": (int,), "notice": (int,), "duration": (int,), "description": (str,), "source": (str,), "announced": (dict,), "started": (dict,),
    "completed": (dict,), "gone_incarnation": (int,),
}
_INTERFACE: dict[str, tuple[type, ...]] = {"mac": (str,), "device": (str,), "bridge": (str,)}
_GUEST: dict[str, tuple[type, ...]] = {
    "uuid": (str,), "name": (str,), "resource": (str,), "availability_set": (str,), "tags": (str,), "os_type": (str,), "since": (int,), "interfaces": (list,),
}
_GUEST_SETTINGS: dict[str, tuple[type, ...]] = {"resource": (str,), "availability_set": (str,), "tags": (str,)}
_SETTINGS: dict[str, tuple[type, ...]] = {
    "address": (str,), "port": (int,), "bridges": (list,), "dialects": (list,), "update_domain": (str,), "fault_domain": (str,), "location": (str,),
    "guests": (dict,),
}


def _document(document: t.Any, types: dict[str, tuple[type, ...]], what: str) -> dict[str, t.Any]:
    raw = checked(document, {"version": (int,), **types}, (), what)
    if raw["version"] != VERSION:
        raise LedgerError(f"{what} has version {raw['version']}, this release reads only {VERSION}")
    return {key: raw[key] for key in types}


def _texts(values: t.Any, what: str) -> tuple[str, ...]:
    if not all(isinstance(one, str) for one in values):
        raise LedgerError(f"{what} are not all text")
    return tuple(values)


def _moment(raw: t.Any, what: str) -> Moment | None:
    return None if raw is None else Moment(**checked(raw, _MOMENT, (), what))


def _event(raw: t.Any, number: int) -> Event:
    what = f"event {number}"
    found = dict(checked(raw, _EVENT, {"availability_set", "started", "completed"}, what))
    if not is_event_id(found["id"]) or found["type"] not in TYPES or found["status"] not in STATUSES or found["source"] not in SOURCES:
        raise LedgerError(f"{what} makes no sense")
    found["resources"] = list(_texts(found["resources"], f"the resources of {what}"))
    for key in ("announced", "started", "completed"):
        found[key] = _moment(found[key], f"{key} of {what}")
    if (found["status"] == "Completed") is not (found["completed"] is not None):
        raise LedgerError(f"{what} is {found['status']}, and its end does not say so")
    return Event(**found)


def announcements_document(announcements: Announcements) -> dict[str, t.Any]:
    """The JSON document of what is announced."""
    return {"version": VERSION, **dataclasses.asdict(announcements)}


def announcements(document: t.Any) -> Announcements:
    """What is announced, from its JSON document, every key and type checked.

    :raises LedgerError: The document is not one that `announcements_document` wrote.
    """
    raw = _document(document, {"incarnation": (int,), "counter": (int,), "events": (list,)}, "the document of events")
    return Announcements(raw["incarnation"], raw["counter"], [_event(one, number) for number, one in enumerate(raw["events"], 1)])


def guests_document(guests: Guests) -> dict[str, t.Any]:
    """The JSON document of the running guests."""
    return {"version": VERSION, "guests": [dataclasses.asdict(one) for one in guests.guests], "bridges": guests.bridges}


def guests(document: t.Any) -> Guests:
    """The running guests, from their JSON document.

    :raises LedgerError: The document is not one that `guests_document` wrote.
    """
    raw = _document(document, {"guests": (list, tuple), "bridges": (dict,)}, "the document of guests")
    found = []
    for number, one in enumerate(raw["guests"], 1):
        guest = dict(checked(one, {**_GUEST, "interfaces": (list, tuple)}, {"availability_set"}, f"guest {number}"))
        guest["interfaces"] = tuple(Interface(**checked(each, _INTERFACE, (), f"an interface of guest {number}")) for each in guest["interfaces"])
        found.append(Guest(**guest))
    return Guests(tuple(found), dict(checked(raw["bridges"], dict.fromkeys(raw["bridges"], (str,)), (), "the bridges")))


def _is_ipv4(text: str) -> bool:
    """Whether a text is an address, in four numbers: a name would be looked up in the network."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def settings_document(settings: Settings) -> dict[str, t.Any]:
    """The JSON document of the settings."""
    return {"version": VERSION, **dataclasses.asdict(settings)}


def settings(document: t.Any) -> Settings:
    """The settings, from their JSON document.

    :raises LedgerError: The document is not one that the role writes.
    """
    raw = dict(_document(document, {**_SETTINGS, "bridges": (list, tuple), "dialects": (list, tuple)}, "the settings"))
    raw["bridges"], raw["dialects"] = _texts(raw["bridges"], "the bridges"), _texts(raw["dialects"], "the dialects")
    if not set(raw["dialects"]) <= set(DIALECTS):
        raise LedgerError(f"the settings name a dialect other than {', '.join(DIALECTS)}")
    if not _is_ipv4(raw["address"]) or not 0 < raw["port"] < 65536:
        raise LedgerError(f"the settings have {raw['address']}:{raw['port']} as an address of IPv4 and a port, which it is not")
    raw["guests"] = {
        name: GuestSettings(**checked(
            {**dict.fromkeys(_GUEST_SETTINGS), **one} if isinstance(one, dict) else one, _GUEST_SETTINGS, set(_GUEST_SETTINGS),
            f"the settings of guest {name!r}",
        ))
        for name, one in raw["guests"].items()
    }
    return Settings(**{key: value for key, value in raw.items() if key != "version"})
