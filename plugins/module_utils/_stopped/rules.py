# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests can be shut down and started again, and what to do with one that may be off. Pure."""
from __future__ import annotations

import collections
import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from .._core.policy import policy
from .._core.states import Blocker, GuestFacts, State

#: Seconds after it was asked for which a guest may still shut down: whoever asked it sees to it that it is started again.
LATE = 600.0


def is_allowed(xml: ET.Element) -> bool:
    """Whether a guest's owner says that it may be shut down for its host's update (`stop="allowed"`), where it cannot be kept.

    :param xml: Its live XML.
    """
    return policy(xml).get("stop") == "allowed"


def _parts(xml: ET.Element) -> collections.Counter[str]:
    """What can be plugged into a running guest, each with how it is known."""
    found: collections.Counter[str] = collections.Counter()
    for disk in xml.findall("devices/disk"):
        target = disk.find("target")
        found[f"disk {'' if target is None else target.get('dev')}"] += 1
    for interface in xml.findall("devices/interface"):
        mac = interface.find("mac")
        found[f"network device {'' if mac is None else str(mac.get('address')).lower()}"] += 1
    # Addresses on the host are in the live definition only.
    for device in xml.findall("devices/hostdev"):
        found[f"{device.get('type')} device of the host"] += 1
    for device in xml.findall("devices/memory"):
        found[f"memory device ({device.get('model')})"] += 1
    return found


def lost_parts(live: ET.Element, definition: ET.Element) -> list[str]:
    """What a running guest has that its definition has not, and that it would be started without.

    :param live: Its live XML.
    :param definition: That of its next start.
    """
    return sorted((_parts(live) - _parts(definition)).elements())


def stop_blockers(facts: GuestFacts, persistent: bool, live: ET.Element, definition: ET.Element | None, managed_save: bool) -> list[Blocker]:
    """Everything that keeps a guest from being shut down and started again as it was.

    :param facts: What the preflight found.
    :param persistent: libvirt keeps its definition when it ends.
    :param live: Its live XML.
    :param definition: That of its next start; `None`: it has none.
    :param managed_save: libvirt has an image of it, from which it would be started.
    """
    found: list[Blocker] = []

    def block(code: str, message: str) -> None:
        found.append(Blocker(code, message))

    if not facts.state.executes:
        block("not_running", f"it is {facts.state.state} ({facts.state.reason}), and cannot shut down by itself; resume it, or shut it down, first")
    if not persistent or definition is None:
        block("transient", "it is transient: libvirt forgets it when it ends, so it could not be started again. Define it (virsh define), or move it away")
    else:
        lost = lost_parts(live, definition)
        if lost:
            block("plugged", f"it would be started without what its definition does not have: {', '.join(lost)}. Plug that in with --config as well")
    # libvirt then reboots it where it is asked to shut it down (src/qemu/qemu_driver.c, qemuDomainShutdownFlags).
    action = live.findtext("on_poweroff") or "destroy"
    if action != "destroy":
        block("on_poweroff", f"its on_poweroff is {action}, so libvirt does not end it when it shuts down; set that to destroy")
    if managed_save:
        block("managed_save", "libvirt has a saved state of it, older than it is, from which it would be started. Remove that (virsh managedsave-remove)")
    if facts.job is not None:
        block("job", f"a {facts.job} job is running on it, which its end would abort; wait for its end or abort it (virsh domjobabort)")
    if facts.block_jobs:
        block("block_job", f"a block job works on {', '.join(facts.block_jobs)}, which its end would abort; wait for its end")
    return found


@dataclasses.dataclass(frozen=True)
class Found:
    """A guest of the record as it is found now.

    :ivar state: What libvirt says; `None`: it has no definition of the guest any more.
    :ivar active: It has a QEMU.
    :ivar same_run: That is the one of the record.
    :ivar managed_save: libvirt has an image of it, from which it would be started.
    """

    state: State | None
    active: bool = False
    same_run: bool = False
    managed_save: bool = False


StartVerdict = t.Literal["start", "late", "untouched", "running", "gone", "not_ours"]


def start_verdict(phase: str, asked_for: float | None, found: Found) -> tuple[StartVerdict, str]:
    """What to do with a guest that may be off.

    :param phase: That of its entry.
    :param asked_for: Seconds since it was asked to shut down; `None`: it was not.
    :returns: The verdict and the reason in words. `late`: it runs on, and may still shut down.
    """
    if found.state is None:
        return "gone", "libvirt has no definition of it any more"
    if found.active and not found.same_run:
        return "running", "somebody has started it meanwhile"
    if phase == "planned":
        return "untouched", f"it was not asked to shut down, and is {found.state.state} ({found.state.reason})"
    if found.active:
        # A clock that was set meanwhile says nothing of how long ago that was.
        if asked_for is not None and abs(asked_for) < LATE:
            return "late", "it was asked to shut down and has not; it runs on, and may still do so"
        return "untouched", f"it was asked to shut down and has not within {LATE:.0f} s; it runs on as before"
    if found.managed_save:
        return "not_ours", "its owner has saved it meanwhile; virsh start restores it"
    return "start", "it was shut down for the update of its host"
