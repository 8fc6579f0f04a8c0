# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving back the network devices that libvirt took from a guest with the suspend, by the host's own means: for whoever resumes it without libvirt."""
from __future__ import annotations

from .._core.calls import call_with_timeout
from .._system import netdev
from .record import Entry

#: Seconds for the kernel and all devices of a guest: whoever changes the host's network just now holds its lock. Shorter than a libvirtd that hangs is given
#: (`settle.ALL_OUT`), for which the wait must not be taken.
KERNEL = 1.0
#: What holds as long as the kernel has not answered.
UNANSWERED = "whether its network devices are up is not known, the kernel does not answer"


def give_back(entry: Entry) -> str:
    """Set up the guest's devices, and enter it where libvirt keeps the table of a bridge itself. Safe to repeat.

    :returns: What could not be given back, in words; empty when it has everything.
    """
    if not entry.devices and not entry.forwarding:
        return ""
    try:
        return call_with_timeout(lambda: _give_back(entry), KERNEL)
    except TimeoutError:  # it goes on, and is done when the kernel answers
        return UNANSWERED


def _give_back(entry: Entry) -> str:
    problems = []
    for device in entry.devices:
        try:
            netdev.set_up(device)
        except OSError as error:
            problems.append(f"its network device {device} could not be set up ({error.strerror or error})")
    for port, mac in entry.forwarding:
        try:
            netdev.add_forwarding_entry(port, mac)
        except (OSError, ValueError) as error:
            problems.append(f"its bridge has no entry for {mac} at port {port} ({getattr(error, 'strerror', None) or error})")
    return "; ".join(problems)
