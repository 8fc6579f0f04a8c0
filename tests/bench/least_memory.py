"""Run on a host of the lab: watch the memory that the machine can give until standard input closes, then print what it fell by, in bytes."""

import select
import sys
import time


def available() -> int:
    with open("/proc/meminfo", encoding="ascii") as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith("MemAvailable:"))


at_first = least = available()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    least = min(least, available())
    time.sleep(0.01)
print(at_first - least, flush=True)
