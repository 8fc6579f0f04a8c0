# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests are shut down for their host's update: the last resort before a refusal. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

Result = t.Mapping[str, t.Any]

#: Blockers by which a guest can be neither moved nor saved as it runs, whatever is waited for, and which a start from its definition does not have.
CANNOT_BE_KEPT = (
    "passthrough", "virtiofs", "filesystem", "transient_disk", "shmem", "launch_security", "invtsc", "not_migratable", "other_size", "downgrade", "opted_out",
)
#: Blockers that are of all guests together. They are judged anew for those that are left.
OF_ALL = ("pause_limit", "host_disk", "host_memory")


def may_be_stopped(guest: Result, names: t.Container[str], chosen: t.Container[str]) -> bool:
    """Whether a guest may be shut down where it cannot be kept.

    :param guest: As guest_info returned it. Its `stop_allowed` is what its owner says.
    :param names: Names and UUIDs of the guests of which the operator says so.
    :param chosen: UUIDs of the guests for which the operator's condition holds.
    """
    return guest["name"] in names or guest["uuid"] in names or guest["uuid"] in chosen or bool(guest.get("stop_allowed"))


def guests_to_stop(judged: Result, may_stop: t.Container[str], moved: t.Container[str] | None = None) -> list[dict[str, t.Any]]:
    """The guests that have to be shut down, and may be.

    :param judged: What guest_save or guest_refresh said in check mode, also where it refused.
    :param may_stop: UUIDs of the guests that may be shut down.
    :param moved: UUIDs of the guests that the update is about; `None`: all.
    :returns: For each `name`, `uuid`, `why` in words, and `files`, what its next QEMU opens.
    """
    found = []
    for guest in judged.get("guests", []):
        codes = {one["code"] for one in guest["blockers"]}
        hopeless = bool(codes & set(CANNOT_BE_KEPT)) and codes <= {*CANNOT_BE_KEPT, *OF_ALL}
        if hopeless and guest["uuid"] in may_stop and (moved is None or guest["uuid"] in moved):
            why = ", ".join(one["message"] for one in guest["blockers"] if one["code"] in CANNOT_BE_KEPT)
            found.append({"name": guest["name"], "uuid": guest["uuid"], "why": why, "files": guest["files"]})
    return found
