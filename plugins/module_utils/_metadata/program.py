# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the program that tells guests of maintenance: `serve` answers them, `watch` knows them, `clear` leaves no trace."""
from __future__ import annotations

import argparse
import os

from .._events.places import EventPlaces
from . import serve, watch

WHAT = {"serve": serve.run, "watch": watch.run, "clear": watch.clear}


def main(arguments: list[str]) -> int:
    """The program.

    :param arguments: The command line without the program's name.
    :returns: The exit code.
    """
    parser = argparse.ArgumentParser(prog="vm-preserving-events", description="Tell guests of maintenance ahead.")
    parser.add_argument("--root", default="/", help="folder that its files are below (default: %(default)s)")
    parser.add_argument("what", choices=sorted(WHAT), help="serve: answer guests; watch: see which guests there are; clear: remove what watch has made")
    options = parser.parse_args(arguments)
    os.chdir("/")
    return WHAT[options.what](EventPlaces(options.root))
