# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host's own clock is synchronized: the time service reports it to the kernel, and adjtimex(2) asks the kernel. No privilege is needed.

chronyd reports it only with `rtcsync` in its configuration, which is what distributions ship; without it its clock counts as not synchronized.
In containers the answer is that of the host, whose clock it is.
"""
from __future__ import annotations

import ctypes
import os

from .._core.host_clock import HostClock

#: What adjtimex(2) returns for a clock that is not synchronized, or whose hardware is at fault.
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex as glibc and musl have it on 64-bit Linux (sys/timex.h)."""

    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long),
        ("status", ctypes.c_int), ("constant", ctypes.c_long), ("precision", ctypes.c_long), ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2), ("tick", ctypes.c_long), ("ppsfreq", ctypes.c_long), ("jitter", ctypes.c_long), ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long), ("jitcnt", ctypes.c_long), ("calcnt", ctypes.c_long), ("errcnt", ctypes.c_long), ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int), ("reserved", ctypes.c_int * 11),
    ]


def host_clock() -> HostClock:
    """What the kernel knows of this host's clock.

    :raises OSError: It may not be asked, as in some containers.
    """
    answer = _Timex(modes=0)  # nothing is set
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel does not say whether the host's clock is synchronized ({os.strerror(number)})")
    return HostClock(state != _TIME_ERROR, answer.maxerror / 1e6)
