# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-alone program, run on a host: notes how far the clocks of guests are off, as the guests themselves show it over their network.

It writes one JSON object per answer of a guest: `at` (CLOCK_MONOTONIC, seconds), `guest` and `offset` (the guest's clock minus the host's, seconds,
late by what the guest needs to show it: up to 0.3 s). A guest that stands still gives no answers.

Arguments: the file to append to, and NAME=ADDRESS of each guest.
"""

import json
import sys
import threading
import time
import urllib.request

#: Seconds between two looks at a guest.
LOOK = 0.05


def watch(stream, lock, guest, address):
    """For ever."""
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/evidence", timeout=0.5) as answer:
                clock = json.load(answer)["clock"]
        except (OSError, ValueError):
            continue
        line = json.dumps({"at": time.monotonic(), "guest": guest, "offset": clock - time.time()})
        with lock:
            stream.write(line + "\n")
        time.sleep(LOOK)


def main():
    """The program."""
    lock = threading.Lock()
    with open(sys.argv[1], "a", encoding="ascii", buffering=1) as stream:
        threads = [threading.Thread(target=watch, args=(stream, lock, *pair.split("="))) for pair in sys.argv[2:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
