# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/persistent_memory_info: what is said of a host before its first boot with memory set aside, and after it."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import persistent_memory_info as action
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.persistent_memory_info import persistent_memory_info
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError

GIB = 1 << 30
RAM = ((0, 2 * GIB), (4 * GIB, 4 * GIB))
GRUB = "linux /boot/vmlinuz-1 root=/dev/vda1 ro {}\nlinux /boot/vmlinuz-2 root=/dev/vda1 ro {}\n"


@pytest.fixture
def ask(monkeypatch):
    def run(*words, ram=RAM, running=(), persistent=None, kind="grub", grub=None, grubby="", **over):
        def read():
            if isinstance(grub, OSError):
                raise grub
            return GRUB.format(*(words or ("", ""))) if grub is None else grub
        monkeypatch.setattr(action.boot_loader, "kind", lambda: kind)
        monkeypatch.setattr(action.boot_loader, "grub", read)
        monkeypatch.setattr(action.boot_loader, "grubby", lambda: grubby)
        monkeypatch.setattr(action.boot_loader, "kernels", lambda: ["vmlinuz-1", "vmlinuz-2"])
        monkeypatch.setattr(action.firmware_memory, "ram", lambda: list(ram))
        monkeypatch.setattr(action.firmware_memory, "srat", lambda: b"")
        monkeypatch.setattr(action.firmware_memory, "persistent", lambda: persistent or {})
        monkeypatch.setattr(action.firmware_memory, "command_line", lambda: ["ro", *running])
        return persistent_memory_info({"size": "", "start": "", **over}, False)
    return run


def test_before(ask):
    found = ask(size="2G")
    assert (found["boot_loader"], found["kernels"], found["arguments"], found["changed"]) == ("grub", ["vmlinuz-1", "vmlinuz-2"], [], False)
    assert found["reservation"] == {
        "argument": "memmap=2G!4G", "start": 4 * GIB, "size": 2 * GIB, "node": None, "left": 4 * GIB, "device": None, "effective": False,
        "missing": ["vmlinuz-1", "vmlinuz-2"],
    }


@pytest.mark.parametrize(("running", "persistent", "device", "effective"), [
    (["memmap=2G!4G"], {"/dev/pmem0": (16 * GIB, GIB), "/dev/pmem1": (4 * GIB, 2 * GIB)}, "/dev/pmem1", True),
    # Told, and no driver took it; another size; a module of that size at that place.
    (["memmap=2G!4G"], {}, None, False),
    (["memmap=1G!4G"], {"/dev/pmem0": (4 * GIB, GIB)}, None, False),
    ([], {"/dev/pmem0": (4 * GIB, 2 * GIB)}, "/dev/pmem0", False),
])
def test_after_a_boot(ask, running, persistent, device, effective):
    found = ask("memmap=2G!4G", "memmap=2G!4G", running=running, persistent=persistent, size="2G")["reservation"]
    assert (found["device"], found["effective"], found["missing"]) == (device, effective, [])


def test_one_kernel_that_is_not_told(ask):
    found = ask("memmap=2G!4G", "memmap=1G!6G", size="2G", start="4G")
    assert found["reservation"]["missing"] == ["vmlinuz-2"]
    assert found["arguments"] == ["memmap=2G!4G", "memmap=1G!6G"]


def test_grubby(ask):
    found = ask(kind="grubby", grubby='kernel="/boot/vmlinuz-5"\nargs="ro memmap=1G!4G"\n')
    assert found == {"changed": False, "boot_loader": "grubby", "kernels": ["vmlinuz-5"], "arguments": ["memmap=1G!4G"]}


@pytest.mark.parametrize(("over", "code", "says"), [
    ({"kind": None}, "boot_loader", "neither update-grub .* nor grubby"),
    ({"grub": OSError(13, "no")}, "boot_loader", "cannot be found out"),
    ({"grub": "menuentry x {}\n"}, "boot_loader", "names no kernel"),
    ({"ram": [], "size": "1G"}, "reservation", "x86_64 only"),
    ({"size": "lots"}, "amount", "size is 'lots'"),
    ({"size": "1G", "start": "top"}, "amount", "start is 'top'"),
    ({"size": "5376M"}, "reservation", "has to be left"),
])
def test_what_is_refused(ask, over, code, says):
    with pytest.raises(MaintenanceError, match=says) as caught:
        ask(**over)
    assert caught.value.code == code
    assert "nothing was changed" in str(caught.value).lower()
