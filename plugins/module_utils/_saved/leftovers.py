# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof (`proof`) has of the host, and removing it: at its end, or, when it died, by whoever comes next. Under the ledger's lock."""
from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import time

from .._core.calls import Call, run_lanes
from .._core.errors import MaintenanceError
from .._core.places import Places
from .._core.throwaway import NAME, UUID
from .._system import apparmor, guest_log
from .._system.hypervisor import Connection
from .._system.memory_backing import memory_backing_dir
from .._system.running_code import throwaways
from .in_place import memory as in_place

#: Seconds for libvirt to end the throw-away guests, and as many to forget them.
END_TIMEOUT = 10.0
#: Seconds between two looks whether it has.
LOOK = 0.02
#: What is said when somebody else has died, and this was done for him.
REMOVED = "what an interrupted proof of a save and a restore had left was removed; no guest of this host had a part in it"


def proof_folder(where: Places) -> str:
    """Where the images of throw-away guests are. It is there as long as something else of them can be."""
    return os.path.join(where.state, "proof")


def are_there(where: Places) -> bool:
    """Whether a proof goes on, or has left something."""
    return os.path.isdir(proof_folder(where))


def forget(uri: str, where: Places) -> None:
    """End the throw-away guests, and remove all that they have left. Nothing happens where there is none.

    :raises MaintenanceError: code `proof`: it cannot be removed.
    """
    if not are_there(where):
        return
    for guest in throwaways(where):
        # Before libvirt is asked: with one that waits for its memory libvirt is busy, and answers nobody who asks for it.
        if guest.uuid in in_place.command_line(guest.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(guest.pid, signal.SIGKILL)
    connection = Connection(uri)
    run_lanes([[Call(guest.destroy) for guest in connection.throwaways()]], 4, END_TIMEOUT)
    give_up = time.monotonic() + END_TIMEOUT
    while connection.throwaways():
        if time.monotonic() > give_up:
            raise MaintenanceError(
                f"libvirt does not end {', '.join(guest.name for guest in connection.throwaways())}, on which a save and a restore were tried; no guest of "
                "this host was touched by it. End it (virsh destroy), and run again", "proof",
            )
        time.sleep(LOOK)
    try:
        _remove_files(where)
    except OSError as error:
        raise MaintenanceError(
            f"what is left of the guests on which a save and a restore were tried cannot be removed ({error}); no guest of this host was touched by "
            "them. Remove "
            f"{proof_folder(where)}, and run again", "proof",
        ) from error


def _remove_files(where: Places) -> None:
    for folder in glob.glob(f"{memory_backing_dir()}/vm_preserving/{UUID}*"):
        in_place.forget(folder)
    meetings = os.path.dirname(in_place.meeting_of(UUID).monitor)
    # Its AppArmor profile, too: some releases of libvirt leave them there.
    for pattern in (f"{meetings}/{UUID}*", f"{guest_log.FOLDER}/{NAME}*", f"{apparmor.PROFILES}/libvirt-{UUID}*"):
        for path in glob.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    # Last: it says that there may be more.
    shutil.rmtree(proof_folder(where))
