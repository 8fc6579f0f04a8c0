# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving back the network devices that libvirt took from a guest with the suspend, by the host's own means: for whoever resumes it without libvirt."""
from __future__ import annotations

from .._system import netdev
from .record import Entry


def give_back(entry: Entry) -> str:
    """Set up the guest's devices, and enter it where libvirt keeps the table of a bridge itself. Safe to repeat.

    :returns: What could not be given back, in words; empty when it has everything.
    """
    problems = []
    for device in entry.devices:
        try:
            netdev.set_up(device)
        except OSError as error:
            problems.append(f"its network device {device} could not be set up ({error})")
    for port, mac in entry.forwarding:
        try:
            netdev.add_forwarding_entry(port, mac)
        except (OSError, ValueError) as error:
            problems.append(f"its bridge was not told that {mac} is behind {port} ({error})")
    return "; ".join(problems)
