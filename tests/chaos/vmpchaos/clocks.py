# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the clock of a guest is wrong after its resume, seen over the guest's network: neither an agent nor the collection has a part in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import expect
from .host import Host, wait_for

_WATCH = Path(__file__).with_name("clock_watch.py")
# Not in /run: the host may be rebooted meanwhile.
_FOLDER = "/var/lib/vmp-chaos"
_UNIT = "vmp-chaos-clocks.service"
#: Seconds by which a clock is off that counts as wrong. What is read is late by up to 0.3 s.
WRONG = 0.6
#: Seconds for which it may be wrong after a resume: about one, and what the reading of it takes.
ALLOWED = 1.5


def start(host: Host, guests: Mapping[str, str]) -> None:
    """Set the clocks of guests right, as their own time service would, and watch them from then on, also after a reboot of their host.

    :param guests: Name to address.
    """
    stop(host)
    for name in guests:
        host.call("set_guest_clock", name=name, ahead=0)
    words = " ".join(f"{name}={address}" for name, address in guests.items())
    host.shell(f"mkdir -p {_FOLDER}")
    host.put(f"{_FOLDER}/clock_watch.py", _WATCH.read_text(encoding="utf-8"))
    host.put(
        f"/etc/systemd/system/{_UNIT}",
        f"[Service]\nNice=-5\nExecStart=/usr/bin/python3 {_FOLDER}/clock_watch.py {_FOLDER}/clocks {words}\n[Install]\nWantedBy=multi-user.target\n",
    )
    host.shell(f"systemctl daemon-reload && systemctl --quiet enable --now {_UNIT}")
    wait_for("right clocks of all guests", lambda: all(lags(host).get(name, math.inf) < math.inf for name in guests), 60)
    host.shell(f"truncate -s 0 {_FOLDER}/clocks")


def stop(host: Host) -> None:
    """Watch no more."""
    host.shell(f"systemctl --quiet disable --now {_UNIT}; rm -rf {_FOLDER} /etc/systemd/system/{_UNIT}", check=False)


def lags(host: Host) -> dict[str, float]:
    """For each guest that was heard: how long its clock was wrong, seconds."""
    readings = [json.loads(line) for line in host.shell(f"cat {_FOLDER}/clocks", check=False).splitlines() if line.endswith("}")]
    return {name: lag((one["at"], one["offset"]) for one in readings if one["guest"] == name) for name in {one["guest"] for one in readings}}


def lag(readings: Iterable[tuple[float, float]]) -> float:
    """For how long a clock was wrong at a stretch, seconds; infinite when it still is. Pure.

    :param readings: Time and offset of each.
    """
    longest, since = 0.0, None
    for at, offset in readings:
        if abs(offset) > WRONG:
            since = at if since is None else since
        elif since is not None:
            longest, since = max(longest, at - since), None
    return math.inf if since is not None else longest


def see_right(host: Host, names: Iterable[str]) -> str:
    """See that the clocks of these guests are right, and were never wrong for long. Returns what was seen."""
    names = list(names)
    wait_for(f"right clocks of {', '.join(names)}", lambda: all(lags(host).get(name, math.inf) < math.inf for name in names), 60)
    found = lags(host)
    late = {name: round(found[name], 2) for name in names if found[name] > ALLOWED}
    expect(not late, f"after the resume the clocks were wrong for {late} s, {ALLOWED} s are allowed")
    return ", ".join(f"{name} wrong for {found[name]:.2f} s" for name in names)
