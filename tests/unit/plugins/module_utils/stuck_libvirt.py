# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for libvirt's bindings that hangs or fails at one call of one guest: what no real libvirtd does on demand."""
from __future__ import annotations

import threading
import time


class libvirtError(Exception):  # noqa: N801  (libvirt's name)
    """libvirt's error, with its code."""

    def __init__(self, code=1, message="stuck"):
        super().__init__(message)
        self._code = code

    def get_error_code(self):
        return self._code

    def get_error_domain(self):
        return 10


class Libvirt:
    """The module. Guests are dictionaries: name, uuid, state, token; hang: names of calls that never return; fail: errors by call."""

    VIR_ERR_AUTH_FAILED, VIR_ERR_AUTH_UNAVAILABLE, VIR_ERR_AUTH_CANCELLED = 45, 79, 80
    VIR_ERR_NO_DOMAIN, VIR_ERR_OPERATION_INVALID, VIR_ERR_NO_DOMAIN_METADATA = 42, 55, 80
    VIR_DOMAIN_METADATA_ELEMENT, VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_CONTROL_OK = 2, 1, 0
    VIR_CONNECT_LIST_DOMAINS_ACTIVE, VIR_CONNECT_LIST_DOMAINS_INACTIVE = 1, 2
    libvirtError = libvirtError

    def __init__(self, *guests):
        self.guests = {guest["uuid"]: guest for guest in guests}
        self.hang = ()

    def registerErrorHandler(self, _handler, _context):
        pass

    def open(self, _uri):
        self.stop_at("open")
        return Connection(self)

    def stop_at(self, call):
        if call in self.hang:
            threading.Event().wait()


class Connection:
    """virConnect."""

    def __init__(self, library):
        self._library = library

    def lookupByUUIDString(self, uuid):
        guest = self._library.guests.get(uuid)
        if guest is None:
            raise libvirtError(Libvirt.VIR_ERR_NO_DOMAIN)
        domain = Domain(guest)
        domain.stop_at("lookup")
        return domain

    def listAllDomains(self, which):
        self._library.stop_at("list")
        return [Domain(guest) for guest in self._library.guests.values()] if which == Libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE else []


class Domain:
    """virDomain."""

    def __init__(self, guest):
        self._guest = guest

    def stop_at(self, call):
        if call in self._guest.get("hang", ()):
            threading.Event().wait()
        if call in self._guest.get("fail", {}):
            raise self._guest["fail"][call]

    def name(self):
        return self._guest["name"]

    def UUIDString(self):
        return self._guest["uuid"]

    def ID(self):
        return self._guest.get("id", 1)

    def state(self, _flags):
        self.stop_at("state")
        return [self._guest["state"], 1]

    def suspend(self):
        self.stop_at("suspend")
        self._guest["state"] = 3

    def resume(self):
        self.stop_at("resume")
        self._guest["state"] = 1
        self._guest["resumed_at"] = time.monotonic()

    def metadata(self, *_arguments):
        self.stop_at("metadata")
        if self._guest.get("token") is None:
            raise libvirtError(Libvirt.VIR_ERR_NO_DOMAIN_METADATA)
        return f'<window id="{self._guest["token"]}"/>'

    def setMetadata(self, _kind, text, *_arguments):
        self.stop_at("mark" if text else "clear")
        self._guest["token"] = None if text is None else text.split('"')[1]

    def controlInfo(self, _flags):
        return [0, 0, 0]
