"""Run on a host whose guests AppArmor confines: open files from inside the confinement of guests, again and again, until it is told to stop.

Arguments: the UUIDs of two guests. Prints JSON: for each pair "confined guest, file's owner" what was seen. A socket that may be opened says that it is no
file to be read (ENXIO); one that may not, "Permission denied". So nothing is disturbed by a look.
"""

import json
import os
import subprocess
import sys
import time

FOLDER = "/var/lib/libvirt/qemu/vm-preserving"
STOP = "/run/probe.stop"


def look(confined, owner):
    path = f"{FOLDER}/{owner}.sock"
    argv = ["aa-exec", "-p", f"libvirt-{confined}", "--", "/bin/cat", path]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stderr
    for word in ("No such device", "Permission denied", "No such file"):
        if word in said:
            return word
    return said.strip()


def main():
    guests = sys.argv[1:3]
    seen = {f"{confined} {owner}": {} for confined in guests for owner in guests}
    while not os.path.exists(STOP):
        time.sleep(0.05)  # the host is slow, and has other things to do
        for confined in guests:
            for owner in guests:
                if os.path.exists(f"{FOLDER}/{owner}.sock"):
                    counts = seen[f"{confined} {owner}"]
                    said = look(confined, owner)
                    counts[said] = counts.get(said, 0) + 1
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
