# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugin_utils/report_why: why a guest was away for long, as far as its host has told."""

from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_why import Window, why_long


def window(kind="pause", **more):
    given = {
        "kind": kind, "step": 1, "task": "Update", "limit": 30.0, "window": {"paused_within": 0.2, "resumed_within": 0.1},
        "commands": [{"argv": ["systemctl", "restart", "a"], "seconds": 20.0, "state": "ended"}, {"argv": ["b"], "seconds": 9.0, "state": "not_started"}],
        "deadline_missed": False, "took": 25.0,
    }
    return Window(**{**given, **more})


COMMAND = "what took longest: systemctl restart a 20.0 s, suspending all guests 0.2 s, resuming all guests 0.1 s"


@pytest.mark.parametrize(("record", "about", "words"), [
    ({"paused_for": None}, {}, ["for how long is not known"]),
    ({"paused_for": 14.9}, {}, []),
    ({"paused_for": 15.0}, {}, []),
    ({"paused_for": 20.4}, {"limit": None}, []),
    ({"paused_for": 20.4}, {}, [COMMAND]),
    # A tenth of it may stay untold.
    ({"paused_for": 22.0}, {}, [COMMAND]),
    ({"paused_for": 26.3}, {}, [COMMAND, "of 6.0 s the host does not tell what they were spent on"]),
    ({"paused_for": 30.0}, {"deadline_missed": True}, [
        "the commands had not ended when the guests had to run again, and went on with the guests running", COMMAND,
    ]),
    ({"paused_for": 20.4, "resumed_by": "guard"}, {"window": {}, "commands": [], "kind": "reboot"}, [
        "the guard on the host resumed it; what it had to do for that is in its journal (journalctl -u 'vm-preserving-guard-*' on the host)",
    ]),
    ({"paused_for": 20.4, "predicted": 12.0, "why_copy": "its memory is no shared file"}, {"kind": "refresh", "window": {}, "commands": []}, [
        "12.0 s were predicted, because its memory is no shared file",
    ]),
    ({"paused_for": 20.4}, {"kind": "refresh", "window": {}, "commands": []}, ["the host does not tell why"]),
])
def test_why_a_guest_was_away_for_long(record, about, words):
    assert why_long(record, window(**about), 0.5) == words


def test_the_order_of_what_was_in_a_window_is_kept():
    assert window(reboot_took=40.0).parts() == [
        ("suspending all guests", 0.2), ("systemctl restart a", 20.0), ("resuming all guests", 0.1), ("the reboot itself", 40.0),
    ]
