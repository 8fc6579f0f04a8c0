# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be done on one host, from what the modules said in check mode. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

from .techniques import DEFAULT_PAUSE_LIMIT

Result = t.Mapping[str, t.Any]
_DUE = "the host is still to be rebooted for an earlier update (remove /run/vm_preserving/reboot_due on it if that is not needed any more)"


def host_plan(
    host: str,
    technique: str,
    pending: t.Sequence[Result] = (),
    pause: Result | None = None,
    refresh: Result | None = None,
    moved: t.Container[str] = (),
    reboot: Result | None = None,
    duration: float = 0.0,
    pause_limit: float = DEFAULT_PAUSE_LIMIT,
    due: bool = False,
    applies: bool = True,
    restarts: t.Sequence[Result] = (),
    holds: bool = False,
    whole: bool = False,
    restarts_in_pause: str = "none",
    stop: t.Sequence[Result] = (),
) -> dict[str, t.Any]:
    """The plan of one host.

    :param host: Its inventory name.
    :param technique: `live`, `pause`, `refresh` or `reboot`.
    :param pending: What host_update_info said was pending.
    :param pause: What guest_pause said in check mode; `None` when no guest is paused.
    :param refresh: What guest_refresh said in check mode; `None` when no guest is moved.
    :param moved: UUIDs of the guests that are moved.
    :param reboot: What guest_save said in check mode; `None` when the host is not rebooted.
    :param duration: Seconds that the update is expected to take while the guests are paused; 0 when not known.
    :param pause_limit: Seconds that a guest may be paused.
    :param due: The host is still to be rebooted for an earlier update.
    :param applies: There is something to apply.
    :param restarts: What host_update_info said is going to be restarted.
    :param holds: Packages are applied with restarts held back.
    :param whole: Packages are applied whole while the guests are paused.
    :param restarts_in_pause: Which restarts wait for the pause: `needed`, `all` or `none`.
    :param stop: The guests that are shut down, see `guests_to_stop`.
    :returns: `host`, `technique`, `pending`, `guests`, `restarts` (units, by `in_pause` and `live`) and `lines`, the same in words. Each guest has `name`,
        `uuid`, `stop` (why it is shut down and started again, or empty; these guests come first), `pause` (seconds that it is paused for, at the most), `away`
        (seconds that it is away while it is moved, or its host rebooted), each `None` when that is not done to it, `memory` (how it is kept while it is away),
        `no_way_back` (why it could not come back on the QEMU that it has, or `None`), `quiesce` (whether its agent freezes its file systems before it is
        saved) and `left_alone` (why nothing is done to it, or empty).
    """
    guests: dict[str, dict[str, t.Any]] = {}

    def entry(guest: Result) -> dict[str, t.Any]:
        return guests.setdefault(guest["uuid"], {
            "name": guest["name"], "uuid": guest["uuid"], "stop": "", "pause": None, "away": None, "memory": None, "no_way_back": None, "quiesce": False,
            "left_alone": "",
        })

    for guest in stop:
        entry(guest)["stop"] = guest["why"]
    for guest in (pause or {}).get("guests", []):
        if guest["changed"]:
            entry(guest)["pause"] = duration or pause_limit
        else:
            entry(guest)["left_alone"] = guest.get("message", "")
    for guest in (refresh or {}).get("guests", []):
        if guest["message"]:
            entry(guest)["left_alone"] = guest["message"]
        elif guest["uuid"] in moved and guest["blockers"]:
            # That it does not refuse the host is the operator's choice.
            entry(guest)["left_alone"] = f"left on its old QEMU: {', '.join(one['message'] for one in guest['blockers'])}"
        elif guest["uuid"] in moved:
            entry(guest).update(away=guest["predicted"], memory=guest["memory"], no_way_back=guest["no_way_back"], quiesce=guest["quiesce"])
    for guest in (reboot or {}).get("guests", []):
        entry(guest).update(
            away=guest["predicted"], memory=guest["memory"], no_way_back=guest["no_way_back"], quiesce=guest["quiesce"], left_alone="",
        )
    found = list(guests.values())
    waits = {one["unit"]: restarts_in_pause == "all" or (restarts_in_pause == "needed" and one["in_pause"]) for one in restarts}
    inside = [one["name"] for one in pending if one.get("in_pause") == "package"] if whole else []
    units = {"in_pause": [unit for unit in waits if waits[unit]], "live": [unit for unit in waits if not waits[unit]]}
    return {
        "host": host, "technique": technique, "pending": list(pending), "guests": found, "restarts": units,
        "lines": [
            _headline(host, applies, _when(pause is not None, holds and len(inside) < max(len(pending), 1), inside), refresh, reboot, bool(stop)),
            *(f"guest {one['name']}: SHUT DOWN for it, and started again; its memory is lost, because {one['why']}" for one in stop),
            *_restarts(units, pause is not None and holds),
            *([_DUE] if due and reboot is not None else []), *_needs(pending),
            *(_line(one, reboot is not None, duration) for one in found if not one["stop"] or one["pause"] is not None),
        ],
    }


def _restarts(units: t.Mapping[str, t.Sequence[str]], pauses: bool) -> list[str]:
    found = []
    if pauses:
        found.append(
            "the guests are paused for the restart of "
            f"{', '.join(units['in_pause']) or 'what the new packages ask for, if anything: the installed ones name no unit'}"
        )
    if units["live"]:
        found.append(f"restarted while the guests run: {', '.join(units['live'])}")
    return found


def _when(pauses: bool, holds: bool, inside: t.Sequence[str]) -> str:
    """When the update is applied, for which what goes whole into the pause counts."""
    if not pauses or (holds and not inside):
        return "while the guests run"
    return f"while the guests run, and {', '.join(inside)} while they are paused" if holds else "while the guests are paused"


def _headline(host: str, applies: bool, when: str, refresh: Result | None, reboot: Result | None, stops: bool) -> str:
    applied = f"{host}: the update is applied {when}"
    if not applies and refresh is None and reboot is None:
        return f"{host}: nothing is pending; what an earlier run held back is restarted"
    begin = f"{applied}; then" if applies else f"{host}: nothing is pending;"
    if refresh is not None:
        others = "each other guest that runs an old QEMU" if stops else "each" if applies else "each guest that runs an old QEMU"
        return f"{begin} {others} is moved to the installed QEMU"
    if reboot is not None:
        others = "all other guests" if stops else "all guests"
        return f"{begin} {others} are saved to disk, and the host is rebooted, which is taken to last {reboot['reboot_time']:.0f} s"
    return applied


def _needs(pending: t.Sequence[Result]) -> list[str]:
    return [
        f"{one['name']}: {one['technique']}{', the whole package' if one.get('in_pause') == 'package' else ''} ({one['reason']})"
        for one in pending if one["technique"] != "live"
    ]


def _line(guest: Result, rebooted: bool, duration: float) -> str:
    done = []
    if guest["pause"] is not None:
        done.append(f"paused for {'about' if duration else 'at most'} {guest['pause']:g} s")
    if guest["away"] is not None:
        how = "while the host is rebooted" if rebooted else f"while it is moved ({guest['memory']})"
        done.append(f"away for about {guest['away']:.1f} s {how}")
    if guest["quiesce"]:
        done.append("quiesced by its agent before")
    if guest["no_way_back"]:
        done.append(f"without a way back, should the installed QEMU not take it up ({guest['no_way_back']})")
    return f"guest {guest['name']}: {', '.join(done) or guest['left_alone'] or 'runs on'}"
