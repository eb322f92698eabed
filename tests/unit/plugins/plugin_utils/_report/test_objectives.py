# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives of an inventory: read with care, held against runs, and written for CI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.report_junit import report_junit
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import RunResult
from ansible_collections.llmops.inference.tests.unit.measured import eventful, refused, run, service, turns

FAST = {"service": "mini", "metric": "ttft_p95_seconds", "max": 0.5}


def report(*objectives: Any, runs: list[RunResult] | None = None) -> dict[str, Any]:
    return dict(result_report([one.to_dict() for one in runs or [run()]], list(objectives)))


def outcomes(*objectives: Any, runs: list[RunResult] | None = None) -> list[str]:
    return [item["outcome"] for item in report(*objectives, runs=runs)["objectives"]]


def test_objectives_pass_and_fail_by_the_typical_value_over_the_runs() -> None:
    slow = {**FAST, "max": 0.001}
    busy = {"service": "mini", "metric": "output_tokens_per_second", "min": 1}
    found = report(FAST, slow, busy, runs=turns(3))
    assert [item["outcome"] for item in found["objectives"]] == ["passed", "failed", "passed"]
    assert found["passed"] is False
    assert report(FAST)["passed"] is True
    assert report()["passed"] is True


def test_an_objective_of_a_comparison_is_held_against_what_is_deployed_after() -> None:
    runs = turns(6, slower=100.0)
    assert outcomes(FAST, runs=runs) == ["failed"]
    assert outcomes(FAST, runs=[replace(one, side=None, round=None) for one in runs if one.side == "before"]) == [
        "passed"
    ]


def test_what_a_run_measured_is_told_with_its_interval_where_it_has_one() -> None:
    never = {"service": "mini", "metric": "out_of_memory_per_1000_requests", "max": 0}
    alone, counted = report(FAST, never)["objectives"]
    assert alone["reason"].endswith(" in 1 run")
    # No event in 40 requests: the exact upper bound is -ln(0.025) / 40.
    assert counted["reason"] == "0 (0 to 92.222) in 1 run"
    assert counted["outcome"] == "passed"
    assert " to " in report(FAST, runs=turns(3))["objectives"][0]["reason"]


def test_limits_may_be_spelled_as_templates_make_them() -> None:
    assert outcomes({**FAST, "max": "0.5"}) == ["passed"]


def test_what_was_not_measured_does_not_pass() -> None:
    found = report({**FAST, "scenario": "soak"}, {**FAST, "metric": "ttft_p99_seconds"})
    assert [item["outcome"] for item in found["objectives"]] == ["not measured"] * 2
    assert found["objectives"][0]["reason"] == "no run measured it under soak"
    assert found["objectives"][1]["reason"] == "no run tells it; the longest had 40 requests"
    assert found["passed"] is False


def test_a_service_that_could_not_start_fails_its_objectives() -> None:
    found = report(FAST, runs=[run(refused("mini"))])
    assert found["objectives"][0]["outcome"] == "failed"
    assert "could not start: Free memory on device" in found["objectives"][0]["reason"]


def test_goodput_counts_requests_within_limits() -> None:
    good = {"service": "mini", "metric": "goodput_share", "min": 0.9, "within": {"ttft_seconds": 0.5}}
    strict = {**good, "within": {"ttft_seconds": 0.5, "inter_token_seconds": 0.0001}}
    assert outcomes(good, strict) == ["passed", "failed"]


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({**FAST, "metric": "ttft_p95"}, r"objective 1: There is no metric 'ttft_p95'; did you mean ttft_p95_seconds"),
        ({**FAST, "metric": "tokens_per_second"}, r"did you mean .*tokens_per_second"),
        ({**FAST, "min": 1}, "objective 1 has to have either max or min"),
        ({"service": "mini", "metric": "ttft_p95_seconds"}, "has to have either max or min"),
        ({"service": "mini", "metric": "ttft_p95_seconds", "min": 1}, "of which lower is better; state it as max"),
        ({**FAST, "metric": "requests_per_second"}, "of which higher is better; state it as min"),
        ({**FAST, "max": "fast"}, r"objective 1.max is 'fast'; a number of at least 0 is expected"),
        ({**FAST, "maximum": 1}, r"unknown key 'maximum'; did you mean max\?"),
        ({**FAST, "scenario": "stress"}, "scenario is 'stress'; one of standard, long_context"),
        ({**FAST, "service": "minni"}, r"for 'minni', which no run measured; did you mean mini\?"),
        ({**FAST, "service": "embedding"}, r"for 'embedding', which no run measured; there are mini\."),
        (
            {**FAST, "within": {"ttft_seconds": 1}},
            "has within, which only goodput_share and goodput_requests_per_second",
        ),
        ({"service": "mini", "metric": "goodput_share", "min": 1}, r"state within: \{ttft_seconds: 0.5\}"),
        (
            {"service": "mini", "metric": "goodput_share", "min": 1, "within": {"ttft": 1}},
            "did you mean .*ttft_seconds",
        ),
        ("fast", "objective 1 is 'fast'; a mapping is expected"),
    ],
)
def test_a_wrong_objective_is_refused_with_what_was_meant(objective: Any, said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        report(objective)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(AnsibleFilterError, match=r"objective 1: .*objective 3 has to have"):
        report({**FAST, "metric": "ttft"}, FAST, {"service": "mini", "metric": "restarts"})


def test_objectives_are_a_list() -> None:
    with pytest.raises(AnsibleFilterError, match="a list of them is expected"):
        result_report([run().to_dict()], FAST)


def test_junit_has_a_suite_per_service_and_a_case_per_objective() -> None:
    objectives = [
        FAST,
        {**FAST, "max": 0.001},
        {**FAST, "metric": "ttft_p99_seconds"},
        {"service": "micro", "metric": "failed_share", "max": 0.01},
    ]
    xml = report_junit(report(*objectives, runs=eventful()))
    suites = ElementTree.fromstring(xml)
    assert {name: suites.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
    }
    assert [suite.get("name") for suite in suites] == ["generated: mini", "generated: micro"]
    cases = list(suites.iter("testcase"))
    assert cases[0].get("name") == "ttft_p95_seconds at most 0.5"
    failure = suites.find(".//failure")
    assert failure is not None
    assert "in 8 runs" in (failure.get("message") or "")


def test_junit_is_xml_whatever_a_journal_said() -> None:
    said = 'died \x1b[31m<of>\x00 "this" & that \ud800'
    xml = report_junit(report(FAST, runs=[run(refused("mini", cause=said))]))
    assert "died" in (ElementTree.fromstring(xml).find(".//failure").get("message") or "")  # type: ignore[union-attr]


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="takes the report that result_report returned"):
        report_junit({"objectives": []})


def test_a_report_tells_of_every_metric_that_was_measured() -> None:
    names = {row["metric"] for row in report(runs=[run(service(requests=100))])["summary"]}
    assert {"ttft_p99_seconds", "output_tokens_per_second", "memory_room_bytes", "failed_share"} <= names
    assert "energy_joules_per_1000_tokens" not in names
