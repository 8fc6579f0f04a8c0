# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rollout_journal in plays of ansible-playbook: an order that is kept by the journal alone, and a rollout that is carried on."""
from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("ansible")

ROOT = pathlib.Path(__file__).parents[4]
INVENTORY = """
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts:
    h3: {update_domain: "1"}
    h1: {update_domain: "0"}
    h2: {update_domain: "0"}
    other: {}
"""
# Core's linear strategy, without anything of ours that keeps the order: all hosts at once.
PLAY = """
- hosts: all:!other
  gather_facts: false
  tasks:
    - vm_preserving.maintenance.rollout_journal: {state: opened, folder: journals, by: anna, take_over: "{{ take_over | default('') }}"}
      run_once: true
      register: opened
- hosts: "{{ turn }}"
  gather_facts: false
  tasks:
    - vm_preserving.maintenance.rollout_journal: {state: "{{ item }}", folder: journals, rollout: "{{ opened.rollout }}"}
      loop: "{{ steps }}"
"""
DONE = ["may_begin", "begun", "done", "proved"]


@pytest.fixture
def play(tmp_path):
    """Runs the playbook; returns its exit code and all output."""
    (tmp_path / "hosts.yml").write_text(INVENTORY, encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    environment = {
        **os.environ, "HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2]),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
    }

    def run(turn, steps, *arguments, **variables):
        given = json.dumps({"turn": turn, "steps": steps, **variables})
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.yml", "play.yml", "-e", given, *arguments], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )
        return done.returncode, done.stdout
    run.journals = lambda: sorted((tmp_path / "journals").glob("*.jsonl"))
    return run


def test_a_rollout(play):
    code, output = play("h3", DONE)
    assert code == 2 and "h3: update domain 1 does not begin, or not go on, because of other hosts:" in output, output
    assert "not done, or not seen to be in order in this run: h1, h2" in output

    # Carried on, as the same: what was begun and not ended, as by a killed run, is no obstacle when its process has gone.
    code, output = play("h1,h2", ["may_begin", "begun"])
    assert code == 0 and len(play.journals()) == 1, output
    code, output = play("h1", ["done", "closed"], "--limit", "h1,h2")
    assert code == 2 and "is not over, these hosts are not done: h2." in output, output
    code, output = play("h1,h2,h3", DONE, "--limit", "h1,h2")
    assert code == 0, output
    code, output = play("h1", ["closed"], "--limit", "h1,h2")
    assert code == 0, output
    assert json.loads(play.journals()[0].read_text(encoding="utf-8").splitlines()[-1])["event"] == "closed"

    # That one is over: another begins.
    code, output = play("h1", DONE, "--check")
    assert code == 0 and len(play.journals()) == 1, output
    code, output = play("h1", ["begun"])
    assert code == 0 and len(play.journals()) == 2, output

    # Somebody else's, of whom nothing is to be seen from here, is carried on by nobody; its place can be taken.
    text = play.journals()[1].read_text(encoding="utf-8")
    play.journals()[1].write_text(text.replace(f'"node": "{os.uname().nodename}"', '"node": "elsewhere"'), encoding="utf-8")
    code, output = play("h1", DONE)
    assert code == 2 and "may still be at work on h1" in output and len(play.journals()) == 2, output
    code, output = play("h1", DONE, take_over=play.journals()[1].stem)
    assert code == 0 and len(play.journals()) == 3, output
