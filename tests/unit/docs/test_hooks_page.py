# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of docs/hooks.md, as they stand there: ansible-playbook reads them."""
from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("ansible")

ROOT = pathlib.Path(__file__).parents[3]
BLOCKS = re.findall(r"^```yaml\n(# \w+\.yml\n.*?)^```$", (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_examples_can_be_read(tmp_path):
    assert len(BLOCKS) == 7
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"{number}.yml").write_text(block, encoding="utf-8")
    tasks = "".join(f"    - ansible.builtin.import_tasks: {number}.yml\n" for number in range(len(BLOCKS)))
    (tmp_path / "play.yml").write_text(f"- hosts: localhost\n  gather_facts: false\n  tasks:\n{tasks}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "--syntax-check", "-i", "localhost,", "play.yml"], cwd=tmp_path, check=False, timeout=120,
        env={**os.environ, "HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert done.returncode == 0, done.stdout
