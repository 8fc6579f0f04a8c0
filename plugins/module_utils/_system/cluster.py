# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for the Pacemaker cluster that a host is in: its configuration, what it calls this host, the definition files that it names."""
from __future__ import annotations

import errno
import os
import subprocess
import typing as t

from .programs import running

#: What cibadmin and crm_node end with when no Pacemaker runs here (`CRM_EX_DISCONNECT`).
_DISCONNECTED = 102
#: Pacemaker's own processes, on a node and on a remote node, of version 2 and later and of version 1.
_PROGRAMS = ("pacemakerd", "pacemaker-based", "pacemaker-remoted", "pacemaker_remoted")
#: Bytes of a definition file that are read; guests' definitions have a few thousand.
_LARGEST = 1 << 20


def _answer(argv: t.Sequence[str], timeout: float) -> str | None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError:  # no Pacemaker is installed
        return None
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"{argv[0]} has not answered in {timeout:g} s") from None
    if done.returncode == _DISCONNECTED and not running(_PROGRAMS):
        return None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or "it says nothing"
        raise OSError(errno.EIO, f"{' '.join(argv)} has failed with exit code {done.returncode} ({said})")
    return done.stdout.decode("utf-8", "replace")


def configuration(timeout: float) -> str | None:
    """The configuration and status of the cluster that this host is in, `None` when no Pacemaker runs here: then no cluster watches its guests.

    :param timeout: Seconds.
    :raises OSError: It cannot be had, in words.
    """
    return _answer(["cibadmin", "--query"], timeout)


def node_name(timeout: float) -> str:
    """What the cluster calls this host; the host's own name when it does not say.

    :param timeout: Seconds.
    :raises OSError: It cannot be found out, in words.
    """
    return (_answer(["crm_node", "--name"], timeout) or "").strip() or os.uname().nodename


def definitions(paths: t.Iterable[str]) -> dict[str, str | None]:
    """The content of definition files, `None` for one that is not to be read on this host."""
    found: dict[str, str | None] = {}
    for path in paths:
        try:
            # Not to wait for a pipe that somebody has put there.
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
                found[path] = stream.read(_LARGEST).decode("utf-8", "replace")
        except (OSError, ValueError):  # ValueError: a path with a NUL
            found[path] = None
    return found
