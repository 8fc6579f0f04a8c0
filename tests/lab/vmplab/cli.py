"""The command line."""

import argparse
import json
import os
import sys
from collections import Counter

from . import checks, document, guests, layout, lifecycle, releases, remote
from .cache import lab_locked
from .errors import LabError
from .run import progress
from .settings import Settings, Sizes, from_environment, size_from_environment


def main() -> int:
    try:
        arguments = _parser().parse_args()
        settings = from_environment()
        checks.require_root()
        arguments.command(settings, arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads our output (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the next `up` cleans up first.", file=sys.stderr)
        return 130
    return 0


def _up(settings: Settings, arguments: argparse.Namespace) -> None:
    sizes = Sizes(arguments.hosts, arguments.domains, arguments.guests, arguments.guest_memory)
    with lab_locked(settings):
        lifecycle.up(settings, sizes, releases.names(arguments.release), _kind(arguments.kind))


def _down(settings: Settings, _arguments: argparse.Namespace) -> None:
    with lab_locked(settings):
        lifecycle.down(settings)
    progress("the lab is down")


def _purge(settings: Settings, _arguments: argparse.Namespace) -> None:
    with lab_locked(settings):
        lifecycle.purge(settings)
    progress("the lab and its cache are gone")


def _reset(settings: Settings, arguments: argparse.Namespace) -> None:
    with lab_locked(settings):
        lifecycle.reset(settings, arguments.host)
    progress("fresh again")


def _status(settings: Settings, arguments: argparse.Namespace) -> None:
    rows = lifecycle.status(settings)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'host':<6}{'address':<17}{'update domain':<15}{'release':<10}{'up':<5}guests")
    for row in rows:
        listed = ", ".join(_guest_words(row["guests"]))
        print(f"{row['name']:<6}{row['address']:<17}{row['update_domain']:<15}{row['release']:<10}{'yes' if row['up'] else 'no':<5}{listed}")


def _guest_words(found: list[dict]) -> list[str]:
    """Each guest with its state; the minimal ones, which may be hundreds, counted by state."""
    minimal = Counter(guest["state"] for guest in found if guest["kind"] == "minimal")
    return [f"{guest['name']} {guest['state']}" for guest in found if guest["kind"] != "minimal"] + [
        f"{count} minimal {state}" for state, count in minimal.items()
    ]


def _ssh(settings: Settings, arguments: argparse.Namespace) -> None:
    lab = document.read_started(settings)
    remote.become_ssh(settings, document.host(lab, arguments.host), arguments.words)


def _checksum(settings: Settings, arguments: argparse.Namespace) -> None:
    print(json.dumps(lifecycle.checksums(settings, arguments.hosts), indent=2, sort_keys=True))


def _evidence(settings: Settings, arguments: argparse.Namespace) -> None:
    print(json.dumps(lifecycle.evidence(settings, [arguments.host] if arguments.host else []), indent=2))


def _guest_add(settings: Settings, arguments: argparse.Namespace) -> None:
    with lab_locked(settings):
        lab = document.read_complete(settings)
        memory = arguments.memory or lab["sizes"]["guest_memory_mib"]
        chosen = [document.host(lab, name) for name in dict.fromkeys(arguments.host)]
        added = {host["name"]: layout.more_guests(host, arguments.kind, arguments.count, memory) for host in chosen}
        # Recorded before they start: `guest rm` can then remove what a failed start has left.
        for host in chosen:
            host["guests"] += added[host["name"]]
        document.write(settings, lab)
        lifecycle.for_each_host(lambda host: guests.start(settings, host, added[host["name"]]), chosen)
    print("\n".join(guest["name"] for of_host in added.values() for guest in of_host))


def _guest_rm(settings: Settings, arguments: argparse.Namespace) -> None:
    with lab_locked(settings):
        lab = document.read_complete(settings)
        host = document.host(lab, arguments.host)
        known = {guest["name"] for guest in host["guests"]}
        for name in arguments.name:
            if name not in known:
                raise LabError(f"The lab's host {host['name']} has no guest '{name}'.")
        guests.remove(settings, host, arguments.name)
        host["guests"] = [guest for guest in host["guests"] if guest["name"] not in arguments.name]
        document.write(settings, lab)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A fleet of KVM hosts with guests, on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="build what is not cached, start hosts and guests, wait until all answer")
    up.set_defaults(command=_up)
    for option, variable, default, text in (
        ("--hosts", "VMP_LAB_HOSTS", 4, "number of hosts"),
        ("--domains", "VMP_LAB_DOMAINS", 2, "number of update domains"),
        ("--guests", "VMP_LAB_GUESTS", 3, "guests per host"),
        ("--guest-memory", "VMP_LAB_GUEST_MEMORY", 128, "memory of each guest, MiB"),
    ):
        size = size_from_environment(variable, default)
        up.add_argument(option, type=_positive, default=size, help=f"{text} (default {variable} or {default})")
    up.add_argument(
        "--release",
        default=os.environ.get("VMP_LAB_RELEASE") or releases.DEFAULT,
        help=f"what the hosts are made of: {', '.join(releases.RELEASES)}, or several, separated by commas, which the hosts take in turn"
        f" (default VMP_LAB_RELEASE or {releases.DEFAULT})",
    )

    up.add_argument(
        "--kind",
        default=os.environ.get("VMP_LAB_KIND") or "container",
        help="; ".join(f"{kind}: {text}" for kind, text in layout.HOST_KINDS.items()) + " (default VMP_LAB_KIND or container)",
    )

    commands.add_parser("down", help="take everything down; only the cache stays").set_defaults(command=_down)
    commands.add_parser("purge", help="down, and the cache removed too").set_defaults(command=_purge)

    reset = commands.add_parser("reset", help="fresh hosts with fresh guests")
    reset.add_argument("host", nargs="*", help="only these")
    reset.set_defaults(command=_reset)

    status = commands.add_parser("status", help="hosts and guests and their states")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=_status)

    ssh = commands.add_parser("ssh", help="a shell, or a command, as root on a host")
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    ssh.set_defaults(command=_ssh)

    checksum = commands.add_parser("checksum", help="a checksum over a large buffer in each running guest's memory, as JSON")
    checksum.add_argument("hosts", nargs="*", help="only these hosts' guests")
    checksum.set_defaults(command=_checksum)

    evidence = commands.add_parser("evidence", help="what each guest holds in its memory, as JSON")
    evidence.add_argument("host", nargs="?", help="only this one's guests")
    evidence.set_defaults(command=_evidence)

    guest = commands.add_parser("guest", help="more guests, or fewer").add_subparsers(required=True, metavar="add|rm")
    add = guest.add_parser("add", help="start more guests on hosts; prints their names")
    add.add_argument("host", nargs="+")
    kinds = "; ".join(f"{kind}: {text}" for kind, text in layout.KINDS.items())
    add.add_argument("--kind", choices=layout.KINDS, required=True, help=kinds)
    add.add_argument("--count", type=_positive, default=1)
    add.add_argument("--memory", type=_positive, metavar="MiB", help="(default: as at `up`; minimal guests have 16)")
    add.set_defaults(command=_guest_add)
    remove = guest.add_parser("rm", help="destroy guests and forget them")
    remove.add_argument("host")
    remove.add_argument("name", nargs="+")
    remove.set_defaults(command=_guest_rm)
    return parser


def _kind(text: str) -> str:
    """A kind of hosts; argparse does not look at a default that comes from the environment."""
    if text not in layout.HOST_KINDS:
        raise LabError(f"'{text}' is no kind of hosts: {', '.join(layout.HOST_KINDS)}.")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)
