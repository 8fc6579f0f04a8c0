# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freezing the file systems of a guest by its agent before it is saved, with the hooks that its owner has put there, and thawing them again.

While they are frozen the agent takes no other order but to thaw: also none to set the clock (QEMU, qga/main.c, `ga_freeze_allowlist`).
"""
from __future__ import annotations

import json
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core.errors import MaintenanceError
from .._core.policy import policy
from .._system.hypervisor import Guest, describe

#: Seconds for the agent to freeze, hooks included.
FREEZE_TIMEOUT = 10
#: Seconds for one order to thaw, and for as many as it takes. libvirt finds the agent of a restored guest a moment after it runs.
THAW_TIMEOUT, PATIENCE = 10, 20.0
_BETWEEN = 0.2
#: Seconds that it is taken to make a guest be away longer. The hooks' own time is not known.
TAKES = 1.0

_FREEZE, _THAW = "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"


def is_wanted(xml: ET.Element, name: str, uuid: str, names: t.Container[str]) -> bool:
    """Whether a guest is to be quiesced: its owner says so in its metadata (`quiesce="yes"`), or the operator names it.

    :param xml: Its live XML.
    :param names: Names and UUIDs that the operator gives.
    """
    return policy(xml).get("quiesce") == "yes" or name in names or uuid in names


def _ask(guest: Guest, command: str, timeout: int) -> t.Any:
    answer = json.loads(guest.agent_command(json.dumps({"execute": command}), timeout))
    return answer.get("return") if isinstance(answer, dict) else None


def obstacle(guest: Guest) -> str | None:
    """Why a guest cannot be quiesced, `None`: it can."""
    try:
        found = _ask(guest, "guest-info", FREEZE_TIMEOUT)
    except Exception as error:  # no agent, or one that does not answer: libvirt's reason is the message
        return f"it is to be quiesced, and its agent does not answer ({describe(error)})"
    commands = found.get("supported_commands") if isinstance(found, dict) else None
    able = {one.get("name") for one in commands if isinstance(one, dict) and one.get("enabled") is True} if isinstance(commands, list) else set()
    missing = [one for one in (_FREEZE, _THAW) if one not in able]
    return f"it is to be quiesced, and its agent does not do that ({', '.join(missing)})" if missing else None


def freeze(guest: Guest) -> None:
    """Freeze a guest's file systems. The ledger says before that this may be done to it.

    :raises MaintenanceError: code `quiesce`: they are not frozen; what was is thawed again.
    """
    try:
        _ask(guest, _FREEZE, FREEZE_TIMEOUT)
    except Exception as error:
        left = thaw(guest)
        raise MaintenanceError(f"guest {guest.name!r} could not be quiesced, and runs on ({describe(error)}){left}", "quiesce") from error


def thaw(guest: Guest) -> str:
    """Thaw a guest's file systems, whether they are frozen or not.

    :returns: What is left to say; empty when its agent says that it has.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            _ask(guest, _THAW, THAW_TIMEOUT)
            return ""
        except Exception as error:  # tried again; in the end it is told
            if time.monotonic() > give_up:
                return (
                    f"; its file systems may still be frozen, for its agent did not answer the order to thaw them ({describe(error)}): run virsh domfsthaw "
                    f"{guest.name}"
                )
        time.sleep(_BETWEEN)
