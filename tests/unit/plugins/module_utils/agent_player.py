# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays recorded conversations with guest agents: libvirt's side (src/qemu/qemu_agent.c) as far as we call it, and the host's clocks meanwhile."""
from __future__ import annotations

import json
import pathlib

from .stuck_libvirt import libvirtError

CONVERSATIONS = pathlib.Path(__file__).with_name("agent_conversations")
#: How exactly the time in a guest-set-time has to be the recorded one: two times that a float can hardly tell apart. Nanoseconds.
SAME_TIME = 1000


class Libvirt:
    """The modules libvirt and libvirt_qemu."""

    VIR_DOMAIN_GUEST_INFO_OS = 2
    VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK = -2
    VIR_ERR_AGENT_UNRESPONSIVE = 86
    libvirtError = libvirtError

    @staticmethod
    def qemuAgentCommand(domain, command, timeout, _flags):
        assert timeout > 0
        return json.dumps(domain.conversation.reply(json.loads(command)))


class Conversation:
    """A recorded conversation; stands for the module `time` too.

    :ivar truth: Its first line.
    :ivar strange: What was asked and is not in the recording: the code under test swallows exceptions.
    """

    def __init__(self, name):
        first, *exchanges = (CONVERSATIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        self.truth = json.loads(first)
        self.strange = []
        self._exchanges = [json.loads(line) for line in exchanges]
        self._passed = 0.0

    def time(self):
        return self.truth["host"] + self._passed

    def monotonic(self):
        return 500.0 + self._passed

    @property
    def left(self):
        """The requests that did not come yet."""
        return [exchange["request"] for exchange in self._exchanges]

    def reply(self, request):
        """The agent's answer, when it is neither missing nor an error.

        :raises libvirtError: What libvirt makes of it otherwise (qemuAgentSend, qemuAgentCheckError).
        """
        if not self._exchanges or not _same(self._exchanges[0]["request"], request):
            self.strange.append(request)
            raise AssertionError(f"asked {request}, the recording goes on with {self.left[:1]}")
        exchange = self._exchanges.pop(0)
        self._passed += exchange["took"]
        response, failed = exchange["response"], f"unable to execute QEMU agent command '{request['execute']}'"
        if response is None:
            raise libvirtError(Libvirt.VIR_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: Guest agent not available for now")
        if not isinstance(response, dict):
            raise libvirtError(1, "internal error: cannot parse json")
        if response.get("error") is not None:
            raise libvirtError(1, f"internal error: {failed}: {response['error']['desc']}")
        if "return" not in response:
            raise libvirtError(1, f"internal error: {failed}")
        return response


def _same(recorded, request):
    if request.get("execute") == recorded["execute"] == "guest-set-time":
        # Never without a time: that is the emulated RTC on Linux, and w32tm on Windows.
        return abs(request["arguments"]["time"] - recorded["arguments"]["time"]) <= SAME_TIME
    return request == recorded


class Domain:
    """virDomain of a running guest."""

    def __init__(self, conversation):
        self.conversation = conversation
        self.timeouts = []

    def name(self):
        return "g1"

    def UUIDString(self):
        return "11111111-1111-4111-8111-111111111111"

    def ID(self):
        return 1

    def state(self, _flags):
        return [1, 1]

    def agentSetResponseTimeout(self, seconds, _flags):
        self.timeouts.append(seconds)

    def getTime(self, _flags):
        """qemuAgentGetTime: an unsigned number of 64 bits or an error."""
        said = self.conversation.reply({"execute": "guest-get-time"})["return"]
        if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 2**64:
            raise libvirtError(1, "internal error: malformed return value")
        return {"seconds": said // 10**9, "nseconds": said % 10**9}

    def setTime(self, time, flags):
        """qemuAgentSetTime; `flags` would be VIR_DOMAIN_TIME_SYNC."""
        arguments = {} if flags else {"arguments": {"time": time["seconds"] * 10**9 + time["nseconds"]}}
        self.conversation.reply({"execute": "guest-set-time", **arguments})

    def guestInfo(self, types, _flags):
        """qemuAgentGetOSInfo: the strings of an object."""
        assert types == Libvirt.VIR_DOMAIN_GUEST_INFO_OS
        said = self.conversation.reply({"execute": "guest-get-osinfo"})["return"]
        if not isinstance(said, dict):
            raise libvirtError(1, "internal error: guest-get-osinfo reply was missing return data")
        return {f"os.{key}": value for key, value in said.items() if isinstance(value, str)}
