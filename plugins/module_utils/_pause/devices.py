# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving back the network devices that libvirt took from a guest with the suspend, by the host's own means: for whoever resumes it without libvirt."""
from __future__ import annotations

from .._core.calls import call_with_timeout
from .._system import netdev
from .record import Entry

#: Seconds for the kernel: whoever changes the host's network just now holds its lock.
KERNEL = 1.0


def give_back(entry: Entry) -> str:
    """Set up the guest's devices, and enter it where libvirt keeps the table of a bridge itself. Safe to repeat.

    :returns: What could not be given back, in words; empty when it has everything.
    """
    problems = []
    for device in entry.devices:
        try:
            call_with_timeout(lambda device=device: netdev.set_up(device), KERNEL)
        except OSError as error:
            problems.append(f"its network device {device} could not be set up ({error.strerror or 'the kernel does not answer'})")
    for port, mac in entry.forwarding:
        try:
            call_with_timeout(lambda port=port, mac=mac: netdev.add_forwarding_entry(port, mac), KERNEL)
        except (OSError, ValueError) as error:
            problems.append(f"its bridge has no entry for {mac} at port {port} ({getattr(error, 'strerror', None) or error})")
    return "; ".join(problems)
