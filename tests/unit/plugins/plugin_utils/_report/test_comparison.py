# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before and after: a verdict only where the data carry one, and the seed's table in full."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.report_table import report_table
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import Request, RunIncident, RunResult
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import JudgementSettings, compare
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import (
    METRICS,
    Goodput,
    good_share,
    goodput,
    in_flight,
    metric,
)
from ansible_collections.llmops.inference.tests.unit.measured import LOAD, eventful, refused, run, service, turns
from ansible_collections.llmops.inference.tests.unit.plugins.module_utils._benchmark.test_result import SCHEMAS, schema
from referencing import Registry, Resource

FEW = JudgementSettings(shown=())
LATENCY, SPEED, STABILITY = "end_to_end_p50_seconds", "output_tokens_per_second", "stability"


def report(runs: Sequence[RunResult], **settings: Any) -> dict[str, Any]:
    return dict(result_report([one.to_dict() for one in runs], **settings))


def verdicts(runs: Sequence[RunResult], **settings: Any) -> dict[tuple[str, str], str]:
    """Service and metric -> verdict of the rows that have one."""
    rows = report(runs, **settings)["comparison"]
    return {(row["service"], row["metric"]): row["verdict"] for row in rows if row["verdict"]}


def row(runs: Sequence[RunResult], name: str = LATENCY, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in report(runs, **settings)["comparison"] if (one["service"], one["metric"]) == ("mini", name)
    )
    return found


def changed(runs: Sequence[RunResult], side: str, **changes: Any) -> list[RunResult]:
    """The runs, with the first service of one side changed."""
    return [
        replace(one, services=(replace(one.services[0], **changes), *one.services[1:])) if one.side == side else one
        for one in runs
    ]


def test_the_report_is_as_its_published_description_says() -> None:
    resource = Resource.from_contents(schema("result"))
    described = schema("report")
    registry: Any = Registry().with_resource(described["$id"].replace("report", "result"), resource)
    validator = jsonschema.Draft202012Validator(described, registry=registry)
    objectives = [
        {"service": "mini", "metric": "ttft_p99_seconds", "max": 1},
        {"service": "micro", "metric": SPEED, "min": 1},
    ]
    for one in (report(eventful(), objectives=objectives), report([run()])):
        validator.validate(json.loads(json.dumps(one, allow_nan=False)))
    assert len(list(SCHEMAS.iterdir())) == 2


def test_the_same_service_twice_shows_no_difference() -> None:
    assert set(verdicts(turns(8)).values()) == {"no difference shown"}


def test_of_twenty_comparisons_of_a_service_with_itself_nineteen_show_no_difference() -> None:
    trials = [{row.verdict for row in compare(turns(8, seed=seed), FEW) if row.verdict} for seed in range(20)]
    assert trials.count({"no difference shown"}) >= 19


def test_of_twenty_comparisons_with_one_slowed_by_15_percent_nineteen_say_worse() -> None:
    trials = [compare(turns(8, slower=1.15, seed=seed), FEW)[0].verdict for seed in range(20)]
    assert trials.count("worse") >= 19


def test_a_service_slowed_by_15_percent_is_worse_in_latency_and_in_tokens() -> None:
    found = verdicts(turns(8, slower=1.15))
    assert found == {("mini", LATENCY): "worse", ("mini", SPEED): "worse", ("mini", STABILITY): "no difference shown"}


def test_a_faster_service_is_better_and_the_ratio_is_what_it_is() -> None:
    ratio = row(turns(8, slower=0.8))["ratio"]
    assert ratio["low"] < 0.8 < ratio["high"]
    assert row(turns(8, slower=0.8))["verdict"] == "better"


def test_a_difference_that_matters_to_nobody_is_none() -> None:
    runs = turns(12, slower=1.10, noise=0.001)
    assert row(runs)["verdict"] == "worse"
    assert row(runs, smallest_relevant=0.2)["verdict"] == "no difference shown"


def test_too_few_rounds_say_nothing_however_large_the_difference() -> None:
    found = row(turns(4, slower=3.0))
    assert found["verdict"] == "no difference shown"
    assert found["reason"] == "4 pairs of runs; at least 5 are needed"
    assert row(turns(5, slower=3.0))["verdict"] == "worse"


def test_the_more_rows_get_a_verdict_the_more_each_has_to_show() -> None:
    runs = turns(6, slower=1.08, noise=0.03)
    few, many = row(runs, judged=[LATENCY]), row(runs, judged=[LATENCY, *(f"ttft_p{n}_seconds" for n in range(20, 80))])
    widths = [math.log(one["ratio"]["high"] / one["ratio"]["low"]) for one in (few, many)]
    assert widths[1] > 1.3 * widths[0]
    assert few["ratio"]["level"] == pytest.approx(1 - 0.05 / 2)


def test_no_verdict_where_the_load_generator_was_the_bottleneck() -> None:
    runs = changed(turns(8, slower=2.0), "after", load=replace(LOAD, bottleneck="it took a whole core"))
    found = row(runs)
    assert found["verdict"] == "no difference shown"
    assert found["reason"] == "the load generator itself was the bottleneck in 8 runs: it took a whole core"


def test_no_verdict_where_the_two_sides_were_not_asked_the_same() -> None:
    found = row(changed(turns(8, slower=2.0), "after", load=replace(LOAD, concurrency=8)))
    assert found["verdict"] == "no difference shown"
    assert "not asked the same" in found["reason"]
    assert "4 in flight, seed 7 before" in found["reason"]


@pytest.mark.parametrize(("side", "slower"), [("after", 0.5), ("before", 2.0)])
def test_a_side_that_loses_requests_is_not_faster_for_it(side: str, slower: float) -> None:
    runs = turns(8, slower=slower)
    lost = [
        replace(one, status="failed", ttft_seconds=None, end_to_end_seconds=None, error="500")
        for one in runs[0].services[0].requests[:4]
    ]
    some_lost = [changed([one], side, requests=(*lost, *one.services[0].requests[4:]))[0] for one in runs]
    found = row(some_lost)
    assert found["verdict"] == "no difference shown"
    expected = f"{side}, which seems faster, up to 10% of the requests did not come to their end"
    assert found["reason"] == expected


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_side_that_cannot_start_is_the_finding_with_its_bytes(side: str) -> None:
    runs = [
        replace(one, services=(refused("mini", needed_bytes=30 << 30, available_bytes=20 << 30),))
        if one.side == side
        else one
        for one in turns(8)
    ]
    rows = [one for one in report(runs)["comparison"] if one["verdict"]]
    assert {one["verdict"] for one in rows} == {"could not start"}
    assert rows[0]["reason"].startswith(f"{side}: 10.00 GiB (10737418240 bytes) missing, 30.00 GiB needed")
    assert rows[0][side] is None


def test_one_that_starts_now_and_then_says_how_often_it_did_not() -> None:
    runs = turns(8)
    runs[0] = replace(runs[0], services=(refused("mini"),))
    assert row(runs)["reason"].endswith("(in 1 of 8 runs)")


def test_incidents_are_counted_once_and_many_of_them_are_worse() -> None:
    runs = [
        replace(
            one,
            incidents=tuple(RunIncident("out_of_device_memory", float(n), "mini") for n in range(3)),
            services=(replace(one.services[0], restarts=3),),
        )
        if one.side == "after"
        else one
        for one in turns(8)
    ]
    found = row(runs, STABILITY)
    assert (found["verdict"], found["reason"]) == ("worse", "0 in 320 requests before, 24 in 320 after")
    assert found["after"]["value"] == pytest.approx(75)
    assert found["ratio"]["value"] is None
    assert found["ratio"]["low"] > 1


def test_three_incidents_against_none_are_no_proof() -> None:
    runs = turns(8)
    runs[3] = replace(runs[3], incidents=tuple(RunIncident("wedged", float(n), "mini") for n in range(3)))
    assert row(runs, STABILITY)["verdict"] == "no difference shown"


def test_perplexity_is_shown_and_not_judged() -> None:
    found = row(eventful(), "perplexity_long")
    assert found["verdict"] is None
    assert found["ratio"]["value"] == pytest.approx(12.8 / 21.3)
    assert found["ratio"]["low"] is None


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([run()], None),
        ([run(side="before", round=0)], "No run has side after"),
        ([*turns(2), run()], r"has no side or no round"),
        ([*turns(2), turns(2)[0]], r"twice on the side"),
        (
            [*turns(2), run(environment=replace(run().environment, host="other"))],
            r"generated, other; a report is",
        ),
        ([], r"a list of at least one run is expected"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs: list[RunResult], said: str | None) -> None:
    if said is None:
        assert report(runs)["comparison"] is None
        return
    with pytest.raises(AnsibleFilterError, match=said):
        report(runs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confidence": 1}, "confidence is 1; a number from 0.5 to below 1"),
        ({"least_rounds": 2}, "least_rounds is 2; at least 3"),
        ({"smallest_relevant": 1.5}, "smallest_relevant is 1.5"),
        ({"judged": ["ttft_p95"]}, r"no metric 'ttft_p95'; did you mean ttft_p95_seconds"),
        ({"jugded": []}, r"unknown key 'jugded'; did you mean judged\?"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        report(turns(2), **settings)


def test_the_table_for_a_terminal_has_the_verdicts_and_below_them_the_reasons() -> None:
    lines = report_table(report(eventful(), objectives=[{"service": "mini", "metric": "failed_share", "max": 0.5}]))
    assert lines[0].split() == ["SERVICE", "SCENARIO", "OBJECTIVE", "MEASURED"]
    assert lines[1].split() == ["mini", "standard", "failed_share", "at", "most", "0.5", "0", "%", "passed"]
    assert any(line.split()[:2] == ["mini", "standard"] and line.endswith("better") for line in lines)
    assert sum("0.79 GiB (850403492 bytes) missing" in line for line in lines) == 1
    assert any("ms" in line for line in report_table(report([run()])))


# Metrics


def test_metrics_of_a_known_run_are_what_a_pencil_says() -> None:
    answered = [
        Request(start_seconds=float(n), status="completed", tokens_in=10, tokens_out=5, ttft_seconds=0.1 * (n + 1),
                inter_token_seconds=0.02, end_to_end_seconds=0.1 * (n + 1) + 0.08)
        for n in range(8)
    ]  # fmt: skip
    bad = [
        Request(8.0, "failed", 10, 0, error="500"),
        Request(8.5, "aborted", 10, 2, ttft_seconds=0.1, error="reset"),
        Request(9.0, "cancelled", 10, 0, error="end"),
    ]
    measured = service(requests=0, duration_seconds=10.0)
    one = replace(measured, requests=(*answered, *bad))
    whole = run(
        one, energy_joules=80.0, incidents=(RunIncident("host_oom_kill", 1.0), RunIncident("wedged", 2.0, "other"))
    )
    values = {name: METRICS[name].read(whole, one) for name in METRICS}
    assert values["ttft_p50_seconds"] == pytest.approx(0.45)
    assert values["ttft_p95_seconds"] is None
    assert values["output_tokens_per_second"] == 4.0
    assert values["total_tokens_per_second"] == 12.0
    assert values["requests_per_second"] == 0.8
    assert values["failed_share"] == 0.2
    assert values["aborted_share"] == 0.1
    assert values["incidents_per_1000_requests"] == 100.0
    assert values["out_of_memory_per_1000_requests"] == 100.0
    assert values["energy_joules_per_1000_tokens"] == 2000.0
    assert values["memory_peak_share_of_budget"] == pytest.approx(70 / 79.2, rel=1e-4)
    assert values["preemptions"] is None
    assert in_flight(one) == pytest.approx(sum(0.1 * n + 0.08 for n in range(1, 9)) / 10)
    objective = Goodput(ttft_seconds=0.35)
    assert good_share(one, objective) == 0.3
    assert goodput(one, objective) == 0.3
    assert goodput(one, Goodput(inter_token_seconds=0.01)) == 0.0


def test_any_percentile_is_a_metric() -> None:
    assert metric("ttft_p99.9_seconds").words == "time to first token, p99.9"
