# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimates with intervals. The unit of replication is the run.

Requests within a run share a queue, a batch and the machine's mood: a thousand of them are not a thousand
measurements. Every run gives one number, and intervals come from how those numbers differ.

The quantiles are SciPy's, which is on the controller only and imported for the first interval.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


@dataclass(frozen=True)
class Estimate:
    """A value between two bounds that hold it with probability ``level``; ``count`` is what it rests on.

    Bounds are None where there is too little for an interval, that is one run. ``high`` is infinite where nothing
    bounds it.
    """

    value: float
    low: float | None
    high: float | None
    level: float
    count: int


def values_needed(percent: float) -> float:
    """Return how many values a percentile takes at least, up to rounding."""
    return 100.0 * (1.0 - 1e-9) / min(percent, 100.0 - percent)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, interpolated between neighbours as NumPy does it.

    None where a single value more or less would decide it: p99 takes at least 100 values, p50 two.
    """
    if not values or len(values) < values_needed(percent):
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100.0
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def mean(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Return the mean of one number per run, with Student's interval."""
    middle = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(middle, None, None, level, len(values))
    half = _half_width(values, level)
    return Estimate(middle, middle - half, middle + half, level, len(values))


def geometric_mean(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Return the typical value of positive numbers, one per run, with Student's interval of their logarithms.

    Times and rates vary by factors, so a run twice as slow weighs as much as one twice as fast.
    """
    logs = mean([math.log(value) for value in values], level)
    low, high = (None if bound is None else math.exp(bound) for bound in (logs.low, logs.high))
    return Estimate(math.exp(logs.value), low, high, level, len(values))


def paired_ratio(before: Sequence[float], after: Sequence[float], level: float = 0.95) -> Estimate:
    """Return after/before out of pairs of runs that were made one after the other.

    What both runs of a pair share, such as a machine that grows slower by the hour, cancels.
    """
    if len(before) != len(after):
        raise ValueError(f"pairs have two sides: {len(before)} before, {len(after)} after")
    return geometric_mean([new / old for old, new in zip(before, after)], level)


def rate(count: int, exposure: float, level: float = 0.95) -> Estimate:
    """Return events per unit of exposure, with the exact interval of a Poisson count."""
    tail = (1.0 - level) / 2.0
    low = float(_special().gammaincinv(count, tail)) if count else 0.0
    high = float(_special().gammaincinv(count + 1, 1.0 - tail))
    return Estimate(count / exposure, low / exposure, high / exposure, level, count)


def rate_ratio(before: int, exposure: float, after: int, exposure_after: float, level: float = 0.95) -> Estimate | None:
    """Return the ratio of two rates, after over before, with its exact interval; None where nothing happened at all.

    Given the sum of both counts, the later one is binomial, and its share gives the ratio (Clopper and Pearson).
    """
    total = before + after
    if not total:
        return None
    tail = (1.0 - level) / 2.0
    low = float(_special().betaincinv(after, before + 1, tail)) if after else 0.0
    high = float(_special().betaincinv(after + 1, before, 1.0 - tail)) if before else 1.0
    scale = exposure / exposure_after

    def odds(share: float) -> float:
        return math.inf if share >= 1.0 else share / (1.0 - share) * scale

    return Estimate(odds(after / total), odds(low), odds(high), level, total)


def schedule(rounds: int, seed: int) -> list[tuple[str, str]]:
    """Return the order of the two sides in every round: ABBA, or BAAB, as the lot says, for every two rounds.

    What a machine drifts by steadily cancels within two rounds, and a lot that is drawn keeps the sides apart from
    whatever comes and goes by the clock. A fixed order would charge drift to the side that always goes second. Between
    the two rounds nothing has to be deployed.
    """
    lot = random.Random(seed)
    orders: list[tuple[str, str]] = []
    while len(orders) < rounds:
        first = lot.choice([("before", "after"), ("after", "before")])
        orders += [first, (first[1], first[0])]
    return orders[:rounds]


def _half_width(values: Sequence[float], level: float) -> float:
    quantile = float(_special().stdtrit(len(values) - 1, 1.0 - (1.0 - level) / 2.0))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


@lru_cache(maxsize=1)
def _special() -> Any:
    """SciPy's special functions, which start in a tenth of the time that its statistics take."""
    try:
        from scipy import special  # noqa: PLC0415  (who needs no interval needs no SciPy)
    except ImportError as error:
        raise InferenceError(
            f"Confidence intervals are computed by SciPy, which the controller's Python ({sys.executable}) does not "
            "have: install the package scipy there."
        ) from error
    return special
