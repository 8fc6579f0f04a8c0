# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts that were held back while packages were applied: what the record of them means, and how they are done. Pure."""
from __future__ import annotations

import re
import shlex
import typing as t

from .._system.unit_states import UnitState

#: What a call of systemctl does to a unit, in one of five words; systemctl(1). What may reload or restart is taken for a restart: the program is new.
_VERBS = {
    "start": "start", "stop": "stop", "restart": "restart", "reload-or-restart": "restart", "reload": "reload",
    "try-restart": "try-restart", "condrestart": "try-restart", "force-reload": "try-restart", "try-reload-or-restart": "try-restart",
    "reload-or-try-restart": "try-restart",
}
#: The same for `--now`, of which the stand-in does the other half at once.
_NOW = {"enable": "start", "reenable": "start", "preset": "start", "disable": "stop", "mask": "stop"}
#: In which order the verbs of systemctl are called for.
_ORDER = ("stop", "restart", "try-restart", "reload", "try-reload-or-restart")
#: Services that flush the kernel's packet filter and load their own rules: of nftables, Debian's iptables-persistent, RHEL's iptables-services.
FILTER_UNITS = ("nftables.service", "netfilter-persistent.service", "iptables.service", "ip6tables.service")
#: Daemons of libvirt that set the rules of libvirt's networks again when they are reloaded.
NETWORK_DAEMONS = ("libvirtd.service", "virtnetworkd.service")
#: The ends of names that systemd.unit(5) knows.
_SUFFIXES = "service|socket|target|timer|mount|path|automount|swap|slice|scope|device"
_UNIT = re.compile(rf"[A-Za-z0-9:_.@\\-]+\.(?:{_SUFFIXES})")
# What the scripts of packages are made of: dh_installsystemd(1), invoke-rc.d(8), rpm's macros (systemd.macros), and what some write by hand.
_ASKS = re.compile(r"deb-systemd-invoke\s|systemctl\s[^|;&]*(?:start|reload)|systemd-update-helper\s+mark-restart-system-units|invoke-rc\.d\s")
_BY_HAND = re.compile(r"systemctl\s+(?:-\S+\s+)*(?:start|restart|try-restart|reload|reload-or-restart|try-reload-or-restart)\s+([A-Za-z0-9:_.@\\ -]+)")
_ONLY_STARTS = re.compile(r"(?:deb-systemd-invoke|systemctl)\s+(?:--?\S+\s+)*start\s")
_INIT = re.compile(r"invoke-rc\.d\s+(?!--skip-systemd-native)([A-Za-z0-9._-]+)\s+\S*(?:start|reload|action|act\b)")


class Asked(t.NamedTuple):
    """What a script asked systemctl for.

    :ivar package: The package whose script it was; empty where that is not known.
    :ivar action: `start`, `stop`, `restart`, `try-restart` or `reload`.
    :ivar unit: The unit, with its suffix; may be a glob.
    """

    package: str
    action: str
    unit: str


class Held(t.NamedTuple):
    """What is to be done to a unit.

    :ivar unit: Its name.
    :ivar action: As in `Asked`.
    :ivar packages: The packages whose scripts asked for it.
    """

    unit: str
    action: str
    packages: tuple[str, ...]


def _unit(name: str) -> str:
    return name if name.rpartition(".")[2] in _SUFFIXES.split("|") else f"{name}.service"


def read(record: str) -> list[Asked]:
    """What was held back, in its order.

    :param record: What the stand-in for systemctl has written. A line that was not finished is passed over: its caller was ended with it.
    """
    found = []
    for line in record.splitlines():
        package, tab, call = line.partition("\t")
        words = call.split() if tab else []
        verb, names = next((word for word in words if not word.startswith("-")), ""), [word for word in words if not word.startswith("-")][1:]
        action = _NOW.get(verb) if "--now" in words else _VERBS.get(verb)
        if action is not None:
            found += [Asked(package, action, _unit(name)) for name in names]
    return found


def line(asked: Asked) -> str:
    """A line of the record; the reverse of `read`."""
    return f"{asked.package}\t{asked.action} {asked.unit}\n"


def _then(first: str, second: str) -> str:
    """The one action that leaves a unit as two after another would, whether it ran before or not; it may restart where the two would not."""
    if second in ("stop", "restart"):
        return second
    if first == "stop":
        return "restart" if second == "start" else "stop"
    if second == first:
        return first
    if first in ("start", "restart") or second == "start":
        return "restart"
    return "try-restart"


def held(asked: t.Iterable[Asked]) -> list[Held]:
    """What is to be done: one action for each unit, in the order in which they were asked for first.

    :param asked: What was held back.
    """
    found: dict[str, Held] = {}
    for one in asked:
        before = found.get(one.unit)
        packages = tuple(dict.fromkeys([*(before.packages if before else ()), *([one.package] if one.package else [])]))
        found[one.unit] = Held(one.unit, _then(before.action, one.action) if before else one.action, packages)
    return list(found.values())


def needed(one: Held, state: UnitState | None) -> str | None:
    """What systemctl is to do to a unit, a verb of its; `None`: nothing.

    :param one: What was asked for.
    :param state: The unit as it is; `None` for a glob, of which systemctl itself looks at the state.
    """
    if state is None:
        return {"try-restart": "try-restart", "stop": "stop", "reload": "try-reload-or-restart"}.get(one.action, "restart")
    if not state.loaded:
        return "stop" if one.action == "stop" and state.active else None
    if state.active:
        return {"start": None, "try-restart": "restart"}.get(one.action, one.action)
    return "restart" if one.action in ("start", "restart") else None


def commands(wanted: t.Sequence[Held], states: t.Mapping[str, UnitState]) -> list[list[str]]:
    """How it is done: one call of systemctl for each action, so that systemd brings the units into its order, and restarts each once.

    A socket that is to be started goes with the restart of its service: beside an active one systemd refuses it (systemd.socket(5)).

    :param wanted: What is to be done.
    :param states: The units as they are; none for a glob.
    """
    by_action: dict[str, list[str]] = {}
    for one in wanted:
        action = needed(one, states.get(one.unit))
        if action is not None:
            by_action.setdefault(action, []).append(one.unit)
    found = [["systemctl", action, *by_action[action]] for action in _ORDER if action in by_action]
    # Else the guests on libvirt's networks would be cut off.
    flushed = {"restart", "try-restart"} & {action for action, units in by_action.items() if set(units) & set(FILTER_UNITS)}
    daemons = [name for name in NETWORK_DAEMONS if flushed and states.get(name, UnitState(False, False)).active]
    return [*found, *([["systemctl", "reload", *daemons]] if daemons else [])]


def predicted(package: str, scripts: str) -> list[Asked]:
    """What the scripts of a package will ask for, as far as they name the units.

    :param package: Its name.
    :param scripts: The scripts that run at the end of its update.
    """
    found: list[Asked] = []
    for line in scripts.splitlines():
        if not line.lstrip().startswith("#") and _ASKS.search(line):
            action = "start" if _ONLY_STARTS.search(line) else "restart"
            names = [*_UNIT.findall(line), *_INIT.findall(line), *(name for words in _BY_HAND.findall(line) for name in words.split() if name[0] != "-")]
            found += [Asked(package, action, _unit(name)) for name in names]
    return list(dict.fromkeys(found))


def shown(calls: t.Iterable[t.Sequence[str]]) -> str:
    """Commands for people."""
    return "; ".join(shlex.join(call) for call in calls)
