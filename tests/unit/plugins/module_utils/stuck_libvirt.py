# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for libvirt's bindings that hangs or fails at one call of one guest: what no real libvirtd does on demand."""
from __future__ import annotations

import threading
import time


class libvirtError(Exception):  # noqa: N801  (libvirt's name)
    """libvirt's error, with its code."""

    def __init__(self, code=1, message="stuck", domain=10):
        super().__init__(message)
        self._code, self._domain = code, domain

    def get_error_code(self):
        return self._code

    def get_error_domain(self):
        return self._domain


class Libvirt:
    """The module. Guests are dictionaries: name, uuid, state, token, agent, ahead; hang: names of calls that never return; fail: errors by call.

    :ivar hang: Calls of a connection that never return: `open`, `list`, `answer`.
    :ivar down: The error with which every attempt to connect ends; `None`: it succeeds.
    :ivar opened: How many attempts there were.
    """

    VIR_ERR_AUTH_FAILED, VIR_ERR_AUTH_UNAVAILABLE, VIR_ERR_AUTH_CANCELLED = 45, 79, 80
    VIR_ERR_NO_DOMAIN, VIR_ERR_OPERATION_INVALID, VIR_ERR_NO_DOMAIN_METADATA = 42, 55, 80
    VIR_DOMAIN_METADATA_ELEMENT, VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_CONTROL_OK = 2, 1, 0
    VIR_CONNECT_LIST_DOMAINS_ACTIVE, VIR_CONNECT_LIST_DOMAINS_INACTIVE = 1, 2
    VIR_FROM_RPC, VIR_FROM_REMOTE, VIR_ERR_AGENT_UNRESPONSIVE = 7, 13, 86
    VIR_DOMAIN_GUEST_INFO_OS, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, VIR_DOMAIN_JOB_NONE = 2, -2, 0
    libvirtError = libvirtError

    def __init__(self, *guests):
        self.guests = {guest["uuid"]: guest for guest in guests}
        self.hang = ()
        self.down = None
        self.opened = 0

    def registerErrorHandler(self, _handler, _context):
        pass

    def open(self, _uri):
        self.opened += 1
        self.stop_at("open")
        if self.down is not None:
            raise self.down
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

    def getCPUMap(self, _flags):
        self._library.stop_at("answer")
        return 1, [True], 1

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
        return [self._guest["state"], self._guest.get("reason", 1)]

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

    # ---- the guest agent ----

    def agentSetResponseTimeout(self, seconds, _flags):
        if not self._guest.get("agent", True):
            raise libvirtError(86, "QEMU guest agent is not connected")
        self._guest.setdefault("timeouts", []).append(seconds)

    def getTime(self, _flags):
        self.stop_at("clock")
        nanoseconds = int((time.time() + self._guest.get("ahead", 0.0)) * 1e9)
        return {"seconds": nanoseconds // 10**9, "nseconds": nanoseconds % 10**9}

    def setTime(self, moment, _flags):
        self.stop_at("set")
        self._guest["ahead"] = moment["seconds"] + moment["nseconds"] / 1e9 - time.time()
        self._guest["set"] = self._guest.get("set", 0) + 1
        self.stop_at("set done")

    def guestInfo(self, _types, _flags):
        return {"os.id": "debian", "os.kernel-release": "6.12"}
