# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Successive halving on made-up machines: what it tries, when it stops, whom it picks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.halving import (
    START,
    Rung,
    Trial,
    next_trial,
    rungs,
    score,
    winner,
)
from hypothesis import given
from hypothesis import strategies as some

sizes = some.integers(1, 20)
keeps = some.sampled_from([0.25, 1 / 3, 0.5, 0.75])
# What a candidate scores; None: it does not start.
machines = some.lists(some.one_of(some.none(), some.floats(0, 100)), min_size=1, max_size=16)
costs = some.tuples(some.floats(0, 60), some.floats(0, 60))


def search(
    scores: list[float | None],
    *,
    keep: float = 0.5,
    seed: int = 0,
    budget: float = 1e9,
    cost: Callable[[int], tuple[float, float]] = lambda candidate: (30.0, 10.0),
) -> tuple[list[Trial], float]:
    """Try until there is nothing next; returns the trials and the time that they took."""
    ladder, trials, clock = rungs(len(scores), keep, 1), list[Trial](), 0.0
    while (after := next_trial(ladder, trials, seed, budget - clock)) is not None:
        value = scores[after.candidate]
        deploy, measure = cost(after.candidate)
        found = () if value is None else (value,) * after.repeats
        spent = measure * len(found)
        trials.append(Trial(after.candidate, after.rung, found, deploy, spent))
        clock += deploy + spent
    return trials, clock


def best(scores: list[float | None], trials: list[Trial], keep: float = 0.5) -> int | None:
    return winner(rungs(len(scores), keep, 1), trials)


def test_half_of_the_candidates_go_on_and_are_measured_twice_as_often() -> None:
    assert rungs(8, 0.5, 1) == [Rung(8, 1), Rung(4, 2), Rung(2, 4)]
    assert rungs(9, 1 / 3, 2) == [Rung(9, 2), Rung(3, 6), Rung(2, 18)]
    assert rungs(2, 0.5, 3) == [Rung(2, 3)]
    assert rungs(1, 0.5, 3) == [Rung(1, 3)]


@given(sizes, keeps, some.integers(1, 5))
def test_rungs_shrink_to_two_and_measure_more(size: int, keep: float, repeats: int) -> None:
    found = rungs(size, keep, repeats)
    assert found[-1].size == min(size, 2)
    for one, after in zip(found, found[1:]):
        assert after.size < one.size
        assert after.repeats > one.repeats


@given(machines, keeps, some.integers())
def test_with_time_enough_the_best_is_found_and_the_same_seed_does_the_same(
    scores: list[float | None], keep: float, seed: int
) -> None:
    trials, _clock = search(scores, keep=keep, seed=seed)
    starting = [value for value in scores if value is not None]
    found = best(scores, trials, keep)
    if starting:
        assert found is not None
        assert scores[found] == max(starting)
    else:
        assert found is None
    assert search(scores, keep=keep, seed=seed)[0] == trials


@given(machines, keeps, some.floats(1, 2000), costs)
def test_the_budget_holds_but_for_the_first_trial_and_the_way_back_is_in_it(
    scores: list[float | None], keep: float, budget: float, cost: tuple[float, float]
) -> None:
    trials, clock = search(scores, keep=keep, budget=budget, cost=lambda candidate: cost)
    if len(trials) > 1:
        assert clock + cost[0] <= budget + cost[1] * 1e-9 + 1e-6 or not any(trial.scores for trial in trials[:-1])


@given(machines, keeps)
def test_what_did_not_start_is_not_tried_again_and_never_wins(scores: list[float | None], keep: float) -> None:
    trials, _clock = search(scores, keep=keep)
    tried = Counter(trial.candidate for trial in trials)
    for candidate, value in enumerate(scores):
        assert tried[candidate] == 1 if value is None else tried[candidate] >= 1
    found = best(scores, trials, keep)
    assert found is None or scores[found] is not None


@given(machines, some.floats(1, 2000))
def test_a_search_that_is_cut_off_picks_among_those_that_were_measured_alike(
    scores: list[float | None], budget: float
) -> None:
    trials, _clock = search(scores, budget=budget)
    found = best(scores, trials)
    if found is not None:
        assert score(trials, found) is not None
        rung = max(trial.rung for trial in trials if trial.candidate == found)
        assert all(trial.rung <= rung + 1 for trial in trials)


def test_the_start_stays_to_the_end_however_bad_it_is() -> None:
    trials, _clock = search([1.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0])
    assert [trial.rung for trial in trials if trial.candidate == START] == [0, 1, 2]
    assert best([1.0] * 8, trials) == 1


def test_of_equals_the_start_wins() -> None:
    scores: list[float | None] = [5.0, 5.0, 5.0]
    assert best(scores, search(scores)[0]) == START


def test_the_first_trial_is_made_however_short_the_time() -> None:
    assert len(search([1.0, 2.0], budget=0.0)[0]) == 1


@pytest.mark.parametrize("seconds_left", [99.0, 101.0])
def test_a_trial_is_begun_where_the_slowest_seen_would_still_fit(seconds_left: float) -> None:
    seen = [Trial(0, 0, (1.0,), 30.0, 20.0), Trial(1, 0, (1.0,), 40.0, 10.0)]
    found = next_trial([Rung(3, 1)], seen, 0, seconds_left)
    assert (found is not None) == (seconds_left > 2 * 40 + 20)
