# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_resume: what is made of guests that have stopped again just after their resume."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_resume
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State


@pytest.mark.parametrize(("state", "fails"), [
    (State("running", "unpaused"), None),
    (State("paused", "user"), False), (State("shutoff", "destroyed"), False), (State("shutoff", "shutdown"), False), (State("shutoff", "migrated"), False),
    (State("paused", "ioerror"), True), (State("paused", "unknown"), True), (State("crashed", "panicked"), True), (State("shutoff", "crashed"), True),
    (State("shutoff", "unknown"), True), (State("shutoff", "daemon"), True),
])
def test_a_second_look_tells_an_owners_act_from_a_fault(monkeypatch, make_window, make_entry, state, fails):
    entry = make_entry(name="g1")
    entry.settle("resumed", "resumed through libvirt", "module", 100.0)
    monkeypatch.setattr(guest_resume, "_states_now", lambda _window, uuids: dict.fromkeys(uuids, state))
    told = []
    found = guest_resume.look_again(make_window(entry), 0.0, told)
    assert (found is not None) is bool(fails)
    assert bool(told) is (fails is False)
    if fails:
        assert found[0] == "stopped_again" and "'g1'" in found[1]
