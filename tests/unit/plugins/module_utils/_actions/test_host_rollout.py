# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/host_rollout: the host's record on its disk."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import host_rollout as actions
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.host_rollout import host_rollout
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._rollout.store import Store


@pytest.fixture(name="ask")
def _ask(tmp_path):
    store = Store(str(tmp_path / "vm_preserving"))

    def ask(state, check_mode=False, **params):
        given = {"state": state, "rollout": "r-1", "by": "anna@ctl1", "take_over": "", "domain": "a", "update": "x", **params}
        return host_rollout(given, check_mode, store)
    ask.store = store
    return ask


def test_a_host_goes_through_a_rollout(ask):
    assert ask("read")["claim"] is None
    assert ask("claimed", True)["changed"] and ask.store.read() is None
    assert ask("claimed")["changed"] and not ask("claimed")["changed"]
    assert ask("begun")["last"]["outcome"] is None and not ask("read")["had"]
    assert not ask("failed")["had"] and not ask("begun")["had"]
    ended = ask("done")
    assert ended["last"]["outcome"] == "done" and ended["last"]["began_at"] <= ended["last"]["ended_at"]
    assert not ask("done")["changed"]
    assert ask("read")["had"] and not ask("read", update="another")["had"] and not ask("read", rollout="r-2")["had"]
    released = ask("released")
    assert released["claim"] is None and released["diff"] == {
        "before": "held by r-1 of anna@ctl1\nr-1: update domain a: failed\nr-1: update domain a: done\n",
        "after": "r-1: update domain a: failed\nr-1: update domain a: done\n",
    }
    assert not ask("released")["changed"]


def test_another_rollout_is_refused_in_check_mode_too(ask):
    ask("claimed")
    for check_mode in (True, False):
        with pytest.raises(MaintenanceError, match="held by rollout r-1"):
            ask("claimed", check_mode, rollout="r-2")


@pytest.mark.parametrize("rollout", ["", "../x", "a b", "x" * 65])
def test_an_id_that_is_none(ask, rollout):
    with pytest.raises(MaintenanceError, match="which is no id"):
        ask("claimed", rollout=rollout)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"x" * 1024 * 1025, b'{"version": 2, "claim": null, "updates": []}'])
def test_a_damaged_record_says_where_it_is(ask, content):
    ask("claimed")
    with open(ask.store.path, "wb") as stream:
        stream.write(content)
    with pytest.raises(MaintenanceError, match=r"rollout\.json .*See that no rollout is at work on this host, then remove that file and run again") as error:
        ask("read")
    assert error.value.code == "ledger"


def test_who_else_changes_it_is_named(ask, monkeypatch):
    monkeypatch.setattr(actions, "LOCK_TIMEOUT", 0.05)
    ask.store.prepare()
    with ask.store.locked(1.0), pytest.raises(MaintenanceError, match="another process is changing the record of rollouts of this host") as error:
        ask("claimed")
    assert error.value.code == "window_busy"
