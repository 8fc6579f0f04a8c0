"""Tiny packages to update: one quick, one that outlasts the pause limit, one that fails, one that restarts the network, one that stands for a kernel.

Version 1.0 is installed on the hosts and 2.0 is in the package mirror. All but the first are held on the hosts, so that an update of everything
works there; `apt-mark unhold` offers them.
"""

from pathlib import Path

from .run import run

HELD = ("lab-slow", "lab-broken", "openvswitch-lab", "linux-image-lab")

_CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: The lab <root@localhost>
Description: {description}
"""

# Name, description, what its version 2.0 does when it is configured.
_PACKAGES = (
    ("lab-tool", "updates in no time", None),
    ("lab-slow", "takes 120 s to update", "sleep 120"),
    ("lab-broken", "cannot be updated", "echo 'lab-broken: this package always fails' >&2; exit 1"),
    # By their names they need a pause and a reboot: a host in a container has no virtual switch and no kernel of its own.
    ("openvswitch-lab", "restarts the host's network", "systemctl restart systemd-networkd"),
    ("linux-image-lab", "stands for a kernel", None),
)


def build(folder: Path, version: str) -> None:
    """Put one .deb of each into the folder."""
    for name, description, action in _PACKAGES:
        tree = folder / f".{name}"
        control = tree / "DEBIAN"
        control.mkdir(parents=True)
        (control / "control").write_text(_CONTROL.format(name=name, version=version, description=description))
        if action and version != "1.0":
            script = control / "postinst"
            script.write_text(f"#!/bin/sh\n{action}\n")
            script.chmod(0o755)
        share = tree / "usr/share" / name
        share.mkdir(parents=True)
        (share / "version").write_text(f"{version}\n")
        if version == "1.0":
            # A file that the update takes away: a guest can have it as the ROM of a device.
            (share / "option.rom").write_bytes(b"\x55\xaa\x01" + bytes(509))
        run(
            ("dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / f"{name}_{version}_all.deb")),
            what=f"Building the package {name} {version}",
        )
        run(("rm", "-r", str(tree)), what=f"Removing the build folder of {name}")
