#!/usr/bin/env python3
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the program of scheduled events to a file, as the module scheduled_events_program does."""
from __future__ import annotations

import os
import sys

sys.path[:0] = [path for path in os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":") if os.path.isdir(os.path.join(path, "ansible_collections"))]

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.scheduled_events_program import keep_program  # noqa: E402

keep_program(sys.argv[1], True, False)
