# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system.host_clock: the kernel's own answer, read a second way: by the C library's own struct, through a C program where there is a compiler."""
from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import host_clock

PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <sys/timex.h>
int main(void) {
    struct timex t = { .modes = 0 };
    int state = adjtimex(&t);
    printf("%d %d %ld %zu %zu %zu %zu", state, t.status, t.maxerror, sizeof t, offsetof(struct timex, maxerror), offsetof(struct timex, status),
        offsetof(struct timex, tai));
    return 0;
}
"""


def test_the_kernel_answers():
    found = host_clock.host_clock()
    assert isinstance(found.synchronized, bool)
    assert 0 <= found.max_error <= 3600


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")
def test_it_is_the_answer_that_a_c_program_gets(tmp_path):
    (tmp_path / "t.c").write_text(PROGRAM)
    subprocess.run(["cc", "-o", str(tmp_path / "t"), str(tmp_path / "t.c")], check=True)
    said = subprocess.run([str(tmp_path / "t")], check=True, capture_output=True, text=True).stdout
    state, status, maxerror, size, at_maxerror, at_status, at_tai = map(int, said.split())
    timex = host_clock._Timex
    assert (size, at_maxerror, at_status, at_tai) == (ctypes.sizeof(timex), timex.maxerror.offset, timex.status.offset, timex.tai.offset)
    found = host_clock.host_clock()
    assert found.synchronized == (state != 5 and not status & 0x40)
    assert abs(found.max_error - maxerror / 1e6) < 0.1
