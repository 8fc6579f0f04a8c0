# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace of a test's own, with real devices in it."""
from __future__ import annotations

import concurrent.futures
import ctypes
import json
import subprocess

_CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace: one thread that is in it, and with it what the thread starts."""

    def __init__(self):
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self._enter)

    @staticmethod
    def _enter():
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace can be made here")

    def run(self, function, *arguments):
        return self._thread.submit(function, *arguments).result()

    def ip(self, *words):
        return self.run(lambda: subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def flags(self, device):
        return json.loads(self.ip("ip", "-json", "link", "show", device))[0]["flags"]

    def entries(self, port):
        """The lasting entries of a port in its bridge's table."""
        known = json.loads(self.ip("bridge", "-json", "fdb", "show", "dev", port))
        return [entry["mac"] for entry in known if "master" in entry and entry["state"] == "static"]

    def close(self):
        self._thread.shutdown()
