# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What confines the QEMU of a guest, and letting it at what libvirt has not told of: its memory's socket, and a QEMU that is kept."""
from __future__ import annotations

import xml.etree.ElementTree as ET

from .._core.kept_qemu import build_of, folder_of
from .._system import apparmor
from .in_place import memory as in_place


def confined_by(xml: ET.Element) -> str | None:
    """What confines the QEMU of a guest, keeping it from files that libvirt has not told of: `apparmor` or `selinux`; `None`: nothing does.

    :param xml: Its live XML.
    """
    labels = (label.get("model") for label in xml.findall("seclabel") if label.get("type") != "none")
    return next((model for model in labels if model in ("apparmor", "selinux")), None)


def obstacle(xml: ET.Element) -> str | None:
    """Why the QEMU of a guest cannot be let at anything more, or `None` when it can be, or nothing confines it. AppArmor can be told, for one guest.

    :param xml: Its live XML.
    """
    model = confined_by(xml)
    if model == "apparmor":
        label = next((one.findtext("label") for one in xml.findall("seclabel") if one.get("model") == model), None)
        return apparmor.obstacle(xml.findtext("uuid", ""), label)
    return None if model is None else "its QEMU is confined by SELinux, and this collection cannot let it at further files there"


def start_takes(xml: ET.Element) -> float:
    """Seconds of a start that are the confinement's.

    :param xml: Its live XML.
    :raises apparmor.ProfileError: They cannot be measured.
    """
    uuid = xml.findtext("uuid", "")
    return apparmor.start_takes(uuid) if confined_by(xml) == "apparmor" and apparmor.has_profile(uuid) else 0.0


def _needs(xml: ET.Element) -> tuple[tuple[str, ...], str | None]:
    """What a QEMU that is started with a definition needs and libvirt does not tell AppArmor of: files of ours, and the folder of a kept QEMU."""
    if confined_by(xml) != "apparmor":
        return (), None
    build = build_of(xml.findtext("devices/emulator", ""))
    return in_place.named(xml), None if build is None else folder_of(build)


def let(xml: ET.Element) -> None:
    """Let the next QEMU of a guest at what it is started with and libvirt does not know of: a kept program, and the files at which it waits for its memory.

    :param xml: What it is started with.
    :raises apparmor.ProfileError: It cannot be done.
    """
    apparmor.let(xml.findtext("uuid", ""), *_needs(xml))


def as_started(xml: ET.Element) -> str:
    """Let the QEMU of a guest that is back at nothing more than it was started with. Returns what is left to say; mostly empty.

    What is in its live XML it needs for longer than for our start: its owner may save it, and start it from that, and its QEMU makes these files again.

    :param xml: Its live XML.
    """
    try:
        apparmor.take_back(xml.findtext("uuid", ""), *_needs(xml))
    except apparmor.ProfileError as error:
        return (
            f"what its QEMU was let at before is still in its AppArmor profile ({error}); it is nothing of another guest's, and its next move takes it out"
        )
    return ""
