# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rollout_report and rollout_progress in runs of ansible-playbook: what they write and show, and that they never change how a run ends."""
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
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}", word: "1"}
  hosts:
    h1: {update_domain: "{{ word }}"}
    h2: {update_domain: "2"}
    lost: {update_domain: "3", ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""
# A refused host, as without libvirt every host is; facts as the role leaves them; what is hidden; and what is none of ours.
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: none of ours}
- hosts: h1:h2:lost
  gather_facts: false
  strategy: vm_preserving.maintenance.update_domain
  tasks:
    - ansible.builtin.set_fact:
        host_update_report: {updated: true, update_domain: "1", guests: [{name: g<b>, uuid: u1, memory: kept}], problems: [], notes: []}
      when: inventory_hostname == 'h1'
    - vm_preserving.maintenance.guest_resume: {uri: "bad://s3cret"}
      no_log: true
      ignore_errors: true
    - vm_preserving.maintenance.guest_resume: {uri: "bad://x"}
      ignore_errors: "{{ inventory_hostname == 'h1' }}"
"""
CALLBACKS = ("vm_preserving.maintenance.rollout_report", "vm_preserving.maintenance.rollout_progress")
PLAIN = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: none of ours}
"""


@pytest.fixture
def play(tmp_path):
    """Runs a playbook; returns its exit code and all output."""
    def run(text, *arguments, callback=True, **environment):
        (tmp_path / "hosts.yml").write_text(INVENTORY, encoding="utf-8")
        (tmp_path / "play.yml").write_text(text, encoding="utf-8")
        known = {
            **os.environ, "HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2]),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
            **({"ANSIBLE_CALLBACKS_ENABLED": ",".join(CALLBACKS)} if callback else {}), **environment,
        }
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.yml", "play.yml", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
        return done.returncode, done.stdout
    run.folder = tmp_path / ".ansible" / "vm_preserving" / "reports"
    return run


def test_a_run_and_its_check(play, tmp_path):
    code, output = play(PLAY)
    assert code == 2, output
    # No terminal: the table alone, and last.
    assert "\u00b7" not in output and output.splitlines()[-1].startswith("hosts: 1 updated, 1 failed, 1 not started;"), output
    events_file, = play.folder.glob("*.jsonl")
    assert f"report of this run: {events_file.with_suffix('.html')}" in output and "WARNING]: rollout_report" not in output
    text, page = events_file.read_text(encoding="ascii"), events_file.with_suffix(".html").read_text(encoding="utf-8")
    assert "s3cret" not in text + page and "none of ours" not in text and "g&lt;b&gt;" in page
    events = [json.loads(line) for line in text.splitlines()]
    assert events[0]["playbook"] == "play.yml" and events[-1]["event"] == "end"
    domains = next(one["domains"] for one in events if one.get("domains"))
    assert domains == [{"name": "1", "hosts": ["h1"]}, {"name": "2", "hosts": ["h2"]}, {"name": "3", "hosts": ["lost"]}]
    assert events[-1]["totals"]["hosts"] == {"updated": 1, "failed": 1, "not started": 1}
    said = [one for one in events if one.get("withheld")]
    assert len(said) == 2 and {one["host"] for one in said} == {"h1", "h2"}
    failed, = [one for one in events if one.get("host") == "h2" and one.get("message")]
    assert failed["ignored"] is False and failed["message"] and failed["took"] > 0

    code, output = play("- ansible.builtin.import_playbook: vm_preserving.maintenance.check_report\n")
    assert code == 0 and "2 results were withheld" not in output and "h1: 1 results were withheld by no_log" in output, output
    events_file.write_text(text.replace('"updated": 1', '"updated": 2'), encoding="ascii")
    code, output = play("- ansible.builtin.import_playbook: vm_preserving.maintenance.check_report\n", "-e", f"report={events_file.with_suffix('.html')}")
    assert code == 2 and "the report claims hosts" in output and "the page was made from other events" in output, output

    # Killed: its page is made by the check.
    events_file.with_suffix(".html").unlink()
    events_file.write_text(text[:-40], encoding="ascii")
    code, output = play("- ansible.builtin.import_playbook: vm_preserving.maintenance.check_report\n")
    assert code == 0 and "the run did not end" in output and events_file.with_suffix(".html").exists(), output


def test_a_run_without_anything_of_ours_writes_nothing(play):
    code, output = play(PLAIN)
    assert code == 0 and not play.folder.exists() and "report" not in output, output


def test_an_error_in_it_is_one_warning_and_changes_nothing(play, tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")
    without, _output = play(PLAY, "--limit", "h1", callback=False)
    code, output = play(PLAY, "--limit", "h1", VM_PRESERVING_REPORT_FOLDER=str(tmp_path / "file" / "reports"))
    assert code == without == 0, output
    assert output.count("rollout_report: the report of this run ends here") == 1, output


def test_options_as_variables_and_lines_beside_another_stdout_callback(play, tmp_path):
    code, output = play(PLAY, "--limit", "h1", "-e", "rollout_progress_show=always", "-e", f"rollout_report_folder={tmp_path / 'there'}",
                        ANSIBLE_STDOUT_CALLBACK="ansible.builtin.oneline")
    assert code == 0 and len(list((tmp_path / "there").glob("*.html"))) == 1, output
    assert "domain 1/1 \u00b7 h1 \u00b7 done \u00b7 updated \u00b7 1 of 1 hosts" in output, output
