"""Hosts of the kind machine: a virtual machine each, emulated, with a kernel and a boot loader of its own; saved once it has booted."""

import json
import shutil
import time
from pathlib import Path

from . import processes
from .cache import build_once, recipe_hash
from .errors import LabError
from .host_files import HostFile
from .machine_image import qemu
from .qemu_sockets import Agent, Monitor
from .run import CONTAINED, progress, run, wait_until
from .settings import Settings

#: How its network device is called, by udev.
INTERFACE = "en*"
# Half of it above 4 GiB, where some of it can be set aside as persistent memory.
MEMORY_MIB = 4096
_BYTES_PER_SECOND = 4 * 1024**3

# Run in the machine, which gets its files as JSON.
_CONFIGURE = """
import json, os, pathlib, shutil, subprocess, sys
for one in json.load(sys.stdin):
    path = pathlib.Path("/", one["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(one["text"])
    path.chmod(one["mode"])
    if one["home"] is not None:
        home = pathlib.Path("/", one["home"])
        for place, mode in ((home, 0o700), (path.parent, 0o700), (path, one["mode"])):
            place.chmod(mode)
            os.chown(place, one["owner"], one["group"])
subprocess.run(["hostname", pathlib.Path("/etc/hostname").read_text().strip()], check=True)
# Without its keys the SSH server has given up by now.
subprocess.run(["systemctl", "reset-failed"], check=True)
subprocess.run(["systemctl", "restart", "systemd-networkd.service", "ssh.service"], check=True)
"""


def start(settings: Settings, host: dict, files: list[HostFile], disk: Path, saved: Path | None) -> None:
    """Start the machine and make it this host; returns as soon as its files are written.

    disk: the folder of `machine_image`. saved: the folder of an earlier start that was saved; None: it boots.
    """
    folder = settings.host_folder(host["name"])
    below = disk if saved is None else saved
    run(
        ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(below / "disk.qcow2"), str(folder / "disk.qcow2")),
        what=f"Making the disk of {host['name']}",
    )
    attach = folder / "attach"
    attach.write_text(f'#!/bin/sh\nexec ip link set "$1" master {settings.bridge} up\n')
    attach.chmod(0o755)
    network = (
        "-netdev", f"tap,id=network,ifname=vb-{settings.bridge}-{host['name']},script={attach},downscript=no",
        "-device", f"virtio-net-pci,netdev=network,mac=52:54:00:78:00:{int(host['name'][1:]):02x}",
    )  # fmt: skip
    incoming = () if saved is None else ("-incoming", f"exec:cat {saved / 'state'}")
    processes.start(settings, host["name"], (*CONTAINED, *qemu(folder, folder / "disk.qcow2", MEMORY_MIB), *network, *incoming), folder / "console.log")
    if saved is not None:
        wait_until(lambda: _runs(settings, host), what=f"The machine {host['name']} with its saved state", timeout=120)
    with Agent(folder / "agent.sock", 300) as agent:
        _set_clock(agent)
        agent.run("/usr/bin/python3", "-c", _CONFIGURE, text_in=json.dumps([vars(one) for one in files]), timeout=120)


def saved_state(settings: Settings, host: dict, disk: Path) -> Path:
    """Where the state of this host is kept, or is to be: it depends on all that the machine was told."""
    told = json.dumps([host, str(settings.subnet), settings.mirror_url, run(("qemu-system-x86_64", "--version"), what="Asking QEMU for its version")])
    return settings.cache / f"booted-{host['release']}-{recipe_hash(disk.name, told, Path(__file__), Path(__file__).with_name('guests.py'))}"


def save(settings: Settings, host: dict, saved: Path) -> None:
    """Keep the machine as it is now, with its guests, for later starts; it runs on."""
    folder = settings.host_folder(host["name"])

    def build(target: Path) -> None:
        with Agent(folder / "agent.sock", 30) as agent:
            agent.run("/bin/sh", "-euc", "sync; echo 3 > /proc/sys/vm/drop_caches", timeout=60)
        with Monitor(folder / "monitor.sock") as monitor:
            monitor.ask("stop")
            monitor.ask("migrate-set-parameters", **{"max-bandwidth": _BYTES_PER_SECOND})
            monitor.ask("migrate", uri=f"exec:cat > {target / 'state'}")
            wait_until(lambda: _is_written(monitor), what=f"Saving the machine {host['name']}", timeout=300)
            shutil.copy(folder / "disk.qcow2", target / "disk.qcow2")
            monitor.ask("cont")

    name, recipe = saved.name.rpartition("-")[::2]
    build_once(settings.cache, name, recipe, build)
    progress(f"{host['name']}: saved, for later starts")
    with Agent(folder / "agent.sock", 30) as agent:
        _set_clock(agent)


def _set_clock(agent: Agent) -> None:
    # Not by guest-set-time, which also sets the clock chip: Debian 13 has no hwclock unless somebody installs it.
    agent.run("/bin/date", "--set", f"@{time.time():.6f}", timeout=60)


def _is_written(monitor: Monitor) -> bool:
    status = monitor.ask("query-migrate")["status"]
    if status in ("failed", "cancelled"):
        raise LabError(f"The machine could not be saved: {status}.")
    return status == "completed"


def _runs(settings: Settings, host: dict) -> bool:
    """Whether it has read its saved state, and goes on."""
    folder = settings.host_folder(host["name"])
    if not processes.find(settings, host["name"]):
        raise LabError(f"The machine {host['name']} ended while it read its saved state: {folder / 'console.log'} says why.")
    try:
        with Monitor(folder / "monitor.sock") as monitor:
            status = monitor.ask("query-status")["status"]
            if status == "paused":  # it was stopped when it was saved
                monitor.ask("cont")
    except OSError:  # QEMU has not made its socket yet
        return False
    return status in ("paused", "running")
