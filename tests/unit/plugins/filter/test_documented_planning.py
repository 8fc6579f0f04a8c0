# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory and the playbook of docs/update_domains.md, as they stand there: what Ansible makes of them is what the page says."""
from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("ansible")
yaml = pytest.importorskip("yaml")

ROOT = pathlib.Path(__file__).parents[4]
PAGE = ROOT / "docs" / "update_domains.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def play(tmp_path):
    """Runs the playbook; returns its exit code, what the tasks said by task, and all output."""
    for block in blocks("yaml"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    environment = {
        **os.environ, "HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2]),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
    }

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "update_domains.yml", *arguments], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )
        return done.returncode, done.stdout
    run.inventory = tmp_path / "inventory.yml"
    return run


def proposed(output):
    """The domains that the task shows."""
    return json.loads(re.search(r'"msg": (\{.*?\})', output, re.DOTALL)[1])


def test_the_page_is_true(play):
    problem = next(block for block in blocks("") if block.startswith("update domain 0 has")).strip()
    proposal = json.loads(blocks("json")[0])
    code, output = play()
    assert code == 2 and f'"msg": "{problem}"' in output, output
    assert proposed(output) == proposal

    code, output = play("-e", '{"accepted_sets": ["web"]}')
    assert code == 0, output
    code, output = play("-e", '{"accepted_sets": ["wbe"]}')
    assert code == 2 and "accepted names availability set wbe, which does not exist" in output

    inventory = yaml.safe_load(play.inventory.read_text(encoding="utf-8"))
    for host, domain in proposal.items():
        inventory["kvm_hosts"]["hosts"][host]["update_domain"] = domain
    play.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    code, output = play()
    assert code == 0 and proposed(output) == proposal, output

    for host in proposal:
        del inventory["kvm_hosts"]["hosts"][host]["update_domain"]
    play.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    code, output = play()
    assert code == 2 and set(proposed(output)) == set(proposal)
    assert "the variable update_domain is not set or empty for host kvm1, kvm2, kvm3, kvm4" in output
