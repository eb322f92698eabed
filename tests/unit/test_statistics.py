# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics: held against SciPy and NumPy, and against machines that drift, thousands of times."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy
import pytest
from ansible_collections.llmops.inference.plugins.plugin_utils import _distributions as distributions
from ansible_collections.llmops.inference.plugins.plugin_utils import _statistics as statistics
from ansible_collections.llmops.inference.plugins.plugin_utils._comparison import (
    BETTER,
    NO_DIFFERENCE,
    WORSE,
    read_interval,
)
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

PROBABILITIES = (1e-6, 0.001, 0.0083, 0.025, 0.3, 0.5, 0.7, 0.975, 0.9999)
positive = some.floats(1e-6, 1e6)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 11, 29, 200])
def test_quantiles_of_students_distribution_are_scipys(freedom: int) -> None:
    for probability in PROBABILITIES:
        expected = stats.t.ppf(probability, freedom)
        assert distributions.student_t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("a", [1, 2, 5, 40, 1000, 100000])
def test_quantiles_of_the_beta_distribution_are_scipys(a: int) -> None:
    for b in (1, 3, 50, 20000):
        for probability in PROBABILITIES:
            expected = stats.beta.ppf(probability, a, b)
            assert distributions.beta_quantile(probability, a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [1, 2, 5, 40, 1000, 100000])
def test_quantiles_of_the_gamma_distribution_are_scipys(shape: int) -> None:
    for probability in PROBABILITIES:
        expected = stats.gamma.ppf(probability, shape)
        assert distributions.gamma_quantile(probability, shape) == pytest.approx(expected, rel=1e-9)


@given(some.lists(positive, min_size=100, max_size=200), some.sampled_from([50.0, 90.0, 95.0, 99.0]))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    assert statistics.percentile(values, percent) == pytest.approx(float(numpy.percentile(values, percent)), rel=1e-12)


def test_a_percentile_that_a_single_value_would_decide_is_none() -> None:
    assert statistics.percentile([1.0] * 99, 99) is None
    assert statistics.percentile([1.0] * 100, 99) == 1.0
    assert statistics.percentile([1.0] * 19, 95) is None
    assert statistics.percentile([1.0] * 20, 95) == 1.0
    assert statistics.percentile([1.0] * 1000, 99.9) == 1.0
    assert statistics.percentile([1.0], 50) is None
    assert statistics.percentile([], 50) is None


@given(some.lists(positive, min_size=2, max_size=30), some.sampled_from([0.9, 0.95, 0.999]))
def test_the_mean_of_runs_has_scipys_interval(values: list[float], level: float) -> None:
    found = statistics.mean(values, level)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    if numpy.std(values) > 1e-9 * numpy.mean(values):
        assert found.low == pytest.approx(expected.low, rel=1e-6, abs=1e-9)
        assert found.high == pytest.approx(expected.high, rel=1e-6, abs=1e-9)


def test_one_run_has_no_interval() -> None:
    found = statistics.geometric_mean([2.0])
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high, found.count) == (None, None, 1)


@given(some.lists(some.tuples(positive, positive), min_size=3, max_size=20))
def test_the_ratio_of_pairs_is_scipys_paired_test_of_logarithms(pairs: list[tuple[float, float]]) -> None:
    before, after = zip(*pairs)
    found = statistics.paired_ratio(before, after, 0.95)
    logs = numpy.log(after) - numpy.log(before)
    if numpy.std(logs) < 1e-9:
        return
    expected = stats.ttest_rel(numpy.log(after), numpy.log(before)).confidence_interval(0.95)
    assert found.low is not None
    assert found.high is not None
    assert math.log(found.low) == pytest.approx(expected.low, rel=1e-6, abs=1e-9)
    assert math.log(found.high) == pytest.approx(expected.high, rel=1e-6, abs=1e-9)


def test_pairs_have_two_sides() -> None:
    with pytest.raises(ValueError, match="2 before, 1 after"):
        statistics.paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize("count", [0, 1, 3, 17, 400])
def test_a_rate_has_the_exact_interval_of_a_poisson_count(count: int) -> None:
    found = statistics.rate(count, 3.2, 0.95)
    assert found.value == count / 3.2
    # The interval that SciPy's tail probabilities define, whatever formula gives it.
    assert found.low is not None
    assert found.high is not None
    assert stats.poisson.cdf(count, found.high * 3.2) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert stats.poisson.sf(count - 1, found.low * 3.2) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.low == 0


@pytest.mark.parametrize(("before", "after"), [(0, 4), (4, 0), (1, 1), (12, 3), (200, 260)])
def test_the_ratio_of_two_rates_is_scipys_binomial_interval(before: int, after: int) -> None:
    found = statistics.rate_ratio(before, 2.0, after, 4.0, 0.95)
    assert found is not None
    exact = stats.binomtest(after, before + after).proportion_ci(0.95, method="exact")
    assert found.low == pytest.approx(exact.low / (1 - exact.low) / 2, rel=1e-6)
    if before:
        assert found.high == pytest.approx(exact.high / (1 - exact.high) / 2, rel=1e-6)
    else:
        assert found.high == math.inf
        assert found.value == math.inf


def test_where_nothing_happened_there_is_no_ratio() -> None:
    assert statistics.rate_ratio(0, 1.0, 0, 1.0) is None


@given(some.integers(1, 60), some.integers())
def test_each_side_goes_first_equally_often_and_the_seed_gives_the_order(rounds: int, seed: int) -> None:
    order = statistics.schedule(rounds, seed)
    assert len(order) == rounds
    assert all(set(pair) == {"before", "after"} for pair in order)
    first = Counter(pair[0] for pair in order)
    assert abs(first["before"] - first["after"]) <= 1
    assert order == statistics.schedule(rounds, seed)


@pytest.mark.parametrize(
    ("low", "high", "lower", "higher"),
    [
        (0.80, 0.90, BETTER, WORSE),
        (1.10, 1.20, WORSE, BETTER),
        (0.95, 1.05, NO_DIFFERENCE, NO_DIFFERENCE),
        (0.90, 0.99, NO_DIFFERENCE, NO_DIFFERENCE),
        (1.01, 1.50, NO_DIFFERENCE, NO_DIFFERENCE),
        (None, None, NO_DIFFERENCE, NO_DIFFERENCE),
    ],
)
def test_a_verdict_needs_the_whole_interval_beyond_what_is_relevant(
    low: float | None, high: float | None, lower: str, higher: str
) -> None:
    ratio = statistics.Estimate(1.0, low, high, 0.95, 8)
    assert read_interval(ratio, "lower", 0.02) == lower
    assert read_interval(ratio, "higher", 0.02) == higher


# What a verdict is worth on a machine that drifts


def times(
    order: list[tuple[int, str]], chance: random.Random, effect: float, memory: float, slope: float
) -> dict[str, dict[int, float]]:
    """Response times in this order: noise of 2 %, a drift of 5 % with a memory of its own, and a steady slope."""
    found: dict[str, dict[int, float]] = {"before": {}, "after": {}}
    drift = chance.gauss(0, 0.05)
    for place, (number, side) in enumerate(order):
        drift = memory * drift + chance.gauss(0, 0.05 * math.sqrt(1 - memory**2))
        log = drift + slope * place + chance.gauss(0, 0.02) + (math.log(effect) if side == "after" else 0)
        found[side][number] = math.exp(log)
    return found


def verdicts(
    trials: int, effect: float, memory: float, slope: float, *, level: float, in_turns: bool = True
) -> Counter[str]:
    """The share of each verdict over simulated comparisons of eight rounds."""
    chance, found = random.Random(20261123), Counter[str]()
    for trial in range(trials):
        rounds = enumerate(statistics.schedule(8, trial))
        order = [(number, side) for number, pair in rounds for side in pair]
        if not in_turns:
            order.sort(key=lambda one: one[1], reverse=True)
        sides = times(order, chance, effect, memory, slope)
        pairs = [(sides["before"][number], sides["after"][number]) for number in range(8)]
        ratio = statistics.paired_ratio([one for one, _two in pairs], [two for _one, two in pairs], level)
        found[read_interval(ratio, "lower", 0.0)] += 1
    return Counter({verdict: count / trials for verdict, count in found.items()})


DRIFTS = [(0.0, 0.0), (0.5, 0.0), (0.8, 0.01), (0.95, 0.03)]


@pytest.mark.parametrize(("memory", "slope"), DRIFTS)
def test_without_a_difference_one_in_twenty_is_called_one_whatever_the_drift(memory: float, slope: float) -> None:
    # 0.05 is asked for; 600 trials tell it to within 0.027 (three standard errors).
    assert 1 - verdicts(600, 1.0, memory, slope, level=0.95)[NO_DIFFERENCE] < 0.05 + 0.027


@pytest.mark.parametrize(("memory", "slope"), DRIFTS[2:])
def test_a_service_slowed_by_15_percent_is_called_worse_among_nine_rows(memory: float, slope: float) -> None:
    found = verdicts(300, 1.15, memory, slope, level=1 - 0.05 / 9)
    assert found[WORSE] > 0.9
    assert found[BETTER] == 0


def test_measured_one_side_after_the_other_the_same_drift_makes_up_differences() -> None:
    assert 1 - verdicts(300, 1.0, 0.8, 0.01, level=0.95, in_turns=False)[NO_DIFFERENCE] > 0.5
