# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Today's planner on what the real engine was seen to do: it may not drift from the record without failing here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.bench.against_engine.combinations import (
    COLD,
    GIB,
    SAMPLE,
    calibrating_for,
    combinations,
)
from ansible_collections.llmops.inference.tests.bench.against_engine.replay import (
    GATE_1,
    GATE_2,
    STARTS,
    Tokens,
    Trials,
)
from ansible_collections.llmops.inference.tests.bench.against_engine.report import (
    compared_with_cold,
    complaints,
    errors,
)
from ansible_collections.llmops.inference.tests.bench.plan_against_engine import PAGE, SECTIONS, current, merged


@pytest.fixture(name="trials", scope="module")
def _trials() -> Trials:
    return Trials.read()


def changed(trials: Trials, name: str, **changes: Any) -> Trials:
    """Return the trials as if the last start of a row had gone otherwise."""
    rows = json.loads(json.dumps([trials.machine, *trials.calibrating, *trials.rows, *trials.cold]))
    for row in rows:
        if row.get("name") == name:
            row["starts"][-1].update(changes)
    return Trials([json.dumps(row) for row in rows])


def first(trials: Trials, verdict: str) -> str:
    return str(next(row["name"] for row in trials.rows if row["starts"][-1]["verdict"] == verdict))


# What was recorded


def test_the_plan_meets_its_targets_on_the_recorded_trials(trials: Trials) -> None:
    assert not complaints(trials)


def test_there_are_enough_of_every_kind(trials: Trials) -> None:
    assert len(trials.rows) >= 60
    assert {len(row["layout"]) for row in trials.rows} == {1, 2, 3}
    assert {row["backwards"] for row in trials.rows} == {row["calibrated"] for row in trials.rows} == {False, True}
    verdicts = [row["starts"][-1]["verdict"] for row in trials.rows]
    assert all(verdicts.count(verdict) >= 15 for verdict in (STARTS, GATE_1, GATE_2))


def test_every_combination_of_today_is_recorded(trials: Trials) -> None:
    wanted = {
        item.name: [dict(service) for service in item.layout] for item in combinations(trials.machine["total_bytes"])
    }
    assert {row["name"]: row["layout"] for row in trials.rows} == wanted
    assert {row["name"] for row, _cold in compared_with_cold(trials)} == set(COLD)


def test_the_page_says_what_the_planner_says_of_the_trials(trials: Trials) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text, trials) == text, "run make bench-plan, or its part tests/bench/plan_against_engine.py --report"
    assert all(text.count(f"<!-- generated: {name} -->") == 1 for name in SECTIONS)


# That it would be noticed


def test_an_engine_that_does_not_start_where_the_plan_fits_is_a_complaint(trials: Trials) -> None:
    name = first(trials, STARTS)
    assert any(name in line for line in complaints(changed(trials, name, verdict=GATE_2, kv_cache_tokens=None)))


def test_another_gate_than_the_one_that_the_plan_names_is_a_complaint(trials: Trials) -> None:
    name = first(trials, GATE_1)
    assert any(name in line for line in complaints(changed(trials, name, verdict=GATE_2)))


def test_refusing_many_that_start_is_a_complaint(trials: Trials) -> None:
    for row in [row for row in trials.rows if row["starts"][-1]["verdict"] == GATE_1]:
        trials = changed(trials, row["name"], verdict=STARTS)
    assert any("are refused" in line for line in complaints(trials))


def test_tokens_that_are_not_there_are_a_complaint(trials: Trials) -> None:
    row = next(row for row in trials.rows if row["starts"][-1]["share_bytes"] > 3 * GIB and row["starts"][-1]["usage"])
    fewer = int(row["starts"][-1]["kv_cache_tokens"] * 0.97)
    assert any(
        "calibrated: KV tokens" in line for line in complaints(changed(trials, row["name"], kv_cache_tokens=fewer))
    )


def test_a_share_that_is_no_longer_planned_is_a_complaint(trials: Trials) -> None:
    name = next(row["name"] for row in trials.rows if row["axis"] == "fit" and row["starts"][-1]["verdict"] == STARTS)
    assert any("out of date" in line for line in complaints(changed(trials, name, max_model_len=128)))


# How it is counted


def test_errors_are_relative_to_what_the_engine_had() -> None:
    off = errors([Tokens("a", 110, 100, GIB), Tokens("b", 95, 100, GIB)])
    assert (off.count, round(off.mean, 4)) == (2, 0.075)
    assert (round(off.too_much, 4), round(off.too_little, 4), round(off.worst, 4)) == (0.1, 0.05, 0.1)


def test_a_combination_that_was_tried_again_takes_the_place_of_the_first() -> None:
    before = ['{"engine_version": "1"}\n', '{"name": "a", "axis": "x"}\n', '{"name": "b", "axis": "x"}\n']
    again = ['{"engine_version": "1"}\n', '{"name": "a", "axis": "y"}\n', '{"name": "a", "axis": "x", "cold": true}\n']
    assert merged(before, again) == [before[0], again[1], before[2], again[2]]


# The grid


def test_names_are_those_of_combinations_and_the_sample_needs_few_calibrating_starts() -> None:
    every = {item.name: item for item in combinations(24 * GIB)}
    assert set(SAMPLE) | set(COLD) <= set(every)
    needed = [item.name for item in calibrating_for(every[name] for name in SAMPLE)]
    assert needed == ["calibrate-mini-131072"]


def test_the_grid_is_the_same_every_time() -> None:
    assert combinations(24 * GIB) == combinations(24 * GIB)
