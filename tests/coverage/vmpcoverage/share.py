"""Which technique a year's updates need, counted and as a table. Pure."""

import collections
import datetime
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.techniques import TECHNIQUES, judge, strongest

#: Days that are looked at: whole weeks, so that there are as many patch days in each run.
DAYS = 364
#: How often a host is patched: name, and days between two patch days.
RHYTHMS = (("weekly", 7), ("four-weekly", 28))
_NOTHING = "nothing"
#: As many names are shown for a technique.
_SHOWN = 6


class Update(NamedTuple):
    """One update of a source package. date: when hosts got it. technique: the strongest that one of its binary packages on the host needs."""

    source: str
    date: datetime.date
    technique: str


def technique(names: Iterable[str], qemu_code: Iterable[str]) -> str:
    """What an upload needs on a host with guests, of the defaults of Debian: none of `techniques.FACTS` holds.

    names: the source package's binary packages on the host. qemu_code: see `host.qemu_code`.
    """
    users = {name: ["guest"] for name in qemu_code}
    return strongest(judge(name, (), users, facts=()).technique for name in names) or "live"


def patch_days(updates: Iterable[Update], until: datetime.date, days: int) -> dict[str, int]:
    """How many patch days need which technique as the strongest of what has come since the one before; `nothing` where none did.

    until: the last patch day. days: between two.
    """
    by_day: dict[int, list[str]] = collections.defaultdict(list)
    for update in updates:
        by_day[(until - update.date).days // days].append(update.technique)
    return dict(collections.Counter(strongest(by_day[number]) or _NOTHING for number in range(DAYS // days)))


def table(release: str, updates: list[Update], until: datetime.date) -> str:
    """The figures of one release for a terminal, and for Markdown."""
    rhythms = [patch_days(updates, until, days) for _name, days in RHYTHMS]
    counted = collections.Counter(update.technique for update in updates)
    lines = [
        f"| {release} | updates | share | {' | '.join(f'{name} patch days' for name, _days in RHYTHMS)} | the most of them |",
        "|---|--:|--:|" + "--:|" * len(RHYTHMS) + "---|",
    ]
    for word in TECHNIQUES:
        share = f"{100 * counted[word] / len(updates):.0f} %" if updates else "-"
        cells = [word, str(counted[word]), share, *(str(found.get(word, 0)) for found in rhythms), _most(updates, word)]
        lines.append(f"| {' | '.join(cells)} |")
    nothing = [str(found.get(_NOTHING, 0)) for found in rhythms]
    lines.append(f"| {_NOTHING} | | | {' | '.join(nothing)} | |")
    total = [str(DAYS // days) for _name, days in RHYTHMS]
    lines.append(f"| together | {len(updates)} | | {' | '.join(total)} | |")
    return "\n".join(lines).replace("  |", " |")


def _most(updates: Iterable[Update], word: str) -> str:
    names = collections.Counter(update.source for update in updates if update.technique == word)
    return ", ".join(f"{name} {count}" for name, count in sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN])


def by_source(packages: Mapping[str, str]) -> dict[str, list[str]]:
    """Binary packages by their source package. packages: the source of each, by name."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for name, source in packages.items():
        found[source].append(name)
    return dict(found)
