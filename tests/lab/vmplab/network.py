"""The bridge between this machine and the hosts."""

import hashlib
import ipaddress
import json

from .errors import LabError
from .run import run, wait_until
from .settings import Settings


def create(settings: Settings) -> None:
    """Make the bridge; refuse if its name or its addresses belong to something else."""
    if _interface(settings) is not None:
        raise LabError(f"The interface {settings.bridge} is not the lab's: set VMP_LAB_BRIDGE to a name that is free.")
    for route in json.loads(run(("ip", "-json", "-4", "route", "show", "table", "all"), what="Reading the routes")):
        # "default" is everywhere; the others would be hidden by our bridge.
        if route["dst"] != "default" and ipaddress.IPv4Network(route["dst"]).overlaps(settings.subnet):
            raise LabError(
                f"The network {settings.subnet} is in use (route to {route['dst']} by {route.get('dev', 'another interface')}):"
                " set VMP_LAB_SUBNET to one that is free."
            )
    _ip("link", "add", settings.bridge, "address", _mac(settings), "type", "bridge")
    _ip("address", "add", f"{settings.gateway}/{settings.subnet.prefixlen}", "dev", settings.bridge)
    _ip("link", "set", settings.bridge, "up")


def is_up(settings: Settings) -> bool:
    interface = _interface(settings)
    return _is_ours(settings, interface) and "UP" in interface["flags"]


def remove(settings: Settings) -> None:
    """Remove the bridge if it is ours, and see the hosts' cables gone, which the kernel takes down a moment later."""
    if _is_ours(settings, _interface(settings)):
        _ip("link", "delete", settings.bridge)
    wait_until(lambda: not _cables(settings), what="The end of the hosts' network interfaces", timeout=20)


def _cables(settings: Settings) -> list[str]:
    return [entry["ifname"] for entry in _links() if entry["ifname"].startswith(f"vb-{settings.bridge}-")]


def _interface(settings: Settings) -> dict | None:
    return next((entry for entry in _links() if entry["ifname"] == settings.bridge), None)


def _links() -> list[dict]:
    return json.loads(run(("ip", "-json", "link", "show"), what="Reading the network interfaces"))


def _is_ours(settings: Settings, interface: dict | None) -> bool:
    return interface is not None and interface["address"] == _mac(settings)


def _mac(settings: Settings) -> str:
    """A locally administered address that shows whose bridge it is, from the instant it exists."""
    digest = hashlib.sha256(str(settings.state).encode()).digest()
    return "02:" + ":".join(f"{byte:02x}" for byte in digest[:5])


def _ip(*arguments: str) -> None:
    run(("ip", *arguments), what=f"Setting up the bridge (ip {' '.join(arguments)})")
