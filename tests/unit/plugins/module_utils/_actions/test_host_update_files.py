# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_update_files: which packages of a plan take files away and which bring some, with a package manager of the test's; and with apt-get itself."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import host_update_files
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import managers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.package_manager import Change, Plan


class Packages:
    """A package manager with one plan.

    :param owned: The packages of a file, by its name.
    :param brought: The names of the files in a package that is downloaded.
    """

    def __init__(self, folder, changes, owned, brought, removed=()):
        self._folder, self._changes, self._owned, self._brought, self._removed = folder, changes, owned, brought, list(removed)

    def plan(self):
        return Plan(self._changes, self._removed, [])

    def owners(self, paths):
        return {path: self._owned[path.rpartition("/")[2]] for path in paths if path.rpartition("/")[2] in self._owned}

    def contents(self, package):
        return {f"{self._folder}/{name}": None for name in self._brought[package]} if package in self._brought else None


def ask(paths, packages=(), **over):
    return host_update_files.files_lost({
        "packages": list(packages), "default_release": None, "only_upgrade": True,
        "files": [{"path": str(path), "by_name": False, "what": "x", **over} for path in paths],
    })


OVMF, KERNEL = Change("ovmf", "1", "2"), Change("kernel", None, "6.2")


@pytest.mark.parametrize(("changes", "owned", "brought", "lost", "unknown"), [
    ([OVMF], {"x": ["ovmf"]}, {"ovmf": []}, [OVMF], []),
    ([OVMF], {"x": ["ovmf"]}, {"ovmf": ["x"]}, [], []),
    ([OVMF], {"x": ["ovmf"]}, {}, [], ["ovmf"]),  # not downloaded
    ([OVMF], {}, {}, [], []),
    # dpkg's name has an architecture, its owners have none.
    ([Change("ovmf:amd64", "1", "2")], {"x": ["ovmf"]}, {"ovmf": []}, [Change("ovmf:amd64", "1", "2")], []),
    # A kernel comes beside the others: nothing of the package of that name goes, and what it brings counts.
    ([KERNEL], {"x": ["kernel"]}, {"kernel": ["vmlinuz-6.2"]}, [], []),
    ([KERNEL], {"x": ["kernel"]}, {}, [], []),  # not downloaded, which does not matter
    ([KERNEL, OVMF], {"x": ["ovmf"]}, {"kernel": ["x"], "ovmf": []}, [], []),
    ([KERNEL, OVMF], {"x": ["kernel", "ovmf"]}, {"kernel": [], "ovmf": []}, [], []),  # the one that stays has it as well
    # Another package takes its place.
    ([Change("ipxe", "1", None), Change("ipxe-roms", None, "2")], {"x": ["ipxe"]}, {"ipxe-roms": ["x"]}, [], []),
    ([Change("ipxe", "1", None), Change("ipxe-roms", None, "2")], {"x": ["ipxe"]}, {"ipxe-roms": []}, [Change("ipxe", "1", None)], []),
    ([Change("ipxe", "1", None), Change("ipxe-roms", None, "2")], {"x": ["ipxe"]}, {}, [], ["ipxe-roms"]),
    # What an earlier run has unpacked and not configured has its files already: it is not downloaded, takes nothing away and brings nothing.
    ([Change("ovmf", "2", "2")], {"x": ["ovmf"]}, {}, [], []),
    ([Change("ipxe", "2", "2"), OVMF], {"x": ["ovmf"]}, {"ovmf": []}, [OVMF], []),
    ([Change("ipxe", "2", "2"), OVMF], {"x": ["ipxe", "ovmf"]}, {"ovmf": []}, [], []),
], ids=str)
def test_what_goes_and_what_comes(monkeypatch, tmp_path, changes, owned, brought, lost, unknown):
    monkeypatch.setattr(host_update_files, "manager", lambda *_given: Packages(tmp_path, changes, owned, brought))
    found = ask([tmp_path / "x"])
    assert found["changed"] is False and found["unknown"] == unknown
    assert found["lost"] == ([{"path": str(tmp_path / "x"), "packages": [one._asdict() for one in lost]}] if lost else [])


@pytest.mark.parametrize(("moved", "lost"), [(True, []), (False, ["x"])])
def test_a_file_that_may_be_elsewhere(monkeypatch, tmp_path, moved, lost):
    monkeypatch.setattr(host_update_files, "manager", lambda *_given: Packages(tmp_path, [OVMF], {"x": ["ovmf"]}, {"ovmf": ["elsewhere/x"]}))
    assert [one["path"] for one in ask([tmp_path / "x"], by_name=moved)["lost"]] == [str(tmp_path / name) for name in lost]


def test_an_update_that_would_be_refused_is_not_looked_into(monkeypatch, tmp_path):
    monkeypatch.setattr(host_update_files, "manager", lambda *_given: Packages(tmp_path, [Change("x", "1", None)], {}, {}, ["x"]))
    with pytest.raises(MaintenanceError, match="would remove x,") as caught:
        ask([tmp_path / "x"])
    assert caught.value.code == "packages"


def test_apt_itself(apt_system, tmp_path, monkeypatch):
    """One package that loses a file and keeps one; and one that an earlier run has unpacked, of which apt downloads nothing."""
    (tmp_path / "os-release").write_text("ID=debian\n")
    monkeypatch.setattr(managers, "OS_RELEASE", str(tmp_path / "os-release"))
    files = [str(tmp_path / "share" / name) for name in ("stays", "goes", "unpacked")]
    (tmp_path / "share").mkdir()
    for path in files:
        (tmp_path / path).write_text("")
    apt_system.with_files("ovmf", "installed", "1.0", files[:2], "2.0", files[:1])
    apt_system.with_files("ipxe", "unpacked", "2.0", files[2:], "2.0", [])
    apt_system.source("[trusted=yes] ")
    found = ask([*files, "/nowhere"])
    assert found == {
        "changed": False, "unknown": [], "lost": [{"path": files[1], "packages": [{"name": "ovmf", "installed": "1.0", "candidate": "2.0"}]}],
    }
    assert ask(files, ["ipxe"])["lost"] == []
    (apt_system.root / "repo/ovmf_2.0.deb").unlink()
    assert ask(files[1:2], ["ovmf"]) == {"changed": False, "unknown": ["ovmf"], "lost": []}
