# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's bridges, their ports and addresses, and the rules of nftables on them. It holds no decisions."""
from __future__ import annotations

import json
import os
import subprocess
import typing as t

_NET = "/sys/class/net"
#: Seconds for ip(8) or nft(8).
TIMEOUT = 20.0


class CommandFailed(Exception):
    """A command could not be carried out; the text says which and why."""


def _run(argv: t.Sequence[str], stdin: str = "") -> str:
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{' '.join(argv)}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode:
        raise CommandFailed(f"{' '.join(argv)}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout


def is_device(name: str) -> bool:
    """Whether there is a network device of that name."""
    return bool(name) and "/" not in name and os.path.isdir(f"{_NET}/{name}")


def is_linux_bridge(name: str) -> bool:
    """Whether a device is a bridge of the kernel."""
    return is_device(name) and os.path.isdir(f"{_NET}/{name}/bridge")


def master(device: str) -> str:
    """The device that another one is a port of; empty when it is of none."""
    if not is_device(device):
        return ""
    try:
        return os.path.basename(os.readlink(f"{_NET}/{device}/master"))
    except OSError:
        return ""


def ports(bridge: str) -> list[str]:
    """The ports of a bridge of the kernel."""
    try:
        return sorted(os.listdir(f"{_NET}/{bridge}/brif"))
    except OSError:
        return []


def mac(device: str) -> str:
    """A device's own address; empty when there is no such device."""
    try:
        with open(f"{_NET}/{device}/address", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def devices_with(address: str) -> set[str]:
    """The devices that have an IPv4 address.

    :raises CommandFailed: ip(8) fails.
    """
    found = json.loads(_run(["ip", "-json", "-4", "address", "show", "to", f"{address}/32"]) or "[]")
    return {one["ifname"] for one in found if one.get("ifname")}


def add_address(device: str, address: str) -> None:
    """Give a device one more IPv4 address, for itself alone.

    :raises CommandFailed: ip(8) fails.
    """
    _run(["ip", "address", "replace", f"{address}/32", "scope", "link", "dev", device])


def remove_address(device: str, address: str) -> None:
    """Take an address from a device.

    :raises CommandFailed: ip(8) fails.
    """
    _run(["ip", "address", "delete", f"{address}/32", "dev", device])


def has_nft() -> bool:
    """Whether nft(8) is there and the kernel has rules for bridges."""
    try:
        _run(["nft", "list", "tables", "bridge"])
    except CommandFailed:
        return False
    return True


def has_rules(family: str, table: str) -> bool:
    """Whether nftables has a table.

    :param family: Its family, such as `bridge`.
    """
    try:
        _run(["nft", "list", "table", family, table])
    except CommandFailed:
        return False
    return True


def load_rules(text: str) -> None:
    """Have nft(8) carry out a script, whole or not at all.

    :raises CommandFailed: It does not.
    """
    _run(["nft", "--file", "-"], text)
