# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/quiesce: a guest that is frozen is thawed again, whatever happens, and told of when it is not."""
from __future__ import annotations

import json
import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.policy import NAMESPACE
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import quiesce, transfer
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest

FREEZE, THAW = "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"
UUID = "6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab"


class Agent:
    """A guest with an agent, as libvirt gives it; what it is asked fails as often as it is told to."""

    name = "web"

    def __init__(self, enabled=(FREEZE, THAW), failures=None, answer=None):
        self.enabled, self.failures, self.answer = enabled, dict(failures or {}), answer
        self.asked, self.frozen, self.saved = [], False, []

    def agent_command(self, text, _timeout):
        command = json.loads(text)["execute"]
        self.asked.append(command)
        if self.failures.get(command, 0):
            self.failures[command] -= 1
            raise MaintenanceError("the agent does not answer", "agent")
        if self.answer is not None:
            return self.answer
        self.frozen = {FREEZE: True, THAW: False}.get(command, self.frozen)
        found = {"supported_commands": [{"name": name, "enabled": name in self.enabled} for name in (FREEZE, THAW, "guest-ping")]}
        return json.dumps({"return": found if command == "guest-info" else 1})

    def save(self, _path, _format):
        self.saved.append(self.frozen)
        if self.failures.get("save"):
            raise MaintenanceError("no space left", "x")

    def state(self):
        return State("running", "booted")

    def xml(self):
        return ET.fromstring(f"<domain><uuid>{UUID}</uuid></domain>")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(quiesce, "PATIENCE", 0.3)
    monkeypatch.setattr(quiesce, "_BETWEEN", 0.01)


def entry(tmp_path, quiesced=True):
    return SavedGuest("web", UUID, 1, 2, 3, False, "copy", str(tmp_path / "image"), [], "", quiesced=quiesced)


@pytest.mark.parametrize(("policy", "names", "expected"), [
    ("", [], False), ("", ["web"], True), ("", [UUID], True), ("", ["other"], False), (f"<policy xmlns='{NAMESPACE}' quiesce='yes'/>", [], True),
    (f"<policy xmlns='{NAMESPACE}' quiesce='no'/>", [], False), ("<policy quiesce='yes'/>", [], False),
])
def test_who_is_quiesced(policy, names, expected):
    assert quiesce.is_wanted(ET.fromstring(f"<domain><metadata>{policy}</metadata></domain>"), "web", UUID, names) is expected


@pytest.mark.parametrize(("agent", "words"), [
    (Agent(), None), (Agent(enabled=[THAW]), FREEZE), (Agent(enabled=[]), f"{FREEZE}, {THAW}"), (Agent(failures={"guest-info": 9}), "does not answer"),
    (Agent(answer="{}"), FREEZE), (Agent(answer="[]"), FREEZE), (Agent(answer='{"return": {"supported_commands": [1, {"name": 2}]}}'), FREEZE),
    (Agent(answer="rubbish"), "does not answer"),
])
def test_what_stands_in_the_way(agent, words):
    found = quiesce.obstacle(agent)
    assert found is None if words is None else words in found
    assert FREEZE not in agent.asked


def test_it_is_frozen_when_it_is_saved(tmp_path):
    agent = Agent()
    transfer.save(agent, entry(tmp_path), 5.0, ["ordinary"])
    assert agent.saved == [True] and agent.asked == [FREEZE]
    other = Agent()
    transfer.save(other, entry(tmp_path, quiesced=False), 5.0, ["ordinary"])
    assert other.saved == [False] and other.asked == []


def test_one_that_cannot_be_frozen_is_thawed_and_not_saved(tmp_path):
    agent, one = Agent(failures={FREEZE: 1}), entry(tmp_path)
    with pytest.raises(MaintenanceError) as caught:
        transfer.save(agent, one, 5.0, ["ordinary"])
    assert caught.value.code == "quiesce" and "runs on" in str(caught.value)
    assert agent.saved == [] and THAW in agent.asked and not agent.frozen and one.quiesced is False


def test_one_that_could_not_be_saved_is_thawed(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "daemon_said", lambda _error: True)
    agent, one = Agent(failures={"save": 1}), entry(tmp_path)
    with pytest.raises(MaintenanceError) as caught:
        transfer.save(agent, one, 5.0, ["ordinary"])
    assert caught.value.code == "save" and not agent.frozen and one.quiesced is False
    assert agent.saved == [True]


def test_an_agent_that_is_found_again_a_moment_later_thaws():
    agent = Agent(failures={THAW: 3})
    assert quiesce.thaw(agent) == "" and agent.asked == [THAW] * 4


def test_one_that_does_not_thaw_is_named_and_stays_noted(tmp_path):
    agent, one = Agent(failures={THAW: 10**6}), entry(tmp_path)
    left = transfer._thaw(agent, one)
    assert "may still be frozen" in left and "virsh domfsthaw web" in left and one.quiesced is True


def test_when_it_is_back_it_is_thawed(tmp_path):
    agent, one = Agent(), entry(tmp_path)
    agent.frozen = True
    connection = types.SimpleNamespace(guest=lambda _uuid: agent)
    assert transfer.after(connection, one) == "" and not agent.frozen and one.quiesced is False
