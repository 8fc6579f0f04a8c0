# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AppArmor on this host: letting libvirt's daemon start kept QEMUs, which it does to ask them what they can do.

The daemon's own profile lets it start what is in `/usr/bin`, unconfined; a guest's QEMU is put into its guest's profile all the same. What an administrator, or
we, let it do besides is in a file of its own, which the profile includes: `/etc/apparmor.d/local/usr.sbin.libvirtd`.

Source: libvirt, src/security/apparmor/usr.sbin.libvirtd.in and usr.sbin.virtqemud.in; apparmor.d(5) for `PUx`.
"""
from __future__ import annotations

import contextlib
import os
import typing as t

from . import apparmor, running_code

#: Those that ask emulators what they can do.
_DAEMONS = frozenset({"libvirtd", "virtqemud"})
FOLDER = "/etc/apparmor.d"


def _confined() -> list[str]:
    """The daemons that run and are kept from something, by name."""
    found = set()
    for name, pid in running_code.daemons():
        # Not there: AppArmor is not in this kernel. Ended: nothing is to be let.
        with contextlib.suppress(OSError), open(f"/proc/{pid:d}/attr/apparmor/current", encoding="utf-8", errors="replace") as stream:
            if name in _DAEMONS and stream.read().strip().endswith(" (enforce)"):
                found.add(name)
    return sorted(found)


def _profile(daemon: str) -> str:
    return os.path.join(FOLDER, f"usr.sbin.{daemon}")


def _local(daemon: str) -> str:
    return os.path.join(FOLDER, "local", f"usr.sbin.{daemon}")


def obstacle() -> str | None:
    """Why libvirt's daemon cannot be let start a kept QEMU, or `None` when it can be, or may already."""
    for daemon in _confined():
        try:
            includes = f"local/usr.sbin.{daemon}" in apparmor.read(_profile(daemon))
        except apparmor.ProfileError as error:
            return f"{daemon} is confined by AppArmor, and {error}"
        if not includes:
            return f"{daemon} is confined by AppArmor, and its profile {_profile(daemon)} has no place for rules of this host ({_local(daemon)})"
    return None


def with_rules(text: str, rules: t.Sequence[str]) -> str:
    """A file of local rules with these of ours and no others of ours. Pure."""
    return "".join(f"{line}\n" for line in [*apparmor.without_rules(text), *apparmor.block(rules)])


def let_start(folder: str) -> None:
    """Let libvirt's daemon start what is in a folder, which only root may write to. Nothing happens where it is not confined, or may already.

    :raises apparmor.ProfileError: It cannot be done.
    """
    for daemon in _confined():
        _write(daemon, [f'"{folder}/**" PUx,'])


def take_back() -> None:
    """Let it do nothing more than its profile and others' rules say.

    :raises apparmor.ProfileError: It cannot be done.
    """
    for daemon in sorted(_DAEMONS):
        _write(daemon, [])


def _write(daemon: str, rules: t.Sequence[str]) -> None:
    path = _local(daemon)
    before = apparmor.read(path) if os.path.exists(path) else ""
    wanted = with_rules(before, rules)
    if wanted != before:
        apparmor.write(path, wanted)
        try:
            apparmor.take_up(_profile(daemon))
        except apparmor.ProfileError:
            # Else the next call would find nothing to do.
            apparmor.write(path, before)
            raise
