# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .saved_stage import SavedVerdict
from .stage import Verdict

#: Characters of what the operator is told that the terminal shows; the files have more.
SHORT = 150
#: Characters of the fault's description that the terminal shows.
NARROW = 72
LONG = 600


@dataclasses.dataclass
class Row:
    """One fault and what became of it. `problem` is why it is red; `verdict` is `None` when it could not be judged."""

    name: str
    text: str
    limit: float
    seconds: float
    told: str
    verdict: Verdict | SavedVerdict | None
    problem: str

    @property
    def red(self) -> bool:
        """Whether something is not as it has to be."""
        return bool(self.problem) or self.verdict is None or bool(self.verdict.past or self.verdict.touched)

    def past(self) -> str:
        """The cell of the guests past the deadline."""
        if self.verdict is None:
            return "?"
        return self.verdict.past_cell(self.limit)

    def touched(self) -> str:
        """The cell of the guests touched that were not ours."""
        if self.verdict is None:
            return "?"
        return self.verdict.touched_cell()

    def said(self, length: int) -> str:
        """What the operator is told, or why the row is red, on one line of so many characters."""
        return _short(" ".join((f"RED: {self.problem}" if self.problem else self.told).split()), length)


_HEAD = ("fault", "guests past the deadline", "guests touched that were not ours", "what the operator is told", "")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _cells(row: Row, length: int) -> tuple[str, ...]:
    return (row.text, row.past(), row.touched(), row.said(length), "RED" if row.red else "ok")


def table(rows: list[Row]) -> str:
    """For the terminal."""
    head = ("fault", "past the deadline", "touched", "what the operator is told", "")
    cells = [head, *((_short(row.text, NARROW), *_cells(row, SHORT)[1:]) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


def write(folder: Path, rows: list[Row]) -> None:
    """Keep the table as chaos.md and chaos.json."""
    folder.mkdir(parents=True, exist_ok=True)

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [line(_HEAD), line(tuple("---" for _cell in _HEAD)), *(line(_cells(row, LONG)) for row in rows)]
    (folder / "chaos.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    documents = [{**dataclasses.asdict(row), "red": row.red} for row in rows]
    (folder / "chaos.json").write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
