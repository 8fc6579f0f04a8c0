# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a guest's QEMU that libvirt has no call for. They change nothing in the guest; libvirt marks it as tainted by them (`custom-monitor`)."""
from __future__ import annotations

import typing as t

from .._core.errors import MaintenanceError
from .hypervisor import Guest


def blocked_reasons(guest: Guest) -> list[str]:
    """Why QEMU would not save a guest now, in its own words. QEMU tells since 6.0; libvirt asks the same before it saves.

    :raises MaintenanceError: code `monitor`: QEMU does not answer that.
    """
    answer = guest.monitor({"execute": "query-migrate"})
    reasons = answer.get("blocked-reasons", []) if isinstance(answer, dict) else []
    return [str(one) for one in reasons] if isinstance(reasons, list) else []


def _property(guest: Guest, alias: str, name: str) -> t.Any:
    try:
        return guest.monitor({"execute": "qom-get", "arguments": {"path": f"/machine/peripheral/{alias}", "property": name}})
    except MaintenanceError:  # it has no such device, or the device no such property
        return None


def rom(guest: Guest, alias: str) -> tuple[str, int] | None:
    """The ROM of a PCI device, as its file and the size that QEMU has given it, bytes; `None` when it has none, or QEMU (before 5.2) does not tell.

    :param alias: libvirt's name of the device, which is also its id in QEMU.
    """
    file = _property(guest, alias, "romfile")
    size = _property(guest, alias, "romsize") if isinstance(file, str) and file else None
    # -1, in 32 bits: not set.
    return (file, size) if isinstance(size, int) and 0 < size < 0xFFFFFFFF else None
