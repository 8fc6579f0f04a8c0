"""lab.json: what the lab consists of. Read by the commands and by the Ansible inventory."""

import json
import os
from dataclasses import asdict

from . import layout
from .errors import LabError
from .settings import Settings, Sizes

_VERSION = 3


def new(settings: Settings, sizes: Sizes, releases: list[str], kind: str) -> dict:
    return {
        "version": _VERSION,
        # Not before everything answers: an `up` that was killed leaves a document that says so.
        "complete": False,
        "sizes": asdict(sizes),
        "releases": releases,
        "kind": kind,
        "ssh": {"key": str(settings.key), "known_hosts": str(settings.known_hosts)},
        "mirror": settings.mirror_url,
        "hosts": layout.hosts(settings, sizes, releases, kind),
    }


def read(settings: Settings) -> dict | None:
    """The document, or None if there is no lab or none that this program understands."""
    try:
        lab = json.loads(settings.document.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return lab if lab.get("version") == _VERSION else None


def read_started(settings: Settings) -> dict:
    """The document of a lab whose start has at least begun."""
    lab = read(settings)
    if lab is None:
        raise LabError("The lab is not up: run `tests/lab/lab up` first.")
    return lab


def read_complete(settings: Settings) -> dict:
    lab = read(settings)
    if lab is None or not lab["complete"]:
        raise LabError("The lab is not up: run `tests/lab/lab up` first.")
    return lab


def write(settings: Settings, lab: dict) -> None:
    unfinished = settings.document.with_suffix(".new")
    with unfinished.open("w") as file:
        json.dump(lab, file, indent=2)
        file.write("\n")
    os.replace(unfinished, settings.document)


def host(lab: dict, name: str) -> dict:
    for entry in lab["hosts"]:
        if entry["name"] == name:
            return entry
    raise LabError(f"The lab has no host '{name}': it has {', '.join(entry['name'] for entry in lab['hosts'])}.")
