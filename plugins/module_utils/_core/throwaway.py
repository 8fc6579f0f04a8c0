# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The throw-away guests on which a save and a restore are tried before a real guest is saved: how they are told from all others. Pure."""
from __future__ import annotations

import typing as t
import uuid as uuid_module

#: How libvirt's name of each begins.
NAME = "vm-preserving-proof-"
#: How the UUID of each begins: "vmpp-ro".
UUID = "766d7070-726f-"


class Throwaway(t.NamedTuple):
    """Who a throw-away guest is.

    :ivar name: libvirt's name.
    :ivar uuid: libvirt's UUID.
    """

    name: str
    uuid: str


def new_throwaway() -> Throwaway:
    """Another one. Its name follows from its UUID, so that the two prove each other."""
    uuid = UUID + str(uuid_module.uuid4())[len(UUID):]
    return Throwaway(_name(uuid), uuid)


def _name(uuid: str) -> str:
    return NAME + uuid.rpartition("-")[2]


def is_throwaway(name: str, uuid: str) -> bool:
    """Whether a guest is one of ours, on which nothing depends. The name alone could be anybody's.

    :param name: libvirt's name.
    :param uuid: libvirt's UUID.
    """
    return uuid.startswith(UUID) and name == _name(uuid)
