# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dividing devices: the engine's own rounding, and fairness."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import (
    SHARE_UNITS,
    Claim,
    fill,
    highest_units,
    to_units,
    units_bytes,
    units_for,
)
from hypothesis import given
from hypothesis import strategies as st

TOTALS = st.integers(1 << 20, 1 << 43)


@given(st.integers(1, SHARE_UNITS), TOTALS)
def test_a_share_takes_what_the_engine_takes_for_it(units: int, total: int) -> None:
    # vllm/v1/worker/utils.py: math.ceil(total_memory * gpu_memory_utilization)
    assert units_bytes(units, total) == math.ceil(total * (units / SHARE_UNITS))


@pytest.mark.parametrize(("share", "units"), [(0.99, 9900), (0.9999, 9999), (1.0, 10000), (0.29, 2900), (0.5678, 5678)])
def test_a_share_of_four_decimals_survives_floating_point(share: float, units: int) -> None:
    assert to_units(share) == units
    assert units / SHARE_UNITS == share


@given(TOTALS, st.data())
def test_the_smallest_share_that_holds_is_the_smallest(total: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, total))
    units = units_for(size, total)
    assert units_bytes(units, total) >= size
    assert units == 0 or units_bytes(units - 1, total) < size


@given(TOTALS, st.lists(st.integers(1, SHARE_UNITS), min_size=1, max_size=6), st.data())
def test_shares_within_the_highest_sum_stay_within_the_capacity(
    total: int, shares: list[int], data: st.DataObject
) -> None:
    capacity = data.draw(st.integers(0, total))
    if sum(shares) <= highest_units(capacity, total, len(shares)):
        assert sum(units_bytes(units, total) for units in shares) <= capacity


def claim(units: int, weight: int, *devices: str, most: int = SHARE_UNITS) -> Claim:
    return Claim(units, most, Fraction(weight), devices or ("a",))


def test_what_is_left_goes_by_weight() -> None:
    assert fill({"x": claim(1000, 3), "y": claim(1000, 1)}, {"a": 9000}) == {"x": 6250, "y": 2750}


def test_what_one_has_no_use_for_goes_to_the_others() -> None:
    claims = {"x": claim(0, 3, most=3000), "y": claim(0, 1), "z": claim(0, 1)}
    assert fill(claims, {"a": 9000}) == {"x": 3000, "y": 3000, "z": 3000}


def test_the_tightest_device_stops_a_service_on_several() -> None:
    claims = {"pair": claim(0, 1, "a", "b"), "single": claim(0, 1, "b")}
    assert fill(claims, {"a": 2000, "b": 9000}) == {"pair": 2000, "single": 7000}


def test_nothing_grows_beyond_a_full_device() -> None:
    assert fill({"x": claim(5000, 1)}, {"a": 4000}) == {"x": 5000}


NAMES = st.sampled_from("uvwxyz")
CLAIMS = st.dictionaries(
    NAMES,
    st.builds(
        lambda units, weight, devices: claim(units, weight, *sorted(devices)),
        st.integers(0, 1000),
        st.integers(0, 1 << 40),
        st.sets(st.sampled_from("ab"), min_size=1),
    ),
    max_size=6,
)


@given(CLAIMS, st.integers(6000, SHARE_UNITS), st.integers(6000, SHARE_UNITS))
def test_no_device_is_overfilled_and_no_claim_shrinks(claims: dict[str, Claim], a: int, b: int) -> None:
    units = fill(claims, {"a": a, "b": b})
    for device, limit in (("a", a), ("b", b)):
        assert sum(units[name] for name, item in claims.items() if device in item.devices) <= limit
    assert all(units[name] >= item.units for name, item in claims.items())
    growing = [item for item in claims.values() if item.weight]
    if len(growing) == 1:  # alone, it fills its tightest device
        name = next(name for name, item in claims.items() if item.weight)
        rest = {d: sum(i.units for n, i in claims.items() if d in i.devices and n != name) for d in "ab"}
        assert units[name] == min({"a": a, "b": b}[device] - rest[device] for device in growing[0].devices)
