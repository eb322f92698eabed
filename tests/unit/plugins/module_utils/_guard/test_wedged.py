# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wedged or merely busy: the rule by which an engine is restarted, look by look."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.module_utils._engine.metrics import Metrics
from ansible_collections.llmops.inference.plugins.module_utils._guard.wedged import Probe, Watched, judge_engine
from ansible_collections.llmops.inference.plugins.module_utils._service.watchdog import Watchdog
from hypothesis import given
from hypothesis import strategies as st

WATCHDOG = Watchdog(interval=30, deadline=30, misses=3, stall=600)
MINUTE = 60.0


def metrics(progress: float, requests: float = 0) -> Metrics:
    return Metrics(requests, 0, (progress, 0.0, 0.0))


def looks(*seen: Probe, watchdog: Watchdog = WATCHDOG) -> list[bool]:
    """After each look of one start of an engine, whether it is wedged."""
    watched, verdicts = Watched("first"), []
    for look in seen:
        watched, wedged = judge_engine(watched, look, watchdog)
        verdicts.append(wedged)
    return verdicts


def still(minute: float, requests: float = 0, progress: float = 5) -> Probe:
    """A look without a token at an engine that does nothing."""
    return Probe(minute * MINUTE, False, metrics(progress, requests), metrics(progress, requests))


def token(minute: float) -> Probe:
    return Probe(minute * MINUTE, True, metrics(5), metrics(6))


def test_an_idle_engine_that_gives_no_token_is_wedged_after_so_many_looks() -> None:
    assert looks(still(1), still(2), still(3)) == [False, False, True]


def test_a_token_starts_the_count_anew() -> None:
    assert looks(still(1), still(2), token(3), still(4, progress=6), still(5, progress=6)) == [False] * 5


def test_an_engine_that_generates_for_others_is_busy_however_long_it_has_no_token_for_us() -> None:
    busy = [Probe(n * MINUTE, False, metrics(n, 256), metrics(n + 0.5, 256)) for n in range(1, 200)]
    assert not any(looks(*busy))


def test_progress_between_two_looks_counts_as_much_as_progress_during_one() -> None:
    assert not any(looks(*(still(n, requests=1, progress=n) for n in range(1, 100))))


def test_a_piece_of_a_long_prompt_is_progress_although_no_token_is_counted_yet() -> None:
    prefill = [
        Probe(n * MINUTE, False, Metrics(1, 0, (0, 0, n / 100)), Metrics(1, 0, (0, 0, n / 100))) for n in range(1, 60)
    ]
    assert not any(looks(*prefill))


def test_a_request_under_way_excuses_an_engine_that_stands_still_until_the_stall_is_over() -> None:
    verdicts = looks(*(still(n, requests=1) for n in range(1, 13)))
    assert verdicts == [False] * 10 + [True] * 2, "600 s after the first look"


def test_requests_that_are_gone_excuse_nothing() -> None:
    assert looks(still(1, requests=4), still(2, requests=4), still(3)) == [False, False, True]


def test_an_engine_that_does_not_even_tell_its_metrics_is_wedged_after_so_many_looks() -> None:
    silent = [Probe(n * MINUTE, False, None, None) for n in range(1, 4)]
    assert looks(*silent) == [False, False, True]


def test_metrics_that_come_back_after_a_gap_are_compared_with_those_before_it() -> None:
    gap = Probe(2 * MINUTE, False, None, None)
    assert looks(still(1), gap, still(3)) == [False, False, True]
    assert looks(still(1), gap, still(3, progress=9)) == [False, False, False]


def test_another_start_of_the_engine_has_another_count() -> None:
    watched, _wedged = judge_engine(Watched("first"), still(1), WATCHDOG)
    assert watched.misses == 1
    assert judge_engine(Watched("second"), still(2), WATCHDOG)[0].misses == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=40))
def test_whatever_it_sees_it_never_gives_up_on_fewer_misses_than_it_was_told(
    seen: list[tuple[bool, int, int, bool]],
) -> None:
    watched = Watched("first")
    quiet = 0
    for minute, (came, progress, requests, answers) in enumerate(seen):
        reading = metrics(progress, requests) if answers else None
        before = watched.progress
        watched, wedged = judge_engine(watched, Probe(minute * MINUTE, came, reading, reading), WATCHDOG)
        moved = came or (reading is not None and before is not None and before != reading.progress)
        quiet = 0 if moved else quiet + 1
        assert not wedged or quiet >= WATCHDOG.misses
