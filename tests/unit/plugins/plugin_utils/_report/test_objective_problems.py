# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bad objective is found before any load; what could not be judged is no miss."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.filter.objective_problems import objective_problems
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import METRICS
from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import joint_verdict
from ansible_collections.llmops.inference.tests.unit.measured import run, service

FAST = {"service": "mini", "metric": "ttft_p95_seconds", "max": 0.5}


def problems(*objectives: Any, **about: Any) -> list[str]:
    return objective_problems(list(objectives), **{"services": ["mini", "micro"], **about})


def test_an_objective_that_can_be_judged_has_no_problem() -> None:
    assert problems(FAST) == []
    assert problems({**FAST, "metric": "goodput_share", "min": 0.9, "within": {"ttft_seconds": 1}, "max": None}) == []
    assert problems() == []


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({**FAST, "metric": "ttft_p95_second"}, "did you mean ttft_p95_seconds"),
        ({**FAST, "service": "minni"}, "did you mean mini?"),
        ({**FAST, "scenario": "soak"}, "add it to the scenarios"),
        ({**FAST, "scenario": "sok"}, "soak"),
        ({**FAST, "max": "fast"}, "max"),
        ({**FAST, "most": 1}, "unknown key 'most'"),
        ({"service": "mini", "metric": "output_tokens_per_second", "max": 5}, "state it as min"),
        ({"service": "mini", "metric": "perplexity_short", "max": 20}, "set quality to true"),
        ("faster, please", "mapping is expected"),
        ({**FAST, "metric": "ttft_p99.5_seconds"}, "takes 200 requests in one run, and standard asks 100"),
    ],
)
def test_a_mistake_in_an_objective_is_told_with_the_way_out(objective: Any, said: str) -> None:
    (problem,) = problems(objective)
    assert said in problem


def test_all_mistakes_are_told_at_once() -> None:
    wrong = [{**FAST, "metric": "speed"}, {**FAST, "min": 1}, {**FAST, "max": None}]
    assert len(problems(*wrong)) == 3


def test_eight_requests_are_too_few_for_a_p95() -> None:
    (problem,) = problems(FAST, loads={"standard": {"requests": 8}})
    assert "takes 20 requests in one run, and standard asks 8" in problem
    assert problems(FAST, loads={"standard": {"requests": "20"}}) == [], "a template's number"


@pytest.mark.parametrize("percent", [1, 5, 50, 90, 95, 99])
def test_what_passes_before_the_load_is_measured_by_a_run_of_as_many_requests(percent: int) -> None:
    objective = {**FAST, "metric": f"ttft_p{percent}_seconds"}
    lowest = next(n for n in range(1, 200) if not problems(objective, loads={"standard": {"requests": n}}))

    def outcome(requests: int) -> str:
        measured = run(service(requests=requests)).to_dict()
        return str(result_report([measured], [objective])["objectives"][0]["outcome"])

    assert outcome(lowest) != "not measured"
    assert lowest == 1 or outcome(lowest - 1) == "not measured"


@pytest.mark.parametrize(
    ("loads", "said"),
    [
        ({"standard": {"request": 8}}, "did you mean requests"),
        ({"standard": {"requests": 0}}, "1 to 100000"),
        ({"standard": {"requests": "many"}}, "a whole number"),
        ({"standrad": {}}, "did you mean standard"),
        ({"standard": 8}, "a mapping such as"),
        ("quick", "a mapping by scenario"),
    ],
)
def test_a_load_that_cannot_be_driven_is_told(loads: Any, said: str) -> None:
    (problem,) = problems(loads=loads)
    assert said in problem


def test_answers_of_one_token_have_no_time_between_tokens() -> None:
    between = {**FAST, "metric": "inter_token_p95_seconds"}
    (problem,) = problems(between, loads={"standard": {"output_tokens": 1}})
    assert "raise output_tokens" in problem


def test_agreement_takes_two_layouts() -> None:
    agrees = {"service": "mini", "metric": "greedy_agreement", "min": 0.9}
    assert "use the playbook compare" in problems(agrees, quality=True)[0]
    assert problems(agrees, quality=True, sided=True) == []


def test_a_judgement_that_is_wrong_is_told_before_the_comparison() -> None:
    assert "confidence" in problems(judgement={"confidence": 2})[0]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_an_objective(name: str) -> None:
    limit = "max" if METRICS[name].better == "lower" else "min"
    objective = {"service": "mini", "metric": name, limit: 1}
    assert problems(objective, quality=True, sided=True) == []


@pytest.mark.parametrize(
    ("outcomes", "together"),
    [
        ([], "passed"),
        (["passed", "passed"], "passed"),
        (["passed", "not measured"], "could not be judged"),
        (["not measured", "failed", "passed"], "missed"),
    ],
)
def test_only_a_miss_says_anything_against_what_is_deployed(outcomes: list[str], together: str) -> None:
    assert joint_verdict(outcomes) == together
