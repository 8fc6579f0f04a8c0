"""Hosts of the kind container: an overlay on the base each, booted by systemd-nspawn on the machine's own kernel."""

import shutil
import sys
import uuid
from pathlib import Path

from . import processes
from .host_files import HostFile
from .layout import GUEST_IMAGE
from .releases import RELEASES
from .run import CONTAINED, wait_until
from .settings import Settings

_RUNNER = Path(__file__).with_name("host_runner.py")
#: nspawn's name of the host's network device.
INTERFACE = "host0"


def start(settings: Settings, host: dict, files: list[HostFile], base: Path, guest_image: Path) -> None:
    """Make the host's file system and boot it; does not wait for it."""
    folder = settings.host_folder(host["name"])
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    _write([*files, HostFile("etc/machine-id", f"{uuid.uuid4().hex}\n")], folder / "upper")
    # Without it nspawn gives the host what the machine itself uses.
    unified = ("env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1") if RELEASES[host["release"]].unified else ()
    nspawn = (
        *unified,
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--directory={folder / 'root'}",
        # The machine's name makes the name of its network cable on the bridge.
        f"--machine={settings.bridge}-{host['name']}",
        f"--hostname={host['name']}",
        f"--network-bridge={settings.bridge}",
        "--capability=all",
        "--bind=/dev/net/tun",
        f"--bind-ro={guest_image}:{GUEST_IMAGE}",
        # nspawn's own is a tenth of the machine's memory; guests' memory is saved and kept there.
        "--tmpfs=/dev/shm:mode=1777,size=50%",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        "--boot",
    )
    runner = (sys.executable, str(_RUNNER), str(folder), str(base), _group(settings, host["name"]))
    processes.start(settings, host["name"], (*CONTAINED, *runner, *nspawn), folder / "console.log")


def clean_up(settings: Settings, name: str) -> None:
    """Remove what the kernel keeps of a host that has ended; `*`: of all hosts."""
    _remove_control_groups(_group(settings, name))


def _write(files: list[HostFile], upper: Path) -> None:
    """Write what differs from host to host into the overlay's own layer."""
    for one in files:
        path = upper / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text)
        path.chmod(one.mode)
        if one.home is not None:
            home = upper / one.home
            for place, mode in ((home, 0o700), (path.parent, 0o700), (path, one.mode)):
                place.chmod(mode)
                shutil.chown(place, one.owner, one.group)


def _group(settings: Settings, name: str) -> str:
    return f"{settings.bridge}.{name}"


def _remove_control_groups(pattern: str) -> None:
    def gone() -> bool:
        groups = [group for place in _hierarchies() for group in place.glob(pattern)]
        for group in groups:
            # Deepest first; one that still holds an ending process stays for the next try.
            for folder in sorted((group, *(path for path in group.rglob("*") if path.is_dir())), reverse=True):
                try:
                    folder.rmdir()
                except OSError:
                    break
        return not groups

    wait_until(gone, what=f"The end of the control groups {pattern}", timeout=20)


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(place) for place, kind in (fields[1:3] for fields in mounts) if kind in ("cgroup", "cgroup2")]
