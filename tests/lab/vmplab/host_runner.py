"""Stand-alone program: runs one host until it is powered off. Started in its own PID and mount namespace.

Everything it mounts and starts ends with it. Arguments: the host's folder, the base, the group name,
and then systemd-nspawn with its options (the folder's "root" is the host's root).
"""

import subprocess
import sys
from pathlib import Path

# What systemd-nspawn exits with when the host was rebooted rather than powered off.
_REBOOT = 133


def main() -> int:
    folder, base, group = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    nspawn = sys.argv[4:]
    _enter_control_groups(group)
    layers = f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    subprocess.run(("mount", "-t", "overlay", "overlay", "-o", layers, str(folder / "root")), check=True)
    # nspawn's lock files would outlive us here when we are killed.
    Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
    subprocess.run(("mount", "-t", "tmpfs", "tmpfs", "/run/systemd/nspawn"), check=True)
    while True:
        status = subprocess.run(nspawn, check=False).returncode
        if status != _REBOOT:
            return status


def _enter_control_groups(group: str) -> None:
    """Move into a group of our own in every hierarchy: the host's systemd takes our group for the root
    of the tree, and two hosts on the same root would manage each other's services."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place, kind = line.split()[1:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        own = Path(place) / group
        own.mkdir(exist_ok=True)
        # A version 1 cpuset takes no process before it has processors and memory.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if kind == "cgroup" and (own / setting).exists():
                (own / setting).write_text((Path(place) / setting).read_text())
        (own / "cgroup.procs").write_text("0")


if __name__ == "__main__":
    sys.exit(main())
