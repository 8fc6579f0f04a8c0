"""Bringing the lab up, taking it down, putting hosts back to their fresh state."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import base_image, checks, document, guest_image, guests, hosts, layout, machine_image, machines, mirror, network, processes
from .errors import LabError
from .releases import RELEASES
from .run import progress
from .settings import Settings, Sizes


@dataclass(frozen=True)
class _Images:
    """What is built of a release: the hosts' base, the guests' kernel and initramfs, the packages of the mirror, and the disk of machines."""

    base: Path
    guest: Path
    packages: Path
    machine: Path | None


def up(settings: Settings, sizes: Sizes, releases: list[str], kind: str) -> None:
    """Make the lab of these sizes run, from whatever is there; the hosts are of this kind, and of these releases in turn."""
    lab = document.read(settings)
    if lab and lab["complete"] and network.is_up(settings) and mirror.is_up(settings):
        if lab["sizes"] != asdict(sizes) or lab["releases"] != releases or lab["kind"] != kind:
            raise LabError(f"The lab is up with other sizes, releases or hosts of another kind ({_made_of(lab)}): run `tests/lab/lab down` first.")
        there = for_each_host(lambda host: hosts.comes_back(settings, host), lab["hosts"])
        lost = [host["name"] for host, is_there in zip(lab["hosts"], there, strict=True) if not is_there]
        if lost:
            progress(f"not running any more: {', '.join(lost)}")
            reset(settings, lost)
        progress("the lab is up")
        return
    if settings.state.exists() or processes.find(settings):
        progress("cleaning up after an earlier run")
        down(settings)
    checks.require_machine(settings, sizes.hosts, kind)
    images = _images(settings, set(releases), kind)
    settings.state.mkdir(parents=True)
    lab = document.new(settings, sizes, releases, kind)
    document.write(settings, lab)
    network.create(settings)
    mirror.start(settings, {name: image.packages for name, image in images.items()})
    hosts.make_operator_key(settings)
    _start(settings, lab["hosts"], images)
    lab["complete"] = True
    document.write(settings, lab)
    progress("the lab is up")


def reset(settings: Settings, names: list[str]) -> None:
    """Fresh hosts with fresh guests in place of these (of all, if none is named)."""
    lab = document.read_complete(settings)
    chosen = [document.host(lab, name) for name in names] or lab["hosts"]
    images = _images(settings, {host["release"] for host in chosen}, lab["kind"])
    # Until the new hosts answer the lab is not complete: a killed reset is cleaned up by the next `up`.
    lab["complete"] = False
    document.write(settings, lab)
    for host in chosen:
        progress(f"{host['name']}: taken down")
        hosts.stop(settings, host["name"])
        host["guests"] = layout.initial_guests(host["name"], host["kind"], Sizes(**lab["sizes"]))
    _start(settings, chosen, images)
    lab["complete"] = True
    document.write(settings, lab)


def down(settings: Settings) -> None:
    """Leave nothing but the cache; also of a lab that was only half made."""
    hosts.stop_all(settings)
    network.remove(settings)
    shutil.rmtree(settings.state, ignore_errors=True)


def purge(settings: Settings) -> None:
    down(settings)
    if processes.uses(settings.cache):
        raise LabError(f"Another lab runs on the cache {settings.cache}, which therefore stays: take that lab down first.")
    shutil.rmtree(settings.cache)


def status(settings: Settings) -> list[dict]:
    """Each host with `up` and with each guest's `state` ("unknown" where the host does not answer)."""

    def look(host: dict) -> dict:
        try:
            states = guests.states(settings, host)
        except LabError:
            states = None
        seen = [{**guest, "state": (states or {}).get(guest["name"], "unknown")} for guest in host["guests"]]
        return {**host, "up": states is not None, "guests": seen}

    return for_each_host(look, document.read_started(settings)["hosts"])


def checksums(settings: Settings, names: list[str]) -> dict[str, dict[str, str | None]]:
    """The checksum over a large buffer in each running guest's memory, by host (all, if none is named)."""
    lab = document.read_started(settings)
    chosen = [document.host(lab, name) for name in names] or lab["hosts"]
    found = for_each_host(lambda host: guests.checksums(settings, host), chosen)
    return {host["name"]: seen for host, seen in zip(chosen, found, strict=True)}


def evidence(settings: Settings, names: list[str]) -> dict[str, list[dict] | None]:
    """Evidence of each guest by host (all, if none is named); None for a host that does not answer."""

    def look(host: dict) -> list[dict] | None:
        try:
            return guests.evidence(settings, host)
        except LabError as error:
            progress(str(error))
            return None

    lab = document.read_started(settings)
    chosen = [document.host(lab, name) for name in names] or lab["hosts"]
    return {host["name"]: seen for host, seen in zip(chosen, for_each_host(look, chosen), strict=True)}


def for_each_host(action: Callable[[dict], Any], chosen: list[dict]) -> list[Any]:
    """Do something on all hosts at the same time; the first error, in the hosts' order, is raised at the end."""
    with ThreadPoolExecutor(max(1, len(chosen))) as pool:
        return list(pool.map(action, chosen))


def _images(settings: Settings, releases: set[str], kind: str) -> dict[str, _Images]:
    """What is built of each release, by its name."""
    images = {}
    for name in sorted(releases):
        release = RELEASES[name]
        base = base_image.provide(settings, release)
        guest = guest_image.provide(settings, release, base)
        machine = machine_image.provide(settings, release, base, guest) if kind == "machine" else None
        images[name] = _Images(base, guest, mirror.provide(settings, release, base), machine)
    return images


def _start(settings: Settings, chosen: list[dict], images: dict[str, _Images]) -> None:
    progress(f"starting {', '.join(host['name'] for host in chosen)}")
    for_each_host(lambda host: _start_one(settings, host, images[host["release"]]), chosen)


def _start_one(settings: Settings, host: dict, made_of: _Images) -> None:
    saved = None if made_of.machine is None else machines.saved_state(settings, host, made_of.machine)
    were_saved = saved is not None and saved.is_dir()
    if made_of.machine is None:
        hosts.start(settings, host, made_of.base, made_of.guest)
    else:
        hosts.start_machine(settings, host, made_of.machine, saved if were_saved else None)
    hosts.wait_for(settings, host)
    progress(f"{host['name']}: SSH and libvirt answer at {host['address']}")
    if were_saved:
        guests.come_back(settings, host, host["guests"])
    else:
        guests.start(settings, host, host["guests"])
    progress(f"{host['name']}: guests have booted: {', '.join(guest['name'] for guest in host['guests'])}")
    if saved is not None and not were_saved:
        machines.save(settings, host, saved)
        guests.come_back(settings, host, host["guests"])


def _made_of(lab: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in lab["sizes"].items()) + f"; {', '.join(lab['releases'])}; {lab['kind']}"
