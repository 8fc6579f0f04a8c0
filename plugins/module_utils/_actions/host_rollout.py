# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own record of the rollout that it is a part of: what host_rollout does."""
from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import MaintenanceError
from .._core.records import is_id, now_utc
from .._rollout import record
from .._rollout.record import Claim, Record, Update
from .._rollout.store import LOCK_TIMEOUT, Store


def _wanted(before: Record, params: t.Mapping[str, t.Any]) -> Record:
    state, rollout = params["state"], params["rollout"]
    if state == "claimed":
        return record.claimed(before, Claim(rollout, params["by"], now_utc()), params["take_over"])
    if state == "released":
        return record.released(before, rollout)
    if state == "begun":
        return record.begun(before, Update(rollout, params["domain"], params["update"], time.time()))
    return record.ended(before, rollout, time.time(), state)


def _described(found: Record, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    last = found.last(params["rollout"])
    return {
        "claim": None if found.claim is None else dataclasses.asdict(found.claim),
        "last": None if last is None else dataclasses.asdict(last),
        "had": last is not None and last.outcome == record.DONE and last.update == params["update"],
        "longest": found.longest(),
        "updates": [dataclasses.asdict(one) for one in found.updates],
    }


def _lines(found: Record) -> str:
    held = "" if found.claim is None else f"held by {found.claim.rollout} of {found.claim.by}\n"
    return held + "".join(f"{one.rollout}: update domain {one.domain}: {one.outcome or 'in work'}\n" for one in found.updates)


def host_rollout(params: t.Mapping[str, t.Any], check_mode: bool, store: Store | None = None) -> dict[str, t.Any]:
    """The body of host_rollout.

    :param params: The module's parameters.
    :param check_mode: Say what would change, and change nothing.
    :param store: Where the record is.
    :returns: `changed`, `claim`, `last`, `had`, `longest`, `updates` and `diff`.
    :raises MaintenanceError: code `claimed`: another rollout holds the host. Code `rollout`: the id is none. Code `ledger`: the record cannot be read or
        written. Code `window_busy`: another process is changing it.
    """
    if not is_id(params["rollout"]):
        raise MaintenanceError(f"rollout is {params['rollout']!r}, which is no id (letters, digits and hyphens, 64 at most); nothing was touched", "rollout")
    where = store or Store()
    if params["state"] == "read":
        return {"changed": False, **_described(where.read() or Record(), params)}
    if check_mode:
        before = where.read() or Record()
        after = _wanted(before, params)
    else:
        where.prepare()
        with where.locked(LOCK_TIMEOUT):
            before = where.read() or Record()
            after = _wanted(before, params)
            if after != before:
                where.write(after)
    return {"changed": after != before, "diff": {"before": _lines(before), "after": _lines(after)}, **_described(after, params)}
