# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on what a real engine gave: the same service twice, and the same one slowed down.

The recording is described in tests/unit/recorded/README.md. Each comparison takes its ten rounds, and by lot
which of the two runs of the same service in a round is called before. Slowed down is either what was recorded so, or
the other run with all of its times made 15 % longer, to the digit.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import RunResult, read_result
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import (
    JUDGED,
    NO_DIFFERENCE,
    WORSE,
    JudgementSettings,
    compare,
)

RECORDED = Path(__file__).parents[3] / "recorded" / "rounds-medium.json.gz"
COMPARISONS = 20
FEW = JudgementSettings(shown=())


@lru_cache(maxsize=1)
def rounds() -> dict[int, dict[str, RunResult]]:
    """The runs of each round: before, after, slowed."""
    found: dict[int, dict[str, RunResult]] = {}
    for document in json.loads(gzip.decompress(RECORDED.read_bytes())):
        run = read_result(document)
        assert run.round is not None
        found.setdefault(run.round, {})[run.environment.profile or run.side or ""] = run
    return found


def as_side(run: RunResult, side: str) -> RunResult:
    """The run as one of a comparison of a profile with another."""
    return replace(run, side=side, environment=replace(run.environment, profile=None))


def stretched(run: RunResult, factor: float) -> RunResult:
    """The run as it would have been, had everything taken so many times as long."""
    (service,) = run.services
    times = ("start", "ttft", "inter_token", "longest_gap", "end_to_end")
    requests = tuple(
        replace(request, **{f"{name}_seconds": factor * getattr(request, f"{name}_seconds") for name in times})
        for request in service.requests
    )
    longer = replace(service, duration_seconds=factor * service.duration_seconds, requests=requests)
    return replace(run, services=(longer,))


def draws(after: str) -> Iterator[list[RunResult]]:
    """Comparisons of the service as it is with itself, or with what was slowed down in this way."""
    for number in range(COMPARISONS):
        chance = random.Random(number)
        made = []
        for runs in rounds().values():
            same = [runs["before"], runs["after"]]
            chance.shuffle(same)
            others = {"same": same[1], "slowed": runs["slowed"], "stretched": stretched(same[1], 1.15)}
            made += [as_side(same[0], "before"), as_side(others[after], "after")]
        yield made


def verdicts(runs: list[RunResult]) -> dict[str, str | None]:
    return {row.metric: row.verdict for row in compare(runs, FEW) if row.verdict}


def test_the_recording_is_whole() -> None:
    assert len(rounds()) == 10
    assert all(sorted(runs) == ["after", "before", "slowed"] for runs in rounds().values())
    for runs in rounds().values():
        for run in runs.values():
            (service,) = run.services
            assert {request.status for request in service.requests} == {"completed"}
            assert not service.load or not service.load.bottleneck


def test_the_same_service_twice_shows_no_difference_in_19_of_20_comparisons() -> None:
    alike = [set(verdicts(runs).values()) == {NO_DIFFERENCE} for runs in draws("same")]
    assert sum(alike) >= 19, alike


@pytest.mark.parametrize("metric", JUDGED)
@pytest.mark.parametrize("how", ["slowed", "stretched"])
def test_a_slower_service_is_worse(how: str, metric: str) -> None:
    worse = [verdicts(runs)[metric] == WORSE for runs in draws(how)]
    assert sum(worse) >= 19, worse
