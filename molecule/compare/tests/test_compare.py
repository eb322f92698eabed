# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison leaves: a report with numbers and verdicts, and the host as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource
from testinfra.host import Host

testinfra_hosts = ["podman://compare"]

ROOT = Path(__file__).resolve().parents[3]
REPORTS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
JUDGED = {"end_to_end_p50_seconds", "output_tokens_per_second", "stability"}


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")))


def report(name: str) -> dict[str, Any]:
    return dict(json.loads((REPORTS / name / "compare-compare.json").read_text(encoding="utf-8")))


def rows(name: str) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in report(name)["comparison"]}


@pytest.mark.parametrize("name", ["seed", "profiles", "versions"])
def test_the_report_is_as_its_schema_says_and_there_is_a_page_of_it(name: str) -> None:
    resource, described = Resource.from_contents(schema("result")), schema("report")
    registry: Any = Registry().with_resource(described["$id"].replace("report", "result"), resource)
    jsonschema.Draft202012Validator(described, registry=registry).validate(report(name))
    assert "<svg" in (REPORTS / name / "compare-compare.html").read_text(encoding="utf-8")


def test_a_budget_that_does_not_start_is_a_finding_in_bytes_and_the_other_side_is_measured() -> None:
    found = rows("seed")
    for metric in JUDGED:
        assert found[metric]["verdict"] == "could not start"
        assert "bytes) missing" in found[metric]["reason"]
        assert "does not start with the budget 0.9999" in found[metric]["reason"]
    assert found["output_tokens_per_second"]["after"]["value"] > 0
    assert found["output_tokens_per_second"]["before"] is None
    refused = [run for run in report("seed")["runs"] if run["side"] == "before"]
    assert len(refused) == 1, "what cannot start is not tried again"
    why = refused[0]["services"][0]["not_started"]
    assert why["needed_bytes"] > why["available_bytes"] > 0


def test_two_layouts_that_start_are_measured_in_turns() -> None:
    runs = report("profiles")["runs"]
    sides = [run["side"] for run in runs]
    assert len(sides) >= 6
    for first in range(0, len(sides) - 3, 4):
        assert sides[first : first + 4] == sides[first : first + 4][::-1], "ABBA or BAAB"
    generations = {side: {run["environment"]["generation"] for run in runs if run["side"] == side} for side in sides}
    assert all(len(found) == 1 for found in generations.values()), "a side is the same to the byte in every round"


def test_more_requests_at_a_time_are_better_with_an_interval_that_says_so() -> None:
    found = rows("profiles")["output_tokens_per_second"]
    assert found["verdict"] == "better"
    assert 1 < found["ratio"]["low"] < found["ratio"]["value"] < found["ratio"]["high"]
    assert rows("profiles")["stability"]["verdict"] == "no difference shown"


def test_two_versions_of_the_engine_are_measured_each_by_its_own_program() -> None:
    runs = {run["side"]: run for run in report("versions")["runs"]}
    assert {side: run["environment"]["engine_version"] for side, run in runs.items()} == {
        "before": "0.32.0",
        "after": "0.32.0+relabelled",
    }
    assert all(request["status"] == "completed" for run in runs.values() for request in run["services"][0]["requests"])
    found = rows("versions")["output_tokens_per_second"]
    assert (found["verdict"], found["reason"]) == ("no difference shown", "1 pair of runs; at least 5 are needed")


def test_the_answers_are_as_good_as_before() -> None:
    found = rows("profiles")
    assert found["perplexity_short"]["before"]["value"] == pytest.approx(
        found["perplexity_short"]["after"]["value"], rel=0.05
    )
    assert 0 <= found["greedy_agreement"]["after"]["value"] <= 1


def test_nothing_of_it_stays_in_force(host: Host) -> None:
    engine = host.file("/etc/vllm/current/services/mini/engine.yaml").content_string
    assert "max-num-seqs: 16" in engine
    assert host.service("vllm@mini").is_running
