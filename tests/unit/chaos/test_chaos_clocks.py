"""Chaos: for how long a clock was wrong, from what a guest showed of it."""

import math
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "chaos"), str(Path(__file__).parents[2] / "lab")]

from vmpchaos import clocks  # noqa: E402


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([], 0.0),
        ([(1.0, -0.1), (2.0, -0.3)], 0.0),
        ([(1.0, -0.1), (5.0, -3.0), (5.4, -3.1), (5.5, -0.1)], 0.5),
        ([(1.0, -3.0), (2.0, 0.0), (6.0, 3.0), (6.2, 0.0)], 1.0),
        ([(1.0, 0.0), (5.0, -3.0)], math.inf),
    ],
    ids=["never heard", "right", "corrected after a pause", "the longest counts", "still wrong"],
)
def test_how_long_a_clock_was_wrong(readings, expected):
    assert clocks.lag(readings) == pytest.approx(expected)
