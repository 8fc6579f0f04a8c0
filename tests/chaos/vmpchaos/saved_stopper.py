# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host by itself: stops a process (SIGSTOP) at the moment at which a fault needs it, and writes down which.

    stopper.py FILE save NAME,UUID   the process through which libvirt writes the image of the guest
    stopper.py FILE restore NAME     the new QEMU that restores the guest's saved state
    stopper.py FILE proof NAME       the new QEMU that restores a guest that is thrown away, whose name begins so
    stopper.py FILE saved NAME       the program that saves guests, killed (SIGKILL) as soon as the QEMU of this guest has ended
"""

import json
import os
import signal
import sys
import time

LEDGER = "/var/lib/vm_preserving/system/saved.json"


def processes():
    """Process id and arguments of all processes."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    yield int(entry), stream.read().decode("utf-8", "replace").split("\0")
            except OSError:
                continue


def save(either, _earlier):
    """libvirt's helper has the path of the image in its command line."""
    paths = tuple(f"/{word}.save" for word in either.split(","))
    return next((pid for pid, words in processes() if "iohelper" in words[0] and any(one.endswith(paths) for one in words[1:])), None)


def restore(name, earlier):
    """A QEMU that is to be given a state has the option for that. One that runs already has it from an earlier restore."""
    wanted = f"guest={name},"
    return next((pid for pid, words in processes()
                 if pid not in earlier and "-incoming" in words and any(one.startswith(wanted) for one in words)), None)


def proof(name, earlier):
    """The same for a guest whose name nobody knows before."""
    wanted = f"guest={name}"
    return next((pid for pid, words in processes()
                 if pid not in earlier and "-incoming" in words and any(one.startswith(wanted) for one in words)), None)


def saved(name, _earlier):
    """The ledger's entry has the guest's old process, and the ledger the program's."""
    try:
        with open(LEDGER, encoding="utf-8") as stream:
            saving = json.load(stream)["saved"]
    except (OSError, ValueError):
        return None
    entry = next(one for one in saving["guests"] if one["name"] == name)
    if entry["phase"] == "planned" or os.path.exists(f"/proc/{entry['pid']}/exe"):
        return None
    return saving["opener_pid"]


def main():
    """The program."""
    path, what, word = sys.argv[1:]
    look, number = {
        "save": (save, signal.SIGSTOP), "restore": (restore, signal.SIGSTOP), "proof": (proof, signal.SIGSTOP),
        "saved": (saved, signal.SIGKILL),
    }[what]
    earlier = {pid for pid, _words in processes()}
    while True:
        pid = look(word, earlier)
        if pid is not None:
            os.kill(pid, number)
            break
        time.sleep(0.002)
    with open(path + ".new", "w", encoding="ascii") as stream:
        stream.write(str(pid))
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
