# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/lost_files: which files an update takes away, with real files and links."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.lost_files import Update, Wanted

#: Who owns what now, below the test's folder.
OWNED = {
    "rom": ["ipxe"], "code": ["ovmf"], "link": ["ovmf"], "shared": ["ipxe", "ovmf"], "other": ["kept"], "chain": ["kept"], "circle": ["ovmf"],
}


@pytest.fixture
def host(tmp_path):
    """The files of a host, and a function that judges an update on it."""
    for name in ("rom", "code", "shared", "other", "mine"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("code")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "folder").symlink_to(".")
    (tmp_path / "circle").symlink_to("circle")
    opened = []

    def judge(path, coming, by_name=False, going=("ipxe", "ovmf")):
        def owners(paths):
            return {one: OWNED[one.rpartition("/")[2]] for one in paths if one.rpartition("/")[2] in OWNED}

        def contents(package):
            opened.append(package)
            return None if coming[package] is None else {str(tmp_path / name): link for name, link in coming[package].items()}

        update = Update(going, list(coming), owners, contents)
        return [packages for _path, packages in update.lost([Wanted(str(tmp_path / path), by_name)])], update.unknown, opened

    return judge


@pytest.mark.parametrize(("path", "coming", "lost"), [
    ("rom", {"ipxe": {"rom": None}}, []),
    ("rom", {"ipxe": {"other-rom": None}}, ["ipxe"]),
    ("rom", {"ipxe": {}, "ipxe-roms": {"rom": None}}, []),  # another package of the update takes it over
    ("rom", {"ovmf": {}}, ["ipxe"]),  # its place is taken by one that does not bring it
    ("folder/rom", {"ipxe": {}}, ["ipxe"]),
    ("mine", {"ipxe": {}, "ovmf": {}}, []),  # of no package
    ("other", {"ipxe": {}, "ovmf": {}}, []),  # of one that is not updated
    ("shared", {"ipxe": {}, "ovmf": {"shared": None}}, []),
    ("shared", {"ipxe": {}, "ovmf": {}}, ["ipxe", "ovmf"]),
    ("link", {"ovmf": {"link": "code", "code": None}}, []),
    ("link", {"ovmf": {"link": "code"}}, ["ovmf"]),  # it leads nowhere afterwards
    ("link", {"ovmf": {"link": "code_4m", "code_4m": None}}, []),  # another target, which comes with it
    ("link", {"ovmf": {"link": None}}, []),  # a file in the place of the link
    ("chain", {"ovmf": {"link": "code"}}, ["ovmf"]),
    ("chain", {"ovmf": {"code": None}}, ["ovmf"]),
    ("circle", {"ovmf": {"circle": "circle"}}, []),
    ("nowhere", {"ovmf": {}}, []),
], ids=str)
def test_what_is_lost(host, path, coming, lost):
    assert host(path, coming)[:2] == ([lost] if lost else [], [])


def test_a_file_that_is_looked_for_by_its_name_may_move(host):
    moved = {"ipxe": {"elsewhere/rom": None}}
    assert host("rom", moved)[0] == [["ipxe"]]
    assert host("rom", moved, by_name=True)[0] == []
    assert host("rom", {"ipxe": {"elsewhere/ram": None}}, by_name=True)[0] == [["ipxe"]]


@pytest.mark.parametrize(("coming", "unknown"), [
    ({"ipxe": None}, ["ipxe"]),  # what it brings is not known
    ({"ipxe": {}, "more": None}, ["more"]),  # nor whether this one brings it
    ({"ipxe": {"rom": None}, "more": None}, []),  # which does not matter
])
def test_what_is_not_downloaded_is_told_and_nothing_is_lost_for_it(host, coming, unknown):
    assert host("rom", coming)[:2] == ([], unknown)


def test_packages_are_opened_only_where_that_is_needed(host):
    assert host("mine", {"ipxe": {}, "ovmf": {}})[2] == []
    assert host("rom", {"ovmf": {}, "ipxe": {"rom": None}})[2] == ["ipxe"]


def test_configuration_stays():
    update = Update(["x"], ["x"], lambda paths: {path: ["x"] for path in paths}, lambda _package: {})
    assert update.lost([Wanted("/etc/hostname"), Wanted("/usr/share/nothing-of-the-kind")]) == [("/usr/share/nothing-of-the-kind", ["x"])]


def test_with_usr_merged_a_package_may_have_it_at_the_root():
    update = Update(["x"], ["x"], lambda paths: {path: ["x"] for path in paths}, lambda _package: {"/usr/lib/firmware/nothing": None})
    assert update.lost([Wanted("/lib/firmware/nothing"), Wanted("/usr/lib/firmware/nothing")]) == []


def test_nothing_is_asked_for_an_update_that_replaces_nothing(host):
    assert host("rom", {"linux-image-7": {}}, going=()) == ([], [], [])
