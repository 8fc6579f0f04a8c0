# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that the scripts of packages find in the place of systemctl, so that what they would restart is written down and done later.

Two nets hold a restart back. The scripts find this program first in their `PATH`: it writes down what changes the state of a unit, and hands everything else
to the real systemctl. And whoever calls that by its full path, or with a path of his own (rpm's scripts), is stopped by `SYSTEMD_OFFLINE=1`, with which
systemctl itself leaves units alone (systemctl(1)). Both are the environment of one command: whatever kills it, nothing on the host holds a later restart back.
"""
from __future__ import annotations

import os

#: Where programs are, for the scripts of packages: apt's own default of DPkg::Path.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: The variable that names the file in which it writes: for each call a line of the package that asks (dpkg(1)), a tab, and what it asks for.
RECORD = "VM_PRESERVING_HELD"

# The options that take a value as a word of its own are those of systemctl(1). What is about another manager than the host's own is not ours.
PROGRAM = f"""\
#!/bin/sh
# Written by vm_preserving.maintenance for one command, which finds it in its PATH: what changes the state of a unit is done later, with the guests paused.
verb= now= value=
for word in "$@"; do
    if [ -n "$value" ]; then value=; continue; fi
    case $word in
    --user | --global | --root | --root=* | --image | --image=* | -M* | --machine | --machine=* | -H* | --host | --host=*) verb=elsewhere ;;
    --now) now=yes ;;
    -t | -p | -P | -s | -n | -o) value=yes ;;
    --type | --state | --property | --job-mode | --signal | --what | --lines | --output | --kill-whom | --preset-mode) value=yes ;;
    -*) ;;
    *) [ -n "$verb" ] || verb=$word ;;
    esac
done
PATH={SYSTEM_PATH}
unset SYSTEMD_OFFLINE
hold() {{ printf '%s\\t%s\\n' "${{DPKG_MAINTSCRIPT_PACKAGE:-}}" "$*" >> "${{{RECORD}:?}}"; }}
case $verb in
start | stop | restart | try-restart | condrestart | reload | force-reload | reload-or-restart | try-reload-or-restart | reload-or-try-restart)
    hold "$@"
    exit
    ;;
enable | reenable | disable | mask | preset)
    if [ -n "$now" ]; then
        hold "$@" || exit
        for word in "$@"; do
            shift
            [ "$word" = --now ] || set -- "$@" "$word"
        done
    fi
    ;;
esac
exec systemctl "$@"
"""


def write(folder: str) -> None:
    """Put the program into a folder, which is made.

    :raises OSError: It cannot be written.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "systemctl")
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700), "w", encoding="ascii") as stream:
        stream.write(PROGRAM)
        os.fchmod(stream.fileno(), 0o700)
    os.replace(path + ".new", path)


def environment(record: str) -> dict[str, str]:
    """What the command's environment gets besides its path.

    :param record: The file in which the program writes.
    """
    return {"SYSTEMD_OFFLINE": "1", RECORD: record}


def path(folder: str) -> str:
    """The `PATH` for scripts of packages.

    :param folder: Where the program is.
    """
    return f"{folder}:{SYSTEM_PATH}"
