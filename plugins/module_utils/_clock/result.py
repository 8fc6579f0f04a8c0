# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a guest's clock, as documents and results hold it. Pure."""
from __future__ import annotations

import math
import typing as t

from .._core.errors import LedgerError
from .measurement import VERDICTS

#: Seconds that an agent has for each answer, and a clock may be off, unless the operator says otherwise.
AGENT_TIMEOUT = 5
TOLERANCE = 0.1

_KEYS = {"verdict", "before", "after", "changed", "set_after", "reference", "error"}


def clock_result(record: t.Mapping[str, t.Any], since_resume: float | None, reference: str) -> dict[str, t.Any]:
    """What became of a clock, from the record of a check.

    :param record: See `_clock.check.check_clock`.
    :param since_resume: Seconds from the guest's resume to the end of the check.
    :param reference: What it was held against, in words.
    """
    return {
        "verdict": record["verdict"], "before": record["before"], "after": record["after"], "changed": record["changed"],
        "set_after": None if since_resume is None else round(since_resume, 3), "reference": reference,
        "error": record.get("error"),
    }


def _is_number(value: t.Any) -> bool:
    # By comparison: an integer too large for a float is no reason to fail, and the guard reads what others may have written.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf


def checked_clock(raw: t.Any, what: str) -> None:
    """See that a document's word of a clock is one of ours; `None` is: the clock was not looked at yet.

    :param what: Whose clock, in words.
    :raises LedgerError: It is not.
    """
    if raw is None:
        return
    fine = isinstance(raw, dict) and set(raw) == _KEYS and raw["verdict"] in VERDICTS and isinstance(raw["changed"], bool) and isinstance(raw["reference"], str)
    fine = fine and (raw["set_after"] is None or _is_number(raw["set_after"]))
    for key in ("before", "after") if fine else ():
        fine = fine and (raw[key] is None or (isinstance(raw[key], dict) and set(raw[key]) == {"offset", "bound"} and all(map(_is_number, raw[key].values()))))
    error = raw["error"] if fine else None
    if not fine or not (error is None or (isinstance(error, dict) and set(error) == {"code", "message"} and all(isinstance(v, str) for v in error.values()))):
        raise LedgerError(f"the clock of {what} makes no sense")
