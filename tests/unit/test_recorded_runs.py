# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics on runs that a real engine gave: the same service twice, and the same service really slowed down."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.llmops.inference.plugins.module_utils._bench_file import read_bench_file
from ansible_collections.llmops.inference.plugins.module_utils._result import Result, read_result
from ansible_collections.llmops.inference.plugins.plugin_utils._comparison import Settings, compare
from ansible_collections.llmops.inference.tests.unit.test_result import schema

RECORDED = Path(__file__).parent / "recorded"
FEW = Settings(shown=())


def recorded(name: str) -> Any:
    with gzip.open(RECORDED / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def runs(name: str) -> list[Result]:
    """The runs in the order in which they were made, two to a round."""
    return [read_result(run) for run in recorded(name)]


def sides_by_lot(found: Sequence[Result], seed: int) -> list[Result]:
    """The runs, with the sides of each round given to its two runs by lot."""
    chance = random.Random(seed)
    made = []
    for place in range(0, len(found), 2):
        sides = chance.sample(["before", "after"], 2)
        made += [replace(run, side=side) for run, side in zip(found[place : place + 2], sides)]
    return made


@pytest.mark.parametrize("name", ["runs-same", "runs-slowed"])
def test_recorded_runs_are_as_their_published_description_says(name: str) -> None:
    validator = jsonschema.Draft202012Validator(schema("result"))
    for run in recorded(name):
        validator.validate(run)
    rounds = [run["round"] for run in recorded(name)]
    assert rounds[::2] == rounds[1::2], "two runs of a round follow one another"


def test_the_same_service_twice_shows_no_difference_in_19_of_20_comparisons() -> None:
    found = runs("runs-same")
    assert len(found) == 20
    trials = [{row.verdict for row in compare(sides_by_lot(found, seed), FEW) if row.verdict} for seed in range(20)]
    assert trials.count({"no difference shown"}) >= 19


def test_an_engine_slowed_by_15_percent_is_worse_and_that_is_about_what_was_measured() -> None:
    rows = {row.metric: row for row in compare(runs("runs-slowed"), FEW)}
    latency, speed = rows["end_to_end_p50_seconds"], rows["output_tokens_per_second"]
    assert (latency.verdict, speed.verdict) == ("worse", "worse")
    assert latency.ratio is not None
    assert latency.ratio.low is not None
    assert latency.ratio.high is not None
    assert latency.ratio.low < 1.15 < latency.ratio.high * 1.05


def test_the_file_of_a_real_engine_is_read_whole() -> None:
    requests, load, duration = read_bench_file(recorded("vllm-bench-serve-0.32.0-engine"))
    assert [one.status for one in requests] == ["completed"] * 20
    assert {one.tokens_out for one in requests} == {64}
    assert (load.mode, load.concurrency, load.bottleneck) == ("closed", 4, None)
    assert 0 < duration < 60
    for one in requests:
        assert one.ttft_seconds is not None
        assert one.inter_token_seconds is not None
        assert one.end_to_end_seconds == pytest.approx(one.ttft_seconds + 63 * one.inter_token_seconds)
