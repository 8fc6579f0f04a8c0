"""What differs from host to host: the files that make a base this host of this lab."""

import threading
from dataclasses import dataclass
from pathlib import Path

from .base_image import OPERATOR_GID, OPERATOR_UID
from .layout import MAX_HOSTS
from .run import run
from .settings import Settings

# Hosts are started side by side.
_KNOWN = threading.Lock()


@dataclass(frozen=True)
class HostFile:
    """One file of a host.

    path: below the root. home: the home directory that it is in, which belongs to the file's owner with all that leads there; None: it is root's.
    """

    path: str
    text: str
    mode: int = 0o644
    home: str | None = None
    owner: int = 0
    group: int = 0


def of_host(settings: Settings, host: dict, interface: str) -> list[HostFile]:
    """The files of a host, whose new key is entered in the lab's known_hosts.

    interface: how its network device is called, as systemd-networkd matches names.
    """
    name = host["name"]
    host_key = settings.host_folder(name) / "ssh_host_ed25519_key"
    make_key(host_key, name)
    _make_known(settings, host["address"], host_key.with_suffix(".pub").read_text())
    operators = settings.key.with_suffix(".pub").read_text()
    return [
        HostFile("etc/hostname", f"{name}\n"),
        HostFile("etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{settings.host_address(n)} h{n}\n" for n in range(1, MAX_HOSTS + 1))),
        HostFile("etc/apt/sources.list", f"deb [trusted=yes] {settings.mirror_url}{host['release']}/ ./\n"),
        HostFile(
            "etc/systemd/network/10-lab.network",
            f"[Match]\nName={interface}\n[Network]\nAddress={host['address']}/{settings.subnet.prefixlen}\nLinkLocalAddressing=no\n",
        ),
        HostFile("root/.ssh/authorized_keys", operators, home="root"),
        HostFile("home/operator/.ssh/authorized_keys", operators, home="home/operator", owner=OPERATOR_UID, group=OPERATOR_GID),
        # A host logs in to another for a migration; as "etc/hosts" above, this is for all hosts that the lab may have.
        HostFile("root/.ssh/id_ed25519", settings.key.read_text(), mode=0o600, home="root"),
        HostFile("etc/ssh/ssh_host_ed25519_key", host_key.read_text(), mode=0o600),
        HostFile("etc/ssh/ssh_host_ed25519_key.pub", host_key.with_suffix(".pub").read_text()),
    ]


def make_key(file: Path, comment: str) -> None:
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)), what=f"Making the SSH key {file}")


def _make_known(settings: Settings, address: str, public_key: str) -> None:
    kind, key = public_key.split()[:2]
    with _KNOWN:
        others = [line for line in settings.known_hosts.read_text().splitlines() if line.split()[0] != address]
        settings.known_hosts.write_text("\n".join([*others, f"{address} {kind} {key}"]) + "\n")
