# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things live on a host, for one libvirt URI."""
from __future__ import annotations

import os
import typing as t

from .errors import MaintenanceError

#: The only URIs which the guard can serve: it must run on the host whose guests it resumes.
SYSTEM_URI = "qemu:///system"
SESSION_URI = "qemu:///session"


class Places(t.NamedTuple):
    """The folders of one libvirt URI.

    :ivar state: Our own folder: ledger, lock and the guard's program. Survives a reboot of the host.
    :ivar runtime: libvirt's folder of `NAME.xml` (status) and `NAME.pid` files of running guests.
    """

    state: str
    runtime: str

    @property
    def ledger(self) -> str:
        """The ledger file."""
        return os.path.join(self.state, "ledger.json")

    @property
    def saved(self) -> str:
        """The file that says which guests are saved, or about to be, to be restored."""
        return os.path.join(self.state, "saved.json")

    @property
    def stopped(self) -> str:
        """The file that says which guests are shut down, or about to be, to be started again."""
        return os.path.join(self.state, "stopped.json")

    @property
    def lock(self) -> str:
        """The lock file which serialises the changes of all three."""
        return os.path.join(self.state, "lock")


def _absolute(path: str | None) -> str | None:
    return path if path and os.path.isabs(path) else None


def places(uri: str, environ: t.Mapping[str, str] | None = None) -> Places:
    """The folders for a libvirt URI.

    :param uri: `qemu:///system` or `qemu:///session`.
    :param environ: The environment, for the XDG folders of a session (default: this process's).
    :raises MaintenanceError: code `uri`: the URI is not a local QEMU driver.
    """
    env = os.environ if environ is None else environ
    if uri == SYSTEM_URI:
        return Places("/var/lib/vm_preserving/system", "/run/libvirt/qemu")
    if uri == SESSION_URI:
        home = env.get("HOME") or os.path.expanduser("~")
        # A relative path is to be ignored (XDG Base Directory Specification).
        state = _absolute(env.get("XDG_STATE_HOME")) or os.path.join(home, ".local", "state")
        # Without a session's runtime folder libvirt itself falls back to the cache folder.
        runtime = _absolute(env.get("XDG_RUNTIME_DIR")) or _absolute(env.get("XDG_CACHE_HOME")) or os.path.join(home, ".cache")
        return Places(os.path.join(state, "vm_preserving", "session"), os.path.join(runtime, "libvirt", "qemu", "run"))
    raise MaintenanceError(
        f"uri {uri!r} is not supported: the guard has to run on the host of the guests, so it is {SYSTEM_URI} or "
        f"{SESSION_URI}; run the task on the KVM host itself. No guest was touched.",
        "uri",
    )
