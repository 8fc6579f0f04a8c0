# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: a guest agent that is gone, hangs, or answers what it should not. A pause never needs one; what needs it must say so."""

from __future__ import annotations

import time

from . import guests
from .catalogue import fault
from .errors import expect
from .guests import Guest
from .host import wait_for
from .stage import PATIENCE, Stage

AGENT = "kill {signal} $(cat /run/qemu-ga.pid)"
PORT = "/dev/virtio-ports/org.qemu.guest_agent.0"
#: Stands in for the agent: lets libvirt find it in step, and then says something that it should not.
IMPOSTOR = """

while readlink /proc/$(cat /run/qemu-ga.pid)/exe; do :; done
exec 5<> {port}
# As long as libvirt has not connected, a read gives an end of file.
while :; do
    read -r line <&5 || {{ sleep 0.1; continue; }}
    case "$line" in
    *guest-sync*) id=${{line##*\\"id\\":}}; echo "{{\\"return\\": ${{id%%\\}}*}}}}" >&5 ;;
    *) {answer} >&5 ;;
    esac
done
"""


def _broken_agent(stage: Stage, script: str, state: str = "connected") -> str:
    """Break the agent of one guest; pause, look and measure all the same; return what is said of it.

    :param script: Run in the guest.
    :param state: What libvirt thinks of the agent then.
    """
    stage.open([Guest("chaos-agent", kind="normal"), Guest("chaos-1"), *guests.bystanders()])
    # After a moment: the agent has to answer this request first.
    stage.host.call("in_guest", name="chaos-agent", script=f"(sleep 1; {script}) > /dev/null 2>&1 < /dev/null &")
    ping = "virsh --quiet qemu-agent-command --timeout 1 chaos-agent '{\"execute\": \"guest-info\"}'"
    seen = "virsh dumpxml chaos-agent | grep -c \"state='STATE'\"".replace("STATE", state)
    wait_for("an agent that does not answer", lambda: '"version"' not in stage.host.shell(ping, check=False), PATIENCE)
    wait_for(f"an agent that libvirt takes for {state}", lambda: stage.host.shell(seen, check=False).strip() == "1", PATIENCE)
    answer = stage.commands(["true"])
    expect(answer.verdict == "CHANGED", f"the pause should not need an agent: {answer.message}")
    stage.see_all_well()
    began = time.monotonic()
    info = stage.operator.module("guest_info", name=["chaos-agent"], boot_id=True, agent_timeout=2)
    clock = stage.operator.module("guest_clock", name=["chaos-agent"])
    seconds = time.monotonic() - began
    expect(info.guest("chaos-agent").get("boot_id") is None, f"guest_info should have no boot id: {info.message} {info.guest('chaos-agent')}")
    said = clock.guest("chaos-agent")
    expect(said.get("verdict") == "unverified", f"guest_clock should be unsure of it: {clock.message} {said}")
    expect(seconds < PATIENCE, f"guest_info and guest_clock took {seconds:.0f} s")
    reason = (said.get("error") or {}).get("message") or said.get("message")
    return f"agent {info.guest('chaos-agent').get('agent')}, clock {said['verdict']}: {reason}"


@fault("agent-absent", "guest agent absent (ended)")
def agent_absent(stage: Stage) -> str:
    """libvirt sees that it is gone."""
    return _broken_agent(stage, AGENT.format(signal="-TERM"), "disconnected")


@fault("agent-hung", "guest agent hung (SIGSTOPped in the guest)")
def agent_hung(stage: Stage) -> str:
    """libvirt thinks that it is there, and would wait for ever."""
    return _broken_agent(stage, AGENT.format(signal="-STOP"))


@fault("agent-rubbish", "guest agent answers rubbish")
def agent_rubbish(stage: Stage) -> str:
    """Not even JSON."""
    return _broken_agent(stage, AGENT.format(signal="-KILL") + IMPOSTOR.format(port=PORT, answer="echo 'rubbish } { '"))


@fault("agent-lies", "guest agent answers JSON of the wrong kind")
def agent_lies(stage: Stage) -> str:
    """Well-formed, and no answer to any question."""
    lie = "echo '{\"return\": {\"seconds\": \"noon\", \"buf-b64\": [1], \"count\": -1}}'"
    return _broken_agent(stage, AGENT.format(signal="-KILL") + IMPOSTOR.format(port=PORT, answer=lie))


@fault("agent-100-MB", "guest agent answers 100 MB")
def agent_floods(stage: Stage) -> str:
    """One line without end."""
    flood = "head -c 100000000 /dev/zero | tr '\\0' x"
    return _broken_agent(stage, AGENT.format(signal="-KILL") + IMPOSTOR.format(port=PORT, answer=flood))
