# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher of the host: it tells the service which guests there are, from libvirt's own files, and sees that they can reach it.

It asks libvirtd nothing, and so goes on when that is down, which is the case in every update of it.
"""
from __future__ import annotations

import contextlib
import grp
import os
import signal
import threading
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core.errors import LedgerError
from .._core.places import SYSTEM_URI, places as libvirt_places
from .._core.throwaway import is_throwaway
from .._events import guests as known_guests
from .._events.places import GROUP, EventPlaces
from .._events.record import EPOCH, Guest, Guests, Interface, guests, guests_document
from .._events.spool import read_document, write_document
from .._system import bridges, netdev
from .._system.bridges import CommandFailed
from .addresses import FAMILIES, TABLE, Bridge, arp_rules, makes_table, needs_rules, no_rules, rules
from .caller import LINUX
from .known import Known
from .serve import say

OPEN_VSWITCH = "openvswitch"
#: Seconds between two looks at the guests, and between two looks at whether addresses and rules are still there.
_LOOK, _CHECK = 1.0, 5.0
#: Seconds between two questions whether nft is there: it may be installed later.
_NFT = 60.0


class _Statuses:
    """libvirt's status files, each parsed anew only when it has changed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[tuple[int, ...], ET.Element | None]] = {}

    def domains(self) -> list[ET.Element]:
        """The definitions of the guests that run, with their metadata."""
        found: dict[str, tuple[tuple[int, ...], ET.Element | None]] = {}
        with contextlib.suppress(FileNotFoundError):  # libvirt was never started
            for name in sorted(os.listdir(self._folder)):
                if name.endswith(".xml"):
                    with contextlib.suppress(FileNotFoundError):
                        path = os.path.join(self._folder, name)
                        key = _key(path)
                        before = self._seen.get(name)
                        found[name] = before if before is not None and before[0] == key else (key, _domain(path))
        self._seen = found
        return [domain for _key, domain in found.values() if domain is not None]


def _key(path: str) -> tuple[int, ...]:
    seen = os.stat(path)
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _domain(path: str) -> ET.Element | None:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, LookupError, ValueError, OSError):  # half written; the next look finds another one
        return None
    domain = root.find("domain") if root.tag == "domstatus" else None
    return None if domain is None or is_throwaway(domain.findtext("name", ""), domain.findtext("uuid", "")) else domain


def _at_bridge(link: known_guests.Link) -> tuple[str, str] | None:
    """The bridge that a guest's device is really a port of, and its kind; `None`: it is at none that can be served."""
    above = bridges.master(link.device)
    if above and bridges.is_linux_bridge(above):
        return above, LINUX
    if link.openvswitch and bridges.is_device(link.bridge):
        return link.bridge, OPEN_VSWITCH
    return None


def _is_up(device: str) -> bool:
    try:
        return netdev.is_up(device)
    except OSError:  # it has just gone
        return False


def _served(found: t.Sequence[Guest], kinds: t.Mapping[str, str], wanted: t.Container[str] | None, has_nft: bool) -> tuple[list[Bridge], dict[str, str]]:
    """The Linux bridges that are served, and why others are not.

    :param wanted: Only these; `None`: all.
    """
    linux, not_served = [], {}
    for name, kind in kinds.items():
        if wanted is not None and name not in wanted:
            not_served[name] = "the settings leave it out"
            continue
        if kind != LINUX:
            # Its guests have their network all the same. A bridge of the kernel that is down has none for them.
            if not _is_up(name):
                not_served[name] = f"its own port is down, so nobody reaches the host there (ip link set {name} up, and at every boot)"
            continue
        macs = {(one.device, one.mac) for guest in found for one in guest.interfaces if one.bridge == name}
        taps = {device for device, _mac in macs}
        others = tuple(one for one in bridges.ports(name) if one not in taps)
        bridge = Bridge(name, bridges.mac(name), tuple(sorted(taps)), others, tuple(sorted(macs)))
        if needs_rules(bridge) and not has_nft:
            not_served[name] = f"others are at it ({', '.join(bridge.others)}), and there is no nft to keep the address from them"
        else:
            linux.append(bridge)
    return linux, not_served


class _Network:
    """The addresses and rules that are ours."""

    def __init__(self, places: EventPlaces) -> None:
        self._record = os.path.join(os.path.dirname(places.guests), "addresses.json")
        raw = None
        with contextlib.suppress(LedgerError):  # what cannot be read is made anew
            raw = read_document(self._record)
        # By bridge. The settings may name another address by now.
        self._ours: dict[str, str] = {name: one for name, one in raw.items() if isinstance(one, str)} if isinstance(raw, dict) else {}
        self._rules = ""
        self._done: tuple[t.Any, ...] = ()
        self._checked = -_CHECK

    def follow(self, names: t.Sequence[str], linux: t.Sequence[Bridge], address: str, port: int, gid: int, has_nft: bool) -> None:
        """See that these bridges have the address, no other has it from us, and the rules are there.

        :raises CommandFailed: That could not be done.
        """
        text = rules(linux, address, port) + arp_rules(names, address) if has_nft else ""
        wanted = (tuple(names), tuple(os.path.realpath(f"/sys/class/net/{name}") for name in names), address, text)
        if wanted == self._done and time.monotonic() - self._checked < _CHECK:
            return
        # The address goes before the rules and comes after them: at no time is it known elsewhere.
        self._take_back(dict.fromkeys(names, address))
        self._note({name: one for name, one in self._ours.items() if name in names and one == address}, gid)
        if text and (text != self._rules or not all(bridges.has_rules(family, TABLE) for family in FAMILIES if makes_table(text, family))):
            bridges.load_rules(text)
        self._rules = text
        there = bridges.devices_with(address)
        for name in names:
            if name not in there:
                self._note({**self._ours, name: address}, gid)
                bridges.add_address(name, address)
        self._done, self._checked = wanted, time.monotonic()

    def _take_back(self, wanted: t.Mapping[str, str]) -> None:
        """Remove the addresses that we have made, but for those wanted, by bridge."""
        for name, address in sorted(self._ours.items()):
            if wanted.get(name) != address and name in bridges.devices_with(address):
                bridges.remove_address(name, address)

    def _note(self, ours: dict[str, str], gid: int) -> None:
        if ours != self._ours:
            write_document(self._record, ours, gid)
            self._ours = ours

    def clear(self) -> None:
        """Remove all of it.

        :raises CommandFailed: That could not be done.
        """
        self._take_back({})
        if bridges.has_nft():
            bridges.load_rules("".join(map(no_rules, FAMILIES)))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._record)


class _Watcher:
    """One look after the other."""

    def __init__(self, places: EventPlaces) -> None:
        self._places = places
        self._known = Known(places)
        self._statuses = _Statuses(libvirt_places(SYSTEM_URI).runtime)
        self._network = _Network(places)
        self._gid = grp.getgrnam(GROUP).gr_gid
        self._written: Guests | None = None
        self._said: dict[str, str] = {}
        self._has_nft, self._asked_nft = False, -_NFT
        self._since: dict[str, int] = {}
        with contextlib.suppress(LedgerError):  # what cannot be read is written anew
            raw = read_document(places.guests)
            self._since = {} if raw is None else {one.uuid: one.since for one in guests(raw).guests}

    def look(self) -> None:
        """See which guests there are, and tell the service."""
        self._known.look()
        settings = self._known.settings
        found, kinds = [], {}
        since: dict[str, int] = {}
        for domain in self._statuses.domains():
            interfaces = []
            for link in known_guests.links(domain):
                at = _at_bridge(link)
                if at is not None:
                    kinds[at[0]] = at[1]
                    interfaces.append(Interface(link.mac, link.device, at[0]))
            uuid = domain.findtext("uuid", "")
            # It may have come from another host: whatever it has seen there was less than this.
            since[uuid] = self._since.get(uuid, max(0, int(time.time()) - EPOCH))
            found.append(known_guests.guest(domain, settings, since[uuid], interfaces))
        self._since = since
        if time.monotonic() - self._asked_nft >= _NFT:
            self._has_nft, self._asked_nft = bridges.has_nft(), time.monotonic()
        linux, not_served = _served(found, kinds, settings.bridges or None, self._has_nft)
        served = {name: kind for name, kind in sorted(kinds.items()) if name not in not_served}
        try:
            self._network.follow(sorted(served), linux, settings.address, settings.port, self._gid, self._has_nft)
        except (CommandFailed, OSError) as error:
            not_served["addresses"] = f"{error}; it is tried again"
        for name in not_served:
            if self._said.get(name) != not_served[name]:
                say(f"{name}: {not_served[name]}")
        self._said = not_served
        now = Guests(tuple(found), served)
        if now != self._written:
            write_document(self._places.guests, guests_document(now), self._gid)
            self._written = now


def run(places: EventPlaces) -> int:
    """Watch until the process is told to end. The addresses stay, and the service goes on with what it knows.

    :returns: The exit code.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_given: stop.set())
    watcher = _Watcher(places)
    while not stop.is_set():
        try:
            watcher.look()
        except OSError as error:  # no room in /run, for one: the service goes on with what it knows, and this is tried again
            say(f"what guests there are could not be told ({error})")
        stop.wait(_LOOK)
    return 0


def clear(places: EventPlaces) -> int:
    """Remove the addresses and rules that were made.

    :returns: The exit code.
    """
    try:
        _Network(places).clear()
    except CommandFailed as error:
        say(str(error))
        return 1
    return 0
