# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics: held against published tables and NumPy, and against machines that drift, thousands of times."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter

import numpy
import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report import statistics
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import (
    BETTER,
    NO_DIFFERENCE,
    WORSE,
    read_interval,
)
from hypothesis import given
from hypothesis import strategies as some

positive = some.floats(1e-6, 1e6)


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


# Hours of sleep that ten patients gained by two drugs, and the interval of their difference: Student, "The probable
# error of a mean", Biometrika 6 (1908), as every textbook has it (R's t.test(sleep)).
DEXTRO = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
LAEVO = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)


def test_the_mean_has_the_interval_that_student_published() -> None:
    found = statistics.mean([laevo - dextro for dextro, laevo in zip(DEXTRO, LAEVO)])
    assert found.value == pytest.approx(1.58)
    assert found.low == pytest.approx(0.7001142)
    assert found.high == pytest.approx(2.4598858)


@pytest.mark.parametrize(
    ("count", "level", "t"),
    [(2, 0.95, 12.706), (3, 0.95, 4.303), (5, 0.95, 2.776), (8, 0.95, 2.365), (5, 0.99, 4.604), (30, 0.9, 1.699)],
)
def test_intervals_of_few_runs_are_as_wide_as_the_tables_of_student_say(count: int, level: float, t: float) -> None:
    numbers = [float(number) for number in range(count)]
    found = statistics.mean(numbers, level)
    error = float(numpy.std(numbers, ddof=1)) / math.sqrt(count)
    assert found.high is not None
    assert (found.high - found.value) / error == pytest.approx(t, abs=0.0006)


def test_one_run_has_no_interval() -> None:
    found = statistics.geometric_mean([2.0])
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high, found.count) == (None, None, 1)


def test_the_ratio_of_pairs_is_students_interval_of_their_logarithms() -> None:
    before, after = ([math.exp(hours) for hours in drug] for drug in (DEXTRO, LAEVO))
    found = statistics.paired_ratio(before, after)
    assert found.value == pytest.approx(math.exp(1.58))
    assert found.low == pytest.approx(math.exp(0.7001142))
    assert found.high == pytest.approx(math.exp(2.4598858))


def test_pairs_have_two_sides() -> None:
    with pytest.raises(ValueError, match="2 before, 1 after"):
        statistics.paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936), 95 %.
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (3, 0.619, 8.767), (10, 4.795, 18.390), (50, 37.111, 65.919)],
)
def test_a_rate_has_the_exact_interval_of_a_poisson_count(count: int, low: float, high: float) -> None:
    found = statistics.rate(count, 3.2)
    assert found.value == count / 3.2
    assert found.low == pytest.approx(low / 3.2, rel=1e-3)
    assert found.high == pytest.approx(high / 3.2, rel=1e-4)


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    # Clopper and Pearson, Biometrika 26 (1934): 95 % limits of 5 and 1 in 10, and of 0 and 10 (1 - 0.025 ** 0.1).
    [(5, 5, 0.1871, 0.8129), (9, 1, 0.0025, 0.4450), (10, 0, 0.0, 0.3085), (0, 10, 0.6915, 1.0)],
)
def test_the_ratio_of_two_rates_is_the_exact_binomial_interval(
    before: int, after: int, low: float, high: float
) -> None:
    found = statistics.rate_ratio(before, 2.0, after, 4.0)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    # A share of the events as a ratio of rates, with twice the exposure after.
    assert found.low / (found.low + 0.5) == pytest.approx(low, abs=0.00006)
    if before:
        assert found.high / (found.high + 0.5) == pytest.approx(high, abs=0.00006)
    else:
        assert (found.high, found.value) == (math.inf, math.inf)


def test_a_controller_without_scipy_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics._special.cache_clear()
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(InferenceError, match=r"computed by SciPy, which the controller's Python .* does not have"):
        statistics.mean([1.0, 2.0])


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


@given(some.integers(1, 30), some.integers())
def test_every_two_rounds_are_abba_or_baab(pairs: int, seed: int) -> None:
    order = statistics.schedule(2 * pairs, seed)
    for first, second in zip(order[::2], order[1::2]):
        assert first == (second[1], second[0])


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
