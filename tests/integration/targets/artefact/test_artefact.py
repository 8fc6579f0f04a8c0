# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built collection, alone in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
# Galaxy's rule: no other folder may be needed when it runs.
NEEDED = {"meta", "plugins", "roles", "playbooks"}
BESIDE = {"docs", "inventories", "changelogs", "tests", "README.md", "LICENSE", "CHANGELOG.rst", "requirements.txt", "MANIFEST.json", "FILES.json"}
INVENTORY = {
    "kvm_hosts": {
        "hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3", "ansible_become": False, "update_domain": "0"}},
        "vars": {"host_update_commands": [["true"]]},
    },
}
GROUP = [{
    "hosts": "kvm_hosts", "gather_facts": False,
    "module_defaults": {"group/vm_preserving.maintenance.maintenance": {"uri": "qemu+ssh://elsewhere/system"}},
    "tasks": [{"vm_preserving.maintenance.guest_info": {}}],
}]


@pytest.fixture(scope="session")
def artefact() -> Path:
    """The one file that `make collection` has built."""
    built = list((ROOT / ".build" / "dist").glob("vm_preserving-maintenance-*.tar.gz"))
    assert len(built) == 1, "run `make collection` first"
    return built[0]


@pytest.fixture(scope="session")
def members(artefact) -> list[tarfile.TarInfo]:
    """What is in it."""
    with tarfile.open(artefact) as archive:
        return archive.getmembers()


@pytest.fixture(scope="session")
def ansible(artefact, tmp_path_factory):
    """Runs a program of Ansible in an empty folder, with nothing but what is needed of the collection; returns what subprocess.run does."""
    home = tmp_path_factory.mktemp("home")
    collections = home / "collections"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
        "HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",  # of strategies from collections, which docs/architecture.md speaks of
    }

    def run(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300)

    done = run("ansible-galaxy", "collection", "install", "--offline", "-p", str(collections), str(artefact))
    assert done.returncode == 0, done.stdout
    for path in (collections / "ansible_collections/vm_preserving/maintenance").iterdir():
        if path.name not in NEEDED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (home / "inventory.yml").write_text(yaml.safe_dump(INVENTORY))
    (home / "group.yml").write_text(yaml.safe_dump(GROUP))
    return run


def test_nothing_else_is_in_it(members):
    names = [member.name for member in members]
    assert {name.split("/")[0] for name in names} == NEEDED | BESIDE
    files = {member.name for member in members if member.isfile()}
    assert {name for name in files if name.startswith("tests/")} == {"tests/config.yml"}
    assert {name for name in files if name.startswith("changelogs/")} <= {"changelogs/config.yaml", "changelogs/changelog.yaml"}
    assert {name.split("/")[1] for name in files if name.startswith("inventories/")} == {"example"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".tar.gz"))]
    assert not [member.name for member in members if not member.isfile() and not member.isdir()]


def test_the_changelog_is_of_this_version(artefact):
    version = artefact.name.removesuffix(".tar.gz").rpartition("-")[2]
    with tarfile.open(artefact) as archive:
        changelog = archive.extractfile("CHANGELOG.rst").read().decode()
    assert f"\nv{version}\n=" in changelog
    fragment = yaml.safe_load((ROOT / "changelogs/fragments/0001-collection.yml").read_text())
    assert fragment["major_changes"][0] in changelog


def test_the_readme_leads_to_nothing_that_is_missing(artefact, members):
    names = {member.name for member in members}
    with tarfile.open(artefact) as archive:
        readme = archive.extractfile("README.md").read().decode()
    links = set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme))
    assert links and links <= names


def test_its_requirements_have_no_upper_limit_and_no_ansible_core(artefact):
    with tarfile.open(artefact) as archive:
        lines = archive.extractfile("requirements.txt").read().decode().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert wanted and not [line for line in wanted if re.search(r"<|==|~=|^ansible", line)]


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")))
def test_a_playbook_is_found_by_its_full_name(ansible, playbook):
    done = ansible("ansible-playbook", "-i", "inventory.yml", "--syntax-check", f"vm_preserving.maintenance.{playbook}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("playbook", ["rolling_update", "recover"])
def test_a_host_without_libvirt_is_refused_in_a_sentence(ansible, playbook):
    done = ansible("ansible-playbook", "-i", "inventory.yml", f"vm_preserving.maintenance.{playbook}")
    assert done.returncode == 2, done.stdout
    assert re.search(r"the Python bindings of libvirt are missing on this host|libvirt at qemu:///system cannot be reached", done.stdout), done.stdout
    assert "Traceback" not in done.stdout
    if playbook == "rolling_update":
        assert "update domain 0 (1 of 1): here" in done.stdout
        assert "The rollout stops at update domain 0: failed: here." in done.stdout


def test_the_action_group_sets_an_option_of_a_module(ansible):
    done = ansible("ansible-playbook", "-i", "inventory.yml", "-vvv", "group.yml")
    # It fails, for want of libvirt or because the URI is no local one. What it was told is shown in JSON.
    assert done.returncode == 2 and '"uri": "qemu+ssh://elsewhere/system"' in done.stdout, done.stdout
