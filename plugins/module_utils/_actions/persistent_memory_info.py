# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which RAM can be set aside for guests, and whether it is, now and after the next boot: what persistent_memory_info does."""
from __future__ import annotations

import typing as t

from .._core.errors import MaintenanceError
from .._saved.kexec import boot_entries
from .._saved.kexec.reservation import Range, choose, in_bytes, nodes, reserved
from .._system import boot_loader, firmware_memory


def _entries(kind: str) -> list[boot_entries.Entry]:
    if kind == "grubby":
        return boot_entries.of_grubby(boot_loader.grubby())
    return boot_entries.of_grub(boot_loader.grub(), boot_loader.kernels())


def _wanted(params: t.Mapping[str, t.Any], entries: t.Sequence[boot_entries.Entry]) -> dict[str, t.Any]:
    """The reservation that was asked for, and how far it is.

    :raises MaintenanceError: code `amount` or `reservation`: it is not possible.
    :raises OSError: Something cannot be read.
    """
    ram = [Range(*one) for one in firmware_memory.ram()]
    if not ram:
        raise MaintenanceError(
            f"this host's kernel does not tell which RAM its firmware has ({firmware_memory.MAP}); RAM can be set aside on x86_64 only; nothing was changed",
            "reservation",
        )
    start = in_bytes(params["start"], "start") if params["start"] else None
    found = choose(in_bytes(params["size"], "size"), start, ram, nodes(firmware_memory.srat()))
    devices = [device for device, where in firmware_memory.persistent().items() if where == found.where]
    return {
        "reservation": {
            "argument": found.argument, "start": found.where.start, "size": found.where.size, "node": found.node, "left": found.left,
            "device": devices[0] if devices else None,
            "effective": bool(devices) and found.argument in firmware_memory.command_line(),
            "missing": boot_entries.without(entries, found.argument),
        },
    }


def persistent_memory_info(params: t.Mapping[str, t.Any], _check_mode: bool) -> dict[str, t.Any]:
    """The body of persistent_memory_info.

    :param params: The module's parameters.
    :returns: `boot_loader`, `entries`, `arguments` and, with a size, `reservation`.
    :raises MaintenanceError: What was asked for is not possible, or the host does not tell.
    """
    kind = boot_loader.kind()
    if kind is None:
        raise MaintenanceError(
            "this host's boot loader is not known: neither update-grub (Debian, Ubuntu) nor grubby (RHEL family) is there; nothing was changed", "boot_loader",
        )
    try:
        entries = _entries(kind)
        wanted = _wanted(params, entries) if params["size"] else {}
    except OSError as error:
        raise MaintenanceError(f"what this host's kernels are told cannot be found out ({error}); nothing was changed", "boot_loader") from error
    if not entries:
        raise MaintenanceError(f"the configuration of this host's boot loader ({kind}) names no kernel of this host; nothing was changed", "boot_loader")
    return {
        "changed": False,
        "boot_loader": kind,
        "kernels": list(dict.fromkeys(entry.kernel for entry in entries)),
        "arguments": list(dict.fromkeys(word for entry in entries for word in reserved(entry.words))),
        **wanted,
    }
