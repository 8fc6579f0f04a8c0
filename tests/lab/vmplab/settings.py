"""What the lab is made of and where it lives: options, environment, paths."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

MIRROR_PORT = 8077
# The bridge takes the first address of the subnet and the hosts follow from this one on.
FIRST_HOST_ADDRESS = 11


@dataclass(frozen=True)
class Settings:
    """Where the lab lives; the same for every command of one lab."""

    state: Path
    cache: Path
    bridge: str
    subnet: ipaddress.IPv4Network

    @property
    def document(self) -> Path:
        return self.state / "lab.json"

    @property
    def key(self) -> Path:
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "ssh" / "known_hosts"

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return str(self.subnet[1])

    @property
    def mirror_url(self) -> str:
        """Of the package mirror; each release has a folder of its name there."""
        return f"http://{self.gateway}:{MIRROR_PORT}/"

    def host_folder(self, name: str) -> Path:
        return self.state / "hosts" / name

    def host_address(self, number: int) -> str:
        """Address of host h<number>, counted from 1."""
        return str(self.subnet[FIRST_HOST_ADDRESS + number - 1])


@dataclass(frozen=True)
class Sizes:
    """How big the lab is."""

    hosts: int
    domains: int
    guests: int
    guest_memory_mib: int


def from_environment() -> Settings:
    subnet = os.environ.get("VMP_LAB_SUBNET", "10.213.77.0/24")
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise LabError(f"VMP_LAB_SUBNET is not an IPv4 network: {error}.") from error
    if network.prefixlen > 24:
        raise LabError(f"VMP_LAB_SUBNET {network} is too small: the lab needs a /24 or larger.")
    bridge = os.environ.get("VMP_LAB_BRIDGE", "vmplab0")
    # Interface names end at 15 characters, and each host's is "vb-<bridge>-<host>".
    if not bridge.isalnum() or len(bridge) > 8:
        raise LabError(f"VMP_LAB_BRIDGE '{bridge}' must be 1 to 8 letters and digits.")
    return Settings(
        state=_folder("VMP_LAB_STATE", "/var/lib/vm-preserving-lab"),
        cache=_folder("VMP_LAB_CACHE", "/var/cache/vm-preserving-lab"),
        bridge=bridge,
        subnet=network,
    )


def size_from_environment(variable: str, default: int) -> int:
    value = os.environ.get(variable, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise LabError(f"{variable} must be a whole number of at least 1, not '{value}'.")
    return int(value)


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.path.abspath(os.environ.get(variable) or default))
    # Both folders are deleted as a whole by `down` and `purge`, and both end up in overlayfs
    # options, where a comma or a colon separates.
    if len(folder.parts) < 3 or any(character in str(folder) for character in ",: \n"):
        raise LabError(f"{variable} '{folder}' must be a folder of its own, two levels deep, without commas, colons or spaces.")
    return folder
