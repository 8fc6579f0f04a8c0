# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a guest was paused for long, as far as its host has told. Pure; knows no Ansible."""
from __future__ import annotations

import dataclasses
import typing as t

Record = t.Mapping[str, t.Any]
#: Seconds that need no word.
_NOTHING = 0.05
#: Seconds of a pause from which on it is said that the host does not tell what they were spent on.
UNTOLD = 1.0
#: How many commands are named.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Window:
    """A time in which guests of a host were ours, and what was in it.

    :ivar kind: `pause`, `refresh` or `reboot`.
    :ivar step: The number of the event that says so.
    :ivar task: The task.
    :ivar limit: Seconds that a guest might be away.
    :ivar window: The pause window, as the host tells it; empty for the others.
    :ivar commands: What was run in it, by preserved_command. The operator's own tasks are not known.
    :ivar deadline_missed: The commands had not ended when the guests had to run.
    :ivar took: Seconds that the task took, by the controller's clock.
    :ivar reboot_took: Seconds from the order to reboot until the first guest was restored.
    """

    kind: str
    step: int
    task: str
    limit: float | None
    window: Record
    commands: t.Sequence[Record]
    deadline_missed: bool
    took: float | None
    reboot_took: float | None = None

    def parts(self) -> list[tuple[str, float]]:
        """What took how many seconds, as far as it is known, in its order."""
        found = [("suspending all guests", self.window.get("paused_within"))]
        found += [(" ".join(one.get("argv") or []), one.get("seconds")) for one in self.commands if one and one.get("state") != "not_started"]
        found += [("resuming all guests", self.window.get("resumed_within")), ("the reboot itself", self.reboot_took)]
        return [(what, float(length)) for what, length in found if isinstance(length, (int, float))]


def why_long(record: Record, window: Window, share: float) -> list[str]:
    """Why a guest was away for long, in sentences; empty when it was not.

    What the host does not tell is named as not known, and not guessed at.

    :param record: The guest in the result of the module.
    :param share: The share of the limit from which on it was long.
    """
    away, limit = record.get("paused_for"), window.limit
    if away is None:
        return ["for how long is not known"]
    if limit is None or away <= share * limit:
        return []
    words = []
    if window.deadline_missed:
        words.append("the commands had not ended when the guests had to run again, and went on with the guests running")
    if record.get("resumed_by") == "guard":
        words.append("the guard on the host resumed it; what it had to do for that is in its journal (journalctl -u 'vm-preserving-guard-*' on the host)")
    parts = window.parts()
    longest = sorted((one for one in parts if one[1] > _NOTHING), key=lambda one: -one[1])[:_NAMED]
    if longest:
        words.append("what took longest: " + ", ".join(f"{what} {length:.1f} s" for what, length in longest))
    if window.kind == "pause":
        rest = away - sum(length for _what, length in parts)
        if rest > max(UNTOLD, 0.1 * away) and not window.deadline_missed:
            words.append(f"of {rest:.1f} s the host does not tell what they were spent on")
    elif record.get("predicted") is not None:
        words.append(f"{record['predicted']:.1f} s were predicted" + (f", because {record['why_copy']}" if record.get("why_copy") else ""))
    return words or ["the host does not tell why"]
