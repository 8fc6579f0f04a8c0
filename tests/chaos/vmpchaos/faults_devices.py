# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what a suspend takes from a guest beside its vCPUs (network devices, forwarding entries, leases) has to be given back without libvirt, too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vmplab import layout

from . import guests
from .catalogue import fault
from .errors import expect
from .guests import Guest
from .host import wait_for
from .stage import PATIENCE, Stage, journal_has

#: Seconds for an answer over the network when the guest has just been resumed.
AT_ONCE = 4.0
_LEASED = "chaos-leased"


def _networked(*kinds: str) -> list[Guest]:
    """A guest of each of these kinds of network, one without, and those that are not ours."""
    return [*(Guest(f"chaos-{kind}", kind=kind, number=20) for kind in kinds), Guest("chaos-1"), *guests.bystanders()]


def _libvirtd_gone(stage: Stage, kind: str) -> str:
    """libvirtd is stopped, and kept away, at the deadline: the network is back all the same, at once and for good."""
    name = f"chaos-{kind}"
    stage.open(_networked(kind))
    window = stage.pause()
    stage.stop_libvirtd()
    stage.wait_in("running")
    stage.see_memory(name, AT_ONCE)
    expect("libvirtd" not in stage.host.shell("ps -eo comm"), "libvirtd should still be stopped")
    stage.start_libvirtd()
    stage.see_all_well()
    told = stage.told_afterwards(window)
    # libvirt's own view is right, too: it takes the device away and gives it back as ever.
    answer = stage.commands(["true"])
    expect(answer.verdict == "CHANGED", f"the next window should be as any other: {answer.message}")
    stage.see_all_well()
    return told


@fault("macvtap-libvirtd-stopped", "guest on macvtap; libvirtd stopped, with its sockets, before the deadline", limit=6, fast=True)
def macvtap_libvirtd_stopped(stage: Stage) -> str:
    """A macvtap device is down as long as its guest is suspended."""
    return _libvirtd_gone(stage, "macvtap")


@fault("managed-bridge-libvirtd-stopped", "guest on a bridge whose entries libvirt keeps; libvirtd stopped before the deadline", limit=6)
def managed_bridge_libvirtd_stopped(stage: Stage) -> str:
    """Its forwarding entry is gone as long as it is suspended, and nobody floods."""
    return _libvirtd_gone(stage, "managed")


@fault("network-libvirtd-stopped-and-resumed", "guests on macvtap and on such a bridge; libvirtd stopped; guest_resume before the deadline", limit=20)
def network_libvirtd_stopped_and_resumed(stage: Stage) -> str:
    """The module gives back the same as the guard."""
    stage.open(_networked("macvtap", "managed"))
    window = stage.pause()
    stage.stop_libvirtd()
    answer = stage.resume(window)
    for name in ("chaos-macvtap", "chaos-managed"):
        stage.see_memory(name, AT_ONCE)
    stage.start_libvirtd()
    for name in stage.names():
        stage.virsh("resume", name, check=False)  # what the message says: libvirt may not know it yet
    stage.see_all_well()
    return f"{answer.verdict} {answer.message if answer.failed else ''} {answer.guest('chaos-macvtap').get('message', '')}"


def _device_gone(stage: Stage, kind: str, by_guard: bool) -> str:
    """What carries the guest's network is taken away in the window: libvirt cannot resume the guest, and it runs all the same."""
    name, carrier = f"chaos-{kind}", layout.WIRE if kind == "macvtap" else layout.BRIDGE
    stage.open(_networked(kind))
    device = stage.virsh("domiflist", name).split()[0]
    window = stage.pause()
    stage.host.shell(f"ip link delete {carrier}")
    stage.silent(name)
    told = ""
    if not by_guard:
        answer = stage.resume(window)
        told = f"{answer.verdict} {answer.message if answer.failed else ''} {answer.guest(name).get('message', '')} {answer.result.get('warnings', '')}"
    stage.wait_in("running", timeout=stage.limit + 5)
    stage.see_all_well()
    if by_guard:
        told = f"{stage.told_afterwards(window)}; journal: {stage.journal()}"
    expect(name in told and (device in told or carrier in told), f"it should name {device} or {carrier} of {name}: {told}")
    return told


for _kind, _words in (("macvtap", "the interface under a macvtap device"), ("managed", "the bridge of a guest, whose entries libvirt keeps,")):
    for _by, _who in ((False, "guest_resume"), (True, "the guard")):

        @fault(f"{_kind}-device-removed-{'guard' if _by else 'module'}", f"{_words} removed in the window; {_who} resumes", limit=10)
        def _removed(stage: Stage, kind: str = _kind, by_guard: bool = _by) -> str:
            return _device_gone(stage, kind, by_guard)


def _lease(stage: Stage) -> bool:
    """Whether the lease of the guest's disk is held."""
    return "virtlockd" in stage.host.call("lease_holders", path=f"/var/lib/libvirt/images/{_LEASED}.raw")


@contextmanager
def _leased_guest(stage: Stage) -> Iterator[None]:
    """The stage with a guest whose disk is guarded, on a host whose libvirt guards all disks by virtlockd."""
    stage.open([Guest("chaos-1"), *guests.bystanders()])
    stage.host.lab("use_lock_manager", wanted=True)
    try:
        stage.add([Guest(_LEASED, kind="leased", number=22)])
        expect(_lease(stage), "the guest should hold its lease before anything is done")
        yield
    finally:
        stage.host.lab("use_lock_manager", wanted=False)


@fault("lease-required", "guest whose disk a lock manager guards, by default")
def lease_required(stage: Stage) -> str:
    """QEMU's monitor gives back no lease, so the fallback is not there: refused before anything is touched; without that guest it works."""
    with _leased_guest(stage):
        answer = stage.refused()
        said = re.search("lease|lock manager", answer.message)
        expect(said and f"'{_LEASED}'" in answer.message, f"it should name the guest and say why: {answer.message}")
        expect("fallback" in answer.message, f"it should name the option with which its operator may choose otherwise: {answer.message}")
        without = stage.commands(["true"], exclude=[*stage.excluded(), _LEASED])
        expect(without.verdict == "CHANGED", f"without that guest it should have succeeded: {without.message}")
        expect(stage.stops(_LEASED) == 0, f"{_LEASED} should not have been stopped")
        stage.see_all_well()
        return answer.message


@fault("lease-preferred", "guest whose disk a lock manager guards, fallback: preferred; nothing breaks")
def lease_preferred(stage: Stage) -> str:
    """Paused and resumed through libvirt, with its lease."""
    with _leased_guest(stage):
        answer = stage.commands(["true"], fallback="preferred")
        expect(answer.verdict == "CHANGED", f"it should have succeeded: {answer.message}")
        stage.see_all_well()
        expect(stage.stops(_LEASED) == 1 and _lease(stage), f"{_LEASED} should have been paused, and hold its lease again")
        return f"{answer.guest(_LEASED)}"


@fault("lease-libvirtd-stopped", "guest whose disk a lock manager guards, fallback: preferred; libvirtd stopped before the deadline", limit=6)
def lease_libvirtd_stopped(stage: Stage) -> str:
    """It stays paused rather than run without its lease; the others run in time."""
    with _leased_guest(stage):
        window = stage.pause(fallback="preferred")
        stage.excepted(_LEASED, "it may run only through libvirt, which the fault keeps away")
        stage.stop_libvirtd()
        stage.wait_in("running", [name for name in stage.names() if name != _LEASED])
        deadline = stage.host.call("ledger")["window"]["deadline"]
        wait_for("the deadline, and a second", lambda: time.monotonic() > deadline + 1, PATIENCE)
        said = journal_has(stage, _LEASED)
        expect(stage.all_in("paused", [_LEASED]), f"{_LEASED} should be paused as long as libvirt is away")
        expect(not _lease(stage), "nobody should hold the lease of a paused guest")
        stage.start_libvirtd()
        stage.wait_in("running", [_LEASED])
        expect(_lease(stage), f"{_LEASED} runs without its lease")
        stage.see_all_well()
        return f"journal, while it was paused: {said}; {stage.told_afterwards(window)}"
