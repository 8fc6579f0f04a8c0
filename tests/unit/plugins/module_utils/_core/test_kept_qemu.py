# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/kept_qemu: paths and definitions that name a QEMU that is kept."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.kept_qemu import KEPT, build_of, installed, is_kept, start_of, with_emulator

QEMU = "/usr/bin/qemu-system-x86_64"
START = f"{KEPT}/0abc/start{QEMU}"


@pytest.mark.parametrize(("path", "build", "stands_for"), [
    (START, "0abc", QEMU), (f"{KEPT}/0abc/program{QEMU}", "0abc", QEMU), (QEMU, None, QEMU), ("", None, ""), (f"{KEPT}/0abc/libraries/libz.so.1", None, None),
    (f"{KEPT}/xyz/start{QEMU}", None, None), (f"{KEPT}/0abc/start/../../../../../../bin/sh", None, None), (f"{KEPT}/0abc/start", None, None),
])
def test_a_path_says_by_itself_what_it_stands_for(path, build, stands_for):
    assert (build_of(path), installed(path)) == (build, path if stands_for is None else stands_for)


def test_what_starts_a_build_names_its_emulator():
    assert start_of("0abc", QEMU) == START and build_of(START) == "0abc" and is_kept(START) and not is_kept(QEMU) and not is_kept(f"{KEPT}x/y")


def domain(emulator):
    return (
        "<domain type='kvm'><metadata><other:x xmlns:other='urn:o'><devices><emulator>/not/this</emulator></devices></other:x></metadata>"
        f"<devices><emulator>{emulator}</emulator><disk/></devices></domain>"
    )


@pytest.mark.parametrize(("now", "wanted", "then"), [(QEMU, START, START), (START, "", QEMU), (START, START, START), (QEMU, QEMU, QEMU)])
def test_a_definition_gets_another_emulator_and_keeps_all_else(now, wanted, then):
    found = with_emulator(domain(now), wanted)
    assert found.replace('"', "'") == domain(then)


@pytest.mark.parametrize("text", [domain(QEMU), "<domain><devices/></domain>", "<domain/>"])
def test_one_that_names_none_is_not_even_read(text):
    assert with_emulator(text, "") is text
