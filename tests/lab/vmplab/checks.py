"""What this machine must have; each lack is reported in one sentence before anything is changed."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from .errors import LabError
from .settings import Settings

# Program and the package that has it (apt-packages.txt).
_TOOLS = {
    "debootstrap": "debootstrap",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "mount": "mount",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
# What hosts of the kind machine need besides.
_MACHINE_TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "sfdisk": "fdisk", "mke2fs": "e2fsprogs"}
_MODULES = ("bridge", "overlay", "tun", "veth", "nf_nat", "nft_masq", "nft_chain_nat")
_CACHE_BYTES = 3 * 1024**3
_STATE_BYTES_PER_HOST = 512 * 1024**2


def require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("The lab needs root: it mounts, makes a bridge and starts systemd-nspawn.")


def require_machine(settings: Settings, hosts: int, kind: str) -> None:
    if platform.machine() != "x86_64":
        raise LabError(f"The lab's guests are made for x86_64, and this machine is {platform.machine()}.")
    for tool, package in {**_TOOLS, **(_MACHINE_TOOLS if kind == "machine" else {})}.items():
        if shutil.which(tool) is None:
            raise LabError(f"The program '{tool}' is missing: install the package {package}.")
    _load_modules()
    if not Path("/dev/net/tun").exists():
        raise LabError("/dev/net/tun is missing: the hosts need the kernel's tun driver for their guests' network.")
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        raise LabError("This kernel has no overlay file system: the hosts' root file systems need it.")
    _require_space(settings.state, _STATE_BYTES_PER_HOST * hosts, "VMP_LAB_STATE")
    if not settings.cache.is_dir() or not any(settings.cache.glob("mirror-*")):
        _require_space(settings.cache, _CACHE_BYTES, "VMP_LAB_CACHE")


def _load_modules() -> None:
    """Best effort: where a driver is part of the kernel there is nothing to load, and what is then missing is reported above."""
    if shutil.which("modprobe"):
        subprocess.run(("modprobe", "--quiet", "--all", *_MODULES), check=False)


def _require_space(folder: Path, wanted: int, variable: str) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise LabError(f"{folder} has {free // 1024**2} MiB free, the lab needs {wanted // 1024**2} MiB: set {variable} to a larger disk.")
