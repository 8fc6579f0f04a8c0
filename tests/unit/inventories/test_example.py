# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory as Ansible reads it: its update domains, its availability sets, and variables that the role host_update has."""
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

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils import update_domains
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.availability import availability_problems

ROOT = pathlib.Path(update_domains.__file__).parents[2]
EXAMPLE = ROOT / "inventories" / "example"
DOMAINS = {
    "kvm-r1-01": "r1", "kvm-r1-02": "r1", "kvm-r2-01": "r2", "kvm-r2-02": "r2",
    "kvm-r10-01": "r10",  # by its name
    "kvm-r10-02": "r99",  # by its own word
}


def ansible(home, program, *arguments):
    """Run a program of Ansible; return what subprocess.run does."""
    environment = {
        **os.environ, "HOME": str(home), "ANSIBLE_LOCAL_TEMP": str(home / "tmp"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2]),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FATAL": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "ansible", program, "-i", str(EXAMPLE), *arguments], cwd=home, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """What `ansible-inventory --list` says."""
    done = ansible(tmp_path_factory.mktemp("home"), "inventory", "--list")
    assert done.returncode == 0 and "WARN" not in done.stderr, done.stderr
    # Newer releases of ansible-core show what comes of a host's name as unsafe.
    return json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))


def test_each_host_has_its_update_domain(inventory):
    variables = inventory["_meta"]["hostvars"]
    assert {host: found["update_domain"] for host, found in variables.items()} == DOMAINS
    for domain in set(DOMAINS.values()):
        assert sorted(inventory[f"update_domain_{domain}"]["hosts"]) == sorted(host for host, own in DOMAINS.items() if own == domain)


def test_its_variables_are_those_of_the_role(inventory):
    known = yaml.safe_load((ROOT / "roles" / "host_update" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    used = {name for found in inventory["_meta"]["hostvars"].values() for name in found if name.startswith("host_update_")}
    assert "host_update_default_release" in used  # of one group alone
    assert used <= set(known)


def test_enough_guests_of_each_set_are_left(inventory):
    variables = inventory["_meta"]["hostvars"]
    placement = {host: found["planned_guests"] for host, found in variables.items()}
    sets = variables["kvm-r1-01"]["availability_sets"]
    assert {guest for found in sets.values() for guest in found["guests"]} <= {guest["name"] for guests in placement.values() for guest in guests}
    assert availability_problems(placement, DOMAINS, sets) == []
    # The check sees what it is there for: racks 1 and 2 together.
    assert [problem["set"] for problem in availability_problems(placement, {**DOMAINS, "kvm-r2-01": "r1", "kvm-r2-02": "r1"}, sets)] == ["db", "web"]


def test_the_playbook_of_the_page_finds_it_in_order(tmp_path):
    page = (ROOT / "docs" / "update_domains.md").read_text(encoding="utf-8")
    playbook = tmp_path / "update_domains.yml"
    playbook.write_text(re.search(r"^```yaml\n(# update_domains\.yml\n.*?)^```$", page, re.MULTILINE | re.DOTALL)[1], encoding="utf-8")
    done = ansible(tmp_path, "playbook", str(playbook))
    assert done.returncode == 0, done.stdout + done.stderr
