# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing and searching, beyond the statistics: what does not start, and what a search tells."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.llmops.inference.plugins.filter.report_table import report_table
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import RunResult
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.not_started import bytes_in, not_started
from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import read_results
from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import (
    goodput_score,
    most_trials,
    read_within,
    review_file,
    tuning_lines,
    tuning_report,
)
from ansible_collections.llmops.inference.tests.unit import measured
from ansible_collections.llmops.inference.tests.unit.scene import GIB, box, planned, reference_layout

HOST: dict[str, Any] = {"scenarios": ["standard"], "started": "2026-11-23T23:00:00Z", "host": "generated"}


def refused_by_the_plan(**keys: Any) -> dict[str, Any]:
    """What the deployment of a layout fails with that the plan refuses."""
    layout = reference_layout(max_model_len=40960, **keys)
    made = planned(layout, box(80, 80, 80), engine_version="0.32.0", on_overcommit="refuse", gpu_memory_budget=0.9999)
    assert not made.fits
    return {"failed": True, "msg": "The layout does not fit this host", "plan": made.to_dict()}


def causes(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {service["service"]: service["not_started"] for service in run["services"]}


def test_a_budget_that_does_not_start_is_a_run_with_the_bytes_of_every_service() -> None:
    found = causes(not_started(refused_by_the_plan(), **HOST, side="before", round=1, profile="before"))
    assert set(found) == {"medium", "mini", "micro"}
    for why in found.values():
        assert why["kind"] == "memory_share_too_large"
        assert "does not start with the budget 0.9999" in why["cause"] or "has no room" in why["cause"]
        assert why["needed_bytes"] > why["available_bytes"] > 70 * GIB


def test_both_models_at_full_share_are_refused_with_the_bytes_of_the_second() -> None:
    found = causes(not_started(refused_by_the_plan(gpu_memory_utilization=0.95), **HOST, side="before", round=1))
    assert found["micro"]["needed_bytes"] > 1.89 * 80 * GIB, "twice the card"
    assert found["micro"]["available_bytes"] < 80 * GIB
    assert found["mini"]["cause"].startswith("micro, which is deployed together with it, did not start")


def test_a_service_that_failed_its_gate_is_told_from_those_beside_it() -> None:
    line = (
        "ValueError: Free memory on device cuda:0 (13.19/79.18 GiB) on startup is less than desired GPU memory "
        "utilization (0.5, 39.59 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )
    plan = planned(reference_layout(max_model_len=8192), box(80, 80, 80), engine_version="0.32.0").to_dict()
    failure = {"service": "micro", "incident": {"kind": "memory_share_too_large", "line": line}, "plan": plan}
    found = causes(not_started(failure, **HOST, side="after", round=2))
    assert found["micro"]["cause"] == line
    assert (found["micro"]["needed_bytes"], found["micro"]["available_bytes"]) == (
        round(39.59 * GIB),
        round(13.19 * GIB),
    )
    assert found["mini"]["cause"].startswith("micro, which is deployed together with it, did not start: ")


@pytest.mark.parametrize(
    ("line", "needed", "available"),
    [
        (
            "Available memory on node 0 (1.5/23.5 GiB) on startup is less than desired CPU memory utilization "
            "(0.5, 11.75 GiB). On the CPU backend, the flag",
            11.75,
            1.5,
        ),
        (
            "To serve at least one request with the model's max seq len (131072), (14.0 GiB KV cache is needed, which "
            "is larger than the available KV cache memory (3.7 GiB). Based on",
            14.0,
            3.7,
        ),
    ],
)
def test_bytes_are_read_out_of_the_engines_own_sentences(line: str, needed: float, available: float) -> None:
    assert bytes_in(line) == (round(needed * GIB), round(available * GIB))
    assert bytes_in("No available memory for the cache blocks.") == (None, None)


def test_a_mistake_is_no_finding() -> None:
    with pytest.raises(InferenceError, match="unknown key"):
        not_started({"failed": True, "msg": "service 'mini': unknown key tokens"}, **HOST)


def test_a_side_that_did_not_start_is_in_the_table_and_the_other_one_measured() -> None:
    refused = not_started(refused_by_the_plan(), **HOST, side="before", round=1)
    after = [one.to_dict() for one in measured.turns(6) if one.side == "after"]
    lines = report_table(result_report([refused, *after]))
    assert any("could not start" in line and "mini" in line for line in lines)
    assert any("bytes) missing" in line for line in lines)


def test_the_quality_of_the_answers_is_in_the_table() -> None:
    lines = report_table(result_report([one.to_dict() for one in measured.eventful()]))
    assert any("perplexity, long text" in line and "21.3" in line and "12.8" in line for line in lines)


# A search


def worth(*runs: RunResult, **limits: float) -> float:
    return goodput_score(runs, read_within(limits))


def test_a_layout_is_worth_the_requests_in_time_of_all_its_services() -> None:
    fast, slow = measured.run(measured.service("mini")), measured.run(measured.service("micro", slower=4.0))
    both = worth(fast, slow)
    alone = [worth(one) for one in (fast, slow)]
    assert both == pytest.approx((alone[0] * alone[1]) ** 0.5)
    assert worth(fast, slow, ttft_seconds=0.01) == 0
    with pytest.raises(InferenceError, match="unknown key"):
        worth(fast, ttft=1)


CANDIDATES = [
    {
        "changes": changes,
        "services": [
            {
                "name": "mini",
                "gpu_memory_utilization": 0.9,
                "max_model_len": 4096,
                "kv_cache_dtype": "auto",
                "kv_cache_tokens": 10000,
                "max_num_seqs": seqs,
                "max_num_batched_tokens": 2048,
            }
        ],
    }
    for changes, seqs in (({}, 1), ({"mini": {"max_num_seqs": 8}}, 8), ({"mini": {"max_num_seqs": 32}}, 32))
]
SETTINGS = {"keep": 0.5, "repeats": 1, "seed": 0}
SEARCHED = {
    **SETTINGS,
    "host": "box",
    "scenario": "standard",
    "within": {"ttft_seconds": 1.0},
    "start_fits": True,
    "considered": {"combinations": 3, "drawn": 2, "refused": 0, "refusal": None},
    "seconds": 900.0,
    "seconds_used": 400.0,
}


def trial(candidate: int, rung: int, *scores: float, problem: str | None = None) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "rung": rung,
        "scores": list(scores),
        "deploy_seconds": 30.0,
        "measure_seconds": 10.0 * len(scores),
        "problem": problem,
    }


TRIALS = [trial(0, 0, 1.0), trial(1, 0, 4.0), trial(2, 0, problem="out of memory"), trial(1, 1, 4.2, 4.4)]
TRIALS += [trial(0, 1, 1.1, 0.9)]


def test_a_search_takes_at_most_the_trials_of_all_rungs() -> None:
    assert most_trials(3, SETTINGS) == 5
    with pytest.raises(InferenceError, match="keep is 2"):
        most_trials(3, {**SETTINGS, "keep": 2})


def test_the_evidence_names_the_winner_what_it_gains_and_what_did_not_start() -> None:
    runs = {"1": read_results([measured.run(measured.service("mini")).to_dict()])}
    report = tuning_report(CANDIDATES, TRIALS, SEARCHED, runs)
    assert (report["start"], report["winner"]) == (0, 1)
    assert report["improvement"] == pytest.approx(4.2)
    assert report["candidates"][1]["summary"]
    lines = tuning_lines(report)
    assert lines[1].startswith("*")
    assert "4.200 (4.000 to 4.400)" in lines[1]
    assert "did not start" in lines[3]
    json.dumps(report)


def test_the_file_to_review_is_yaml_with_the_changes_alone() -> None:
    text = review_file(tuning_report(CANDIDATES, TRIALS, SEARCHED, {}))
    assert yaml.safe_load(text) == {"vllm_services_changes": {"mini": {"max_num_seqs": 8}}}
    assert "4.20 times what the layout as it stands does" in text


def test_where_nothing_is_better_the_file_changes_nothing() -> None:
    report = tuning_report(CANDIDATES, [trial(0, 0, 2.0), trial(1, 0, 1.0), trial(2, 0, 1.5)], SEARCHED, {})
    assert report["winner"] == 0
    assert yaml.safe_load(review_file(report)) == {"vllm_services_changes": {}}
    assert tuning_lines(report)[-1] == "Nothing that was tried is better than the layout as it stands."


def test_a_report_with_a_side_that_did_not_start_keeps_its_schema() -> None:
    refused = not_started(refused_by_the_plan(), **HOST, side="before", round=1)
    with open("docs/schemas/result.schema.json", encoding="utf-8") as file:
        jsonschema.validate(refused, json.load(file))
