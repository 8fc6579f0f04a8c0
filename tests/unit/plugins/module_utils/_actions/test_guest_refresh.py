# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_refresh: what is done with guests that cannot be moved."""
from __future__ import annotations

import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_refresh
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import Blocker
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place import gathering
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.plan import Plan
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.rules import Letting

GONE = Blocker("missing", "its CD-ROM is not there any more")


def plan(name, stale=True, blockers=(), left_alone=None):
    guest = types.SimpleNamespace(name=name, uuid=f"u-{name}")
    return Plan(types.SimpleNamespace(guest=guest), stale=stale, blockers=list(blockers), left_alone=left_alone)


@pytest.fixture
def judged(monkeypatch):
    plans = [plan("fine"), plan("gone", blockers=[GONE]), plan("new", stale=False, blockers=[GONE]), plan("alone", stale=False, left_alone="it says so")]
    monkeypatch.setattr(guest_refresh, "plan_refresh", lambda _params, _where: (plans, 1))
    return plans


@pytest.mark.usefixtures("judged")
def test_one_that_cannot_be_moved_refuses_all(where):
    with pytest.raises(MaintenanceError, match="refused, no guest was touched: guest 'gone': its CD-ROM is not there any more$") as caught:
        guest_refresh._admitted({"on_blocked": "refuse"}, where)
    assert [one["skipped"] for one in caught.value.result["guests"]] == [False] * 4


def test_one_that_cannot_be_moved_is_skipped_and_says_why(judged, where):
    plans, _width = guest_refresh._admitted({"on_blocked": "skip"}, where)
    found = [guest_refresh._described(one, None) for one in plans]
    assert plans is judged
    assert [one["skipped"] for one in found] == [False, True, False, False]
    assert [one["message"] for one in found] == [
        "", "left on its old QEMU: its CD-ROM is not there any more", "", "left as it is: it says so",
    ]
    assert found[1]["outcome"] is None and found[1]["changed"] is False and found[1]["stale"] is True


@pytest.mark.parametrize(("gathered", "moved"), [(64 << 30, True), (0, False)])
def test_memory_is_gathered_before_the_pause_and_a_guest_that_would_be_late_runs_on(monkeypatch, gathered, moved):
    steps = []
    one = plan("big")
    one.ordinary = one.whole = 64 << 30
    one.gathers, one.predicted, one.letting = True, 5.0, Letting(1 << 30, 1 << 60)
    monkeypatch.setattr(gathering, "gather", lambda _paths: steps.append("gathered") or gathered)
    monkeypatch.setattr(guest_refresh, "SavedLedger", lambda _where: types.SimpleNamespace(write=lambda _refresh: steps.append("written")))

    def move(_refresh, entry, _plan, _limit):
        steps.append("moved")
        entry.settle("restored", "")

    monkeypatch.setattr(guest_refresh, "_move", move)
    entries = [SavedGuest(name, f"u-{name}", 1, 2, 3, False, "in_place", "/image", ["pc.ram"], "/kept") for name in ("big", "next")]
    refresh = types.SimpleNamespace(uri="qemu:///system", guests=entries, clocks_due=[])
    guest_refresh._move_all(refresh, [one, plan("next")], 1, 30.0, None)
    assert steps == (["gathered", "written", "moved", "written"] + ["written", "moved", "written"] if moved else ["gathered"])
    assert [entry.outcome for entry in entries] == (["restored"] * 2 if moved else ["untouched"] * 2)
    assert moved or entries[0].message.startswith("it would be away for about 133.0 s, more than the pause limit of 30 s: the host had too few free pages")
    assert guest_refresh._described(one, entries[0])["gathered"] == gathered
