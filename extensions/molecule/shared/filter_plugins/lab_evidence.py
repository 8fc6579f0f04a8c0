"""The filter lab_evidence: what became of each guest's memory. The judgement is the lab's own (tests/lab/vmplab/proof.py)."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), *[os.pardir] * 4, "tests", "lab"))
from vmplab.proof import join_evidence  # noqa: E402  (the path comes first)


def lab_evidence(before, now, later):
    """A list with one document for each guest: what join_evidence says of it, and its name.

    :param before: What `lab evidence` answered before the scenario.
    :param now: The same after the scenario.
    :param later: The same a moment later.
    """
    return [{"name": name, **found} for name, found in join_evidence(before, now, later).items()]


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name and function of each filter."""
        return {"lab_evidence": lab_evidence}
