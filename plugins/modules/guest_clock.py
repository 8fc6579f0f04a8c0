#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_clock
short_description: Measure guests' clocks, correct them, measure again
version_added: 0.1.0
description:
  - Measures the clock of each guest against its host's through the guest agent, with an error bound, corrects it with an explicit
    time when it is proved to be wrong, and measures it again. A correction that does not get nearer is not made again.
  - A clock at the edge of O(tolerance), proved neither right nor wrong, is corrected as well when it is off by more than twice the bound. So that is proved to
    bring it nearer.
  - The verdict of each guest is V(in_sync) (proved within the tolerance), V(out_of_sync) (proved outside) or V(unverified)
    (no agent, or one whose answers are too slow or too coarse to prove either).
  - The bound is half of the quickest round trip and the granularity of the guest's clock, which the agent's own word of its operating system decides.
    That is a microsecond, and 16.6 ms on Windows and where the agent does not say what it is.
  - A clock whose agent is too slow to prove it right or wrong is left alone; to set it could only make it worse.
  - The reference is the host's own clock. The kernel is asked whether that is synchronized by a time service (adjtimex(2)), which the result says.
  - libvirt's time-out of the agent is set for the measurement and put back to libvirt's default.
notes:
  - What a guest's time service does later is not seen. W32Time of Windows may step or slew the clock again when it next asks its own source.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance
  - vm_preserving.maintenance.maintenance.names
  - vm_preserving.maintenance.maintenance.writes
attributes:
  idempotent:
    support: full
    description: A clock that is proved to be right is not touched.
options:
  tolerance:
    description:
      - Seconds by which a clock may differ.
      - The clock of a Windows guest cannot be proved to be right to less than about V(0.02); it would be V(unverified).
    type: float
    default: 0.1
  correct:
    description: Correct clocks that are proved to be wrong. V(false) only measures.
    type: bool
    default: true
  samples:
    description: Questions per measurement, of which the best counts.
    type: int
    default: 5
  agent_timeout:
    description: Seconds for each answer of a guest agent.
    type: int
    default: 5
  host_clock_wait:
    description: Seconds to wait until the host's own clock is synchronized by its time service, which takes a while after a boot.
    type: float
    default: 0
  target_offsets:
    description:
      - Seconds that a guest's clock should be ahead of the host's, by name or UUID of the guest. All others should be at V(0).
      - For guests that are off on purpose. Names that do not exist on the host are of no consequence.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Measure only
  vm_preserving.maintenance.guest_clock:
    correct: false
  register: clocks

- name: Put all clocks right
  vm_preserving.maintenance.guest_clock:
    tolerance: 0.05
"""

RETURN = r"""
guests:
  description: All guests, also on failure.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: libvirt's name.
      type: str
    uuid:
      description: libvirt's UUID.
      type: str
    before:
      description: C(offset) (seconds, negative when the guest is behind) and C(bound) (seconds) first measured, V(null) if not measurable.
      type: dict
      sample: {offset: -12.402113, bound: 0.000721}
    after:
      description: The same, last measured.
      type: dict
      sample: {offset: 0.000215, bound: 0.000698}
    target:
      description: The offset that it should have, in seconds.
      type: float
    verdict:
      description: V(in_sync), V(out_of_sync) or V(unverified).
      type: str
    changed:
      description: Whether it was set.
      type: bool
    error:
      description: Why it is unverified, or what the agent said against setting the clock, as C(code) and C(message).
      returned: when unverified, or out of sync and the agent refused
      type: dict
host_clock:
  description:
    - Whether the host's own clock is synchronized, C(synchronized), and by how many seconds it can be off by its time service's account, C(max_error).
    - V(null) when it may not be asked, as in some containers.
  returned: success
  type: dict
  sample: {synchronized: true, max_error: 0.0213}
reference:
  description: What the clocks were held against, in words.
  returned: success
  type: str
  sample: a host clock that is synchronized (within 0.021 s)
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_clock import check_clocks


def _body(params: dict, check_mode: bool) -> dict:
    result = check_clocks(params, check_mode)

    def lines(key: str) -> str:
        return "".join(
            f"{guest['name']}: {'unknown' if guest[key] is None else format(guest[key]['offset'], '+.6f')} s\n" for guest in result["guests"]
        )

    return {**result, "diff": {"before": lines("before"), "after": lines("after")}}


def main() -> None:
    """The module."""
    options = {
        "tolerance": {"type": "float", "default": 0.1},
        "correct": {"type": "bool", "default": True},
        "samples": {"type": "int", "default": 5},
        "agent_timeout": {"type": "int", "default": 5},
        "target_offsets": {"type": "dict", "default": {}},
        "host_clock_wait": {"type": "float", "default": 0},
    }
    _module.run({**_module.URI, **_module.NAME, **options}, _body, empty={"guests": []})


if __name__ == "__main__":
    main()
