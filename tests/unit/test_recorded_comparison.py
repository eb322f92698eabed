# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on runs of a real engine: one and the same service twice, and one slowed by 15 % against itself.

tests/unit/recorded/README.md says how they were made. A comparison takes eight of the rounds, in their order, and no
run twice. Twenty comparisons out of so few rounds have rounds in common: they are twenty draws, not twenty evenings.
Those that follow one another without a round in common are fewer, and judged as well.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._result import Result, read_result
from ansible_collections.llmops.inference.plugins.plugin_utils._comparison import (
    NO_DIFFERENCE,
    WORSE,
    Row,
    Settings,
    compare,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._measures import metric

FILE = Path(__file__).parent / "recorded" / "rounds-of-three-runs.json.gz"
FEW = Settings(shown=())
ROUNDS = 8
LATENCY, SPEED = FEW.judged


@lru_cache(maxsize=1)
def rounds() -> list[dict[str, Result]]:
    """Every round: the runs ``before`` and ``after`` of the service as it is, and the run ``slowed``."""
    found: dict[int, dict[str, Result]] = {}
    for place, value in enumerate(json.loads(gzip.decompress(FILE.read_bytes()))):
        run = read_result(value, f"run {place}")
        found.setdefault(run.round or 0, {})[run.environment.profile or run.side or ""] = run
    return [found[number] for number in sorted(found)]


def sided(pairs: Sequence[tuple[Result, Result]]) -> list[Result]:
    """The runs of some pairs as a comparison takes them: the first of each is before, the second after."""
    return [
        replace(run, side=side, round=number)
        for number, pair in enumerate(pairs)
        for side, run in zip(("before", "after"), pair)
    ]


def drawn(seed: int) -> tuple[list[dict[str, Result]], random.Random]:
    """Eight of the rounds in their order, and the lot they were drawn by."""
    lot = random.Random(seed)
    return [rounds()[place] for place in sorted(lot.sample(range(len(rounds())), ROUNDS))], lot


def with_itself(found: Sequence[dict[str, Result]], lot: random.Random) -> list[Row]:
    """Compare the service with itself; which of the two runs is called before is drawn anew."""
    pairs = [(one["before"], one["after"]) if lot.random() < 0.5 else (one["after"], one["before"]) for one in found]
    return compare(sided(pairs), FEW)


def with_the_slowed(found: Sequence[dict[str, Result]], lot: random.Random) -> list[Row]:
    """Compare the service with itself slowed, by either of its two runs."""
    return compare(sided([(one[lot.choice(("before", "after"))], one["slowed"]) for one in found]), FEW)


def one_after_the_other() -> list[list[dict[str, Result]]]:
    """The rounds in comparisons that have none in common."""
    return [rounds()[start : start + ROUNDS] for start in range(0, len(rounds()) - ROUNDS + 1, ROUNDS)]


def test_the_recording_is_whole_and_of_a_real_engine() -> None:
    assert len(rounds()) >= 2 * ROUNDS
    for found in rounds():
        assert set(found) == {"before", "after", "slowed"}
        for run in found.values():
            (service,) = run.services
            assert {request.status for request in service.requests} == {"completed"}
            assert len(service.requests) == 40
            assert service.load is not None
            assert service.load.driver == "vllm bench serve"
            assert (run.incidents, service.restarts) == ((), 0)
    firsts = [min(found, key=lambda name: found[name].started) for found in rounds()]
    assert set(firsts) == {"before", "after", "slowed"}, "who goes first was drawn by lot"


def test_of_twenty_comparisons_of_the_service_with_itself_at_least_nineteen_show_no_difference() -> None:
    found = [{row.verdict for row in with_itself(*drawn(seed))} for seed in range(20)]
    assert found.count({NO_DIFFERENCE}) >= 19


def test_comparisons_of_the_service_with_itself_one_after_the_other_show_no_difference() -> None:
    for some in one_after_the_other():
        rows = compare(sided([(one["before"], one["after"]) for one in some]), FEW)
        assert {row.verdict for row in rows} == {NO_DIFFERENCE}


@pytest.mark.parametrize("name", [LATENCY, SPEED])
def test_of_twenty_comparisons_with_the_slowed_service_at_least_nineteen_say_worse(name: str) -> None:
    found = [next(row.verdict for row in with_the_slowed(*drawn(seed)) if row.metric == name) for seed in range(20)]
    assert found.count(WORSE) >= 19
    assert set(found) <= {WORSE, NO_DIFFERENCE}


def test_the_interval_of_the_slowed_service_holds_the_15_percent() -> None:
    rows = compare(sided([(one["before"], one["slowed"]) for one in rounds()]), FEW)
    ratio = next(row.ratio for row in rows if row.metric == LATENCY)
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 1.15 < ratio.high


def test_runs_that_are_neighbours_are_more_alike_than_runs_that_are_not() -> None:
    """Why pairs are made of neighbours: the machine drifted while this was recorded."""

    def log(run: Result) -> float:
        value = metric(LATENCY).read(run, run.services[0])
        assert value is not None
        return math.log(value)

    same = [log(one["before"]) - log(one["after"]) for one in rounds()]
    apart = len(rounds()) // 2
    far = [log(one["before"]) - log(other["after"]) for one, other in zip(rounds(), rounds()[apart:])]
    assert statistics.pstdev(same) < statistics.pstdev(far)
