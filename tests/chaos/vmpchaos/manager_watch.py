# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-alone program, run on a host: does to a guest what its manager does when he finds it shut off, without his patience.

    manager_watch.py nova NAME FILE        takes it for stopped by its user, and removes it with its saved memory
    manager_watch.py vdsm NAME FILE        takes it for down, and undefines it
    manager_watch.py pacemaker NAME FILE   takes it for failed, and starts it anew (agent VirtualDomain)
    manager_watch.py nobody NAME FILE      is there, and does nothing

A guest that is paused is left alone, as all of them do. Each act is a line in the file.
"""

import sys
import time

import libvirt

LOOK = 0.1

libvirt.registerErrorHandler(lambda _context, _error: None, None)


def act(manager, domain):
    """What the manager does to a guest that is shut off."""
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()
    if manager == "pacemaker":
        domain.create()
        return "started anew"
    domain.undefine()
    return "removed"


def main():
    """The program."""
    manager, name, path = sys.argv[1:]
    while manager == "nobody":
        time.sleep(3600)
    while True:
        try:
            connection = libvirt.open("qemu:///system")
            while True:
                domain = connection.lookupByName(name)
                if not domain.isActive():
                    done = act(manager, domain)
                    with open(path, "a", encoding="utf-8") as stream:
                        stream.write(f"{manager} {done} {name}\n")
                time.sleep(LOOK)
        except libvirt.libvirtError:  # libvirtd is away, or the guest is
            time.sleep(LOOK)


if __name__ == "__main__":
    main()
