# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/qemu_says: what a guest's QEMU answers; it is not to be trusted."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import qemu_says


class Guest:
    """Answers as its QEMU would."""

    def __init__(self, migration=None, **properties):
        self.migration = migration
        self.properties = properties

    def monitor(self, command):
        if command["execute"] == "query-migrate":
            return self.migration
        if command["arguments"]["path"] != "/machine/peripheral/net0" or command["arguments"]["property"] not in self.properties:
            raise MaintenanceError("QEMU refused", "monitor")
        return self.properties[command["arguments"]["property"]]


@pytest.mark.parametrize(("answer", "reasons"), [
    ({}, []), ({"status": "completed"}, []), ({"blocked-reasons": []}, []),
    ({"blocked-reasons": ["virgl is not yet migratable"]}, ["virgl is not yet migratable"]),
    (None, []), ([], []), ({"blocked-reasons": None}, []), ({"blocked-reasons": "x"}, []),
])
def test_why_it_would_not_save(answer, reasons):
    assert qemu_says.blocked_reasons(Guest(answer)) == reasons


@pytest.mark.parametrize(("properties", "rom"), [
    ({"romfile": "efi-virtio.rom", "romsize": 262144}, ("efi-virtio.rom", 262144)),
    ({"romfile": "", "romsize": 0xFFFFFFFF}, None), ({"romfile": "x.rom", "romsize": 0xFFFFFFFF}, None), ({"romfile": "x.rom"}, None), ({}, None),
    ({"romfile": 5, "romsize": 5}, None), ({"romfile": "x.rom", "romsize": "5"}, None),
])
def test_the_rom_of_a_device(properties, rom):
    assert qemu_says.rom(Guest(**properties), "net0") == rom


def test_a_device_that_is_not_there_has_none():
    assert qemu_says.rom(Guest(romfile="x.rom", romsize=4096), "net1") is None
