# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/measurement: an offset with a bound that holds, and verdicts that are proved."""
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import measurement
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.measurement import Offset, Sample

#: Two readings of a clock in seconds since the epoch that a float can tell apart.
FLOAT = 5e-7
NOW = st.floats(1.5e9, 3e9)
DELAYS = st.floats(0, 100)
OFFSETS = st.floats(-1e6, 1e6)
RESOLUTIONS = st.sampled_from([1e-6, 1e-3, 16e-3, 1.0])


def ask(true_offset, asked, there, back, resolution):
    """A sample as it comes about: the question takes `there`, the answer `back`, the guest's clock goes in steps."""
    guest = asked + there + true_offset
    if resolution > 1e-6:
        guest = math.floor(guest / resolution) * resolution
    return Sample(asked, there + back, guest)


@given(OFFSETS, RESOLUTIONS, st.lists(st.tuples(NOW, DELAYS, DELAYS), min_size=1, max_size=8))
def test_the_true_offset_is_within_the_bound(true_offset, resolution, rounds):
    found = measurement.offset([ask(true_offset, *one, resolution) for one in rounds], resolution)
    assert abs(found.seconds - true_offset) <= found.bound + FLOAT


@given(OFFSETS, st.lists(st.tuples(NOW, DELAYS, DELAYS), min_size=1, max_size=8))
def test_the_best_sample_has_the_smallest_bound_and_more_samples_never_do_harm(true_offset, rounds):
    samples = [ask(true_offset, *one, 1e-6) for one in rounds]
    bound = measurement.offset(samples, measurement.POSIX_RESOLUTION).bound
    assert bound == min(measurement.offset([sample], measurement.POSIX_RESOLUTION).bound for sample in samples)
    assert bound >= measurement.POSIX_RESOLUTION


@pytest.mark.parametrize(("samples", "expected"), [
    ([Sample(100.0, 0.2, 100.1)], (0.0, 0.1)),
    ([Sample(100.0, 0.2, 70.1)], (-30.0, 0.1)),
    ([Sample(100.0, 2.0, 190.0), Sample(200.0, 0.5, 205.25)], (5.0, 0.25)),
    ([Sample(200.0, 0.5, 205.25), Sample(100.0, 2.0, 190.0)], (5.0, 0.25)),
    ([Sample(100.0, 0.0, 101.0)], (1.0, 0.0)),
])
def test_offset(samples, expected):
    found = measurement.offset(samples, 0.0)
    assert (found.seconds, found.bound) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("system", "expected"), [
    ({"id": "mswindows", "kernel-release": "20348"}, measurement.WINDOWS_RESOLUTION),
    ({"id": "debian", "kernel-release": "6.12"}, measurement.POSIX_RESOLUTION),
    ({"kernel-release": "6.12"}, measurement.POSIX_RESOLUTION),
    ({}, measurement.WINDOWS_RESOLUTION),
])
def test_a_clock_is_as_fine_as_its_system_says_and_coarse_when_it_says_nothing(system, expected):
    assert measurement.resolution_of(system) == expected


def test_a_windows_guest_can_be_proved_right_within_the_default_tolerance():
    assert measurement.verdict(Offset(-measurement.WINDOWS_RESOLUTION, measurement.WINDOWS_RESOLUTION + 0.03), 0.0, 0.1) == "in_sync"


def test_no_samples_are_refused():
    with pytest.raises(ValueError):
        measurement.offset([], 0.0)


@pytest.mark.parametrize(("seconds", "bound", "target", "expected"), [
    (0.0, 0.0, 0.0, "in_sync"),
    (0.09, 0.005, 0.0, "in_sync"),
    (-0.09, 0.005, 0.0, "in_sync"),
    (0.0625, 0.0625, 0.0, "unverified"),
    (0.0, 0.2, 0.0, "unverified"),
    (0.11, 0.02, 0.0, "unverified"),
    (0.2, 0.05, 0.0, "out_of_sync"),
    (-30.0, 0.001, 0.0, "out_of_sync"),
    (-30.0, 0.001, -30.0, "in_sync"),
    (0.0, 0.001, 3600.0, "out_of_sync"),
    (0.0, math.inf, 0.0, "unverified"),
])
def test_verdict(seconds, bound, target, expected):
    assert measurement.verdict(Offset(seconds, bound), target, 0.1) == expected


@given(OFFSETS, DELAYS, OFFSETS, st.floats(1e-6, 3600), st.floats(-1, 1))
def test_a_verdict_holds_for_every_offset_within_the_bound(seconds, bound, target, tolerance, where):
    true_offset = seconds + where * bound
    distance = abs(true_offset - target)
    verdict = measurement.verdict(Offset(seconds, bound), target, tolerance)
    assert verdict in ("in_sync", "out_of_sync", "unverified")
    if verdict == "in_sync":
        assert distance <= tolerance + 1e-6
    elif verdict == "out_of_sync":
        assert distance > tolerance - 1e-6


@given(OFFSETS, OFFSETS, st.floats(1e-6, 3600))
def test_a_measurement_without_doubt_gives_a_proof(seconds, target, tolerance):
    assert measurement.verdict(Offset(seconds, 0.0), target, tolerance) == ("in_sync" if abs(seconds - target) <= tolerance else "out_of_sync")


@given(OFFSETS, DELAYS, OFFSETS, st.floats(1e-6, 3600), st.floats(0, 100))
def test_more_doubt_never_turns_a_verdict_round(seconds, bound, target, tolerance, more):
    sure, unsure = (measurement.verdict(Offset(seconds, b), target, tolerance) for b in (bound, bound + more))
    assert unsure in (sure, "unverified")


@pytest.mark.parametrize(("seconds", "bound", "expected"), [
    (0.0, 0.01, False), (0.09, 0.01, False), (0.1, 0.0003, True), (-0.1, 0.0003, True), (0.0999, 0.02, True), (0.3, 0.05, True),
    (0.0, 0.2, False), (0.1, 0.05, False), (0.1, 0.049, True), (0.15, 0.1, False), (0.3, 0.19, True),
])
def test_a_clock_is_set_when_that_is_proved_to_help(seconds, bound, expected):
    assert measurement.is_to_be_set(Offset(seconds, bound), 0.0, 0.1) is expected
    assert measurement.is_to_be_set(Offset(seconds + 7, bound), 7.0, 0.1) is expected


@given(st.floats(-10, 10), st.floats(1e-6, 5), st.floats(0.001, 1))
def test_what_is_wrong_is_set_and_what_is_right_is_not(seconds, bound, tolerance):
    said = measurement.verdict(Offset(seconds, bound), 0.0, tolerance)
    found = measurement.is_to_be_set(Offset(seconds, bound), 0.0, tolerance)
    assert found or said != "out_of_sync"
    assert not found or said != "in_sync"


def test_as_dict_rounds_to_the_microsecond():
    assert Offset(-3.14159265358, 0.00012345678).as_dict() == {"offset": -3.141593, "bound": 0.000123}
