"""The hosts: an overlay on the base each, booted by systemd-nspawn."""

import shutil
import sys
import uuid
from pathlib import Path

from . import processes, remote
from .base_image import OPERATOR_GID, OPERATOR_UID
from .errors import LabError
from .layout import MAX_HOSTS
from .releases import RELEASES
from .run import CONTAINED, run, wait_until
from .settings import Settings

_RUNNER = Path(__file__).with_name("host_runner.py")
# Where the hosts see the guests' kernel and initramfs.
GUEST_IMAGE = "/srv/guest-image"


def is_running(settings: Settings, host: dict) -> bool:
    return bool(processes.find(settings, host["name"]))


def start(settings: Settings, host: dict, base: Path, guest_image: Path) -> None:
    """Make the host's file system and boot it; does not wait for it."""
    folder = settings.host_folder(host["name"])
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    _configure(settings, host, folder / "upper")
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


def wait_for(settings: Settings, host: dict) -> None:
    """Until it lets us in and its libvirt answers."""
    name = host["name"]
    console = settings.host_folder(name) / "console.log"

    def lets_us_in() -> bool:
        if not is_running(settings, host):
            raise LabError(f"Host {name} ended while it booted: {console} says why.")
        return remote.answers(settings, host)

    wait_until(lets_us_in, what=f"An SSH login on host {name} (its console: {console})", timeout=120)
    remote.shell(settings, host, "apt-get -q update", timeout=120)
    remote.call(settings, host, "wait_for_libvirt", timeout=60)


def comes_back(settings: Settings, host: dict) -> bool:
    """Whether the host answers, now or after the reboot that it may be in the middle of."""
    wait_until(
        lambda: not is_running(settings, host) or remote.answers(settings, host),
        what=f"An SSH login on host {host['name']}, which runs (`lab reset {host['name']}` makes it afresh)",
        timeout=60,
    )
    return is_running(settings, host)


def stop(settings: Settings, name: str) -> None:
    """Cut the host off and remove its file system, whatever is left of it."""
    processes.end(settings, name)
    _remove_control_groups(_group(settings, name))
    shutil.rmtree(settings.host_folder(name), ignore_errors=True)


def stop_all(settings: Settings) -> None:
    """End every process of the lab, and remove all hosts, known or left behind."""
    processes.end(settings)
    _remove_control_groups(_group(settings, "*"))
    shutil.rmtree(settings.state / "hosts", ignore_errors=True)


def make_operator_key(settings: Settings) -> None:
    settings.key.parent.mkdir(parents=True)
    _make_key(settings.key, "lab")
    settings.known_hosts.touch()


def _configure(settings: Settings, host: dict, upper: Path) -> None:
    """Write what differs from host to host into the overlay's own layer."""
    name = host["name"]
    files = {
        "etc/hostname": f"{name}\n",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/hosts": "127.0.0.1 localhost\n" + "".join(f"{settings.host_address(n)} h{n}\n" for n in range(1, MAX_HOSTS + 1)),
        "etc/apt/sources.list": f"deb [trusted=yes] {settings.mirror_url}{host['release']}/ ./\n",
        "etc/systemd/network/10-lab.network": (
            "[Match]\nName=host0\n"
            f"[Network]\nAddress={host['address']}/{settings.subnet.prefixlen}\nLinkLocalAddressing=no\n"
        ),
    }
    for path, text in files.items():
        file = upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for home, owner, group in (("root", 0, 0), ("home/operator", OPERATOR_UID, OPERATOR_GID)):
        ssh = upper / home / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        shutil.copy(settings.key.with_suffix(".pub"), ssh / "authorized_keys")
        ssh.parent.chmod(0o700)
        for path in (ssh.parent, ssh, ssh / "authorized_keys"):
            shutil.chown(path, owner, group)
    # A host logs in to another for a migration; as "etc/hosts" above, this is for all hosts that the lab may have.
    shutil.copy(settings.key, upper / "root/.ssh/id_ed25519")
    (upper / "etc/ssh").mkdir()
    host_key = upper / "etc/ssh/ssh_host_ed25519_key"
    _make_key(host_key, name)
    _make_known(settings, host["address"], host_key.with_suffix(".pub").read_text())


def _make_known(settings: Settings, address: str, public_key: str) -> None:
    others = [line for line in settings.known_hosts.read_text().splitlines() if line.split()[0] != address]
    kind, key = public_key.split()[:2]
    settings.known_hosts.write_text("\n".join([*others, f"{address} {kind} {key}"]) + "\n")


def _make_key(file: Path, comment: str) -> None:
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)), what=f"Making the SSH key {file}")


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
