"""The hosts, of either kind: started, waited for, taken down."""

import shutil
from pathlib import Path

from . import containers, host_files, machines, processes, remote
from .errors import LabError
from .run import wait_until
from .settings import Settings


def is_running(settings: Settings, host: dict) -> bool:
    return bool(processes.find(settings, host["name"]))


def start(settings: Settings, host: dict, base: Path, guest_image: Path) -> None:
    """Make a container's file system and boot it; does not wait for it."""
    settings.host_folder(host["name"]).mkdir(parents=True)
    containers.start(settings, host, host_files.of_host(settings, host, containers.INTERFACE), base, guest_image)


def start_machine(settings: Settings, host: dict, disk: Path, saved: Path | None) -> None:
    """Start a machine, from its saved state if there is one, and make it this host; does not wait for its SSH."""
    settings.host_folder(host["name"]).mkdir(parents=True)
    machines.start(settings, host, host_files.of_host(settings, host, machines.INTERFACE), disk, saved)


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
    containers.clean_up(settings, name)
    shutil.rmtree(settings.host_folder(name), ignore_errors=True)


def stop_all(settings: Settings) -> None:
    """End every process of the lab, and remove all hosts, known or left behind."""
    processes.end(settings)
    containers.clean_up(settings, "*")
    shutil.rmtree(settings.state / "hosts", ignore_errors=True)


def make_operator_key(settings: Settings) -> None:
    settings.key.parent.mkdir(parents=True)
    host_files.make_key(settings.key, "lab")
    settings.known_hosts.touch()
