# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as a project of AWX, and the jobs that need no host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.awx.awx_job import Awx, write_variables
from ansible_collections.llmops.inference.tests.awx.recorded import record_reference_box
from ansible_collections.llmops.inference.tests.tools.environments import ROOT


@pytest.fixture(scope="module")
def awx(tmp_path_factory: pytest.TempPathFactory) -> Awx:
    """AWX with the reference box as its inventory, and no collection but what the project's sync installs."""
    return Awx(tmp_path_factory.mktemp("awx") / "runner", ROOT / "inventories" / "reference" / "hosts.yml")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What AWX prompts for at launch."""
    return record_reference_box(tmp_path_factory.mktemp("recorded") / "box")


def test_a_plan_of_the_reference_box_is_published_for_the_next_job(awx: Awx, recorded: dict[str, Any]) -> None:
    job = awx.launch("vLLM plan", prompted=recorded)
    assert job.status == "successful", job.output
    plan = job.artifacts["vllm_plans"]["gpu-box"]
    assert plan["fits"] is True
    assert [service["max_model_len"] for service in plan["services"]] == [131072] * 3
    assert "CONTEXT" in job.output


def test_answers_of_the_survey_decide(awx: Awx, recorded: dict[str, Any]) -> None:
    answers = {"vllm_services_profile": "before", "vllm_services_on_overcommit": "refuse", "vllm_hosts": "gpu-box"}
    job = awx.launch("vLLM plan", answers, prompted=recorded)
    assert job.status == "failed"
    plan = job.artifacts["vllm_plans"]["gpu-box"]
    assert plan["fits"] is False
    assert plan["refusals"], "also a plan that does not fit is there to be read"


def test_hosts_that_are_not_in_the_inventory_are_no_success(awx: Awx, recorded: dict[str, Any]) -> None:
    job = awx.launch("vLLM plan", {"vllm_hosts": "gpu-bxo"}, prompted=recorded)
    assert job.status == "failed"
    assert "gpu-bxo" in job.output


def test_an_answer_that_is_left_empty_is_none(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    tasks = ROOT / "playbooks" / "tasks" / "survey_answers.yml"
    asserted = "vllm_one == [{'a': 1}] and vllm_two is not defined and vllm_three is not defined"
    play.write_text(
        f"- hosts: localhost\n  gather_facts: false\n  tasks:\n  - import_tasks: {tasks}\n"
        f'  - assert: {{that: "{asserted}"}}\n'
    )
    answers = {"survey_vllm_one": '[{"a": 1}]', "survey_vllm_two": "", "survey_vllm_three": " \n"}
    write_variables(tmp_path / "answers.yml", answers)
    command = ["ansible-playbook", "--extra-vars", f"@{tmp_path / 'answers.yml'}", str(play)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


MISSES = {"passed": False, "outcome": "missed", "reason": "mini, standard: ttft_p95_seconds at most 0.5: failed, 2."}
UNJUDGED = {"passed": False, "outcome": "could not be judged", "reason": "no run tells it"}


@pytest.mark.parametrize(
    ("published", "undoes"),
    [
        ({"vllm_validation": {"a": MISSES, "b": UNJUDGED}}, True),
        ({"vllm_validation": {"a": UNJUDGED}}, False),
        ({"vllm_validation": ""}, False),
        ({}, False),
    ],
    ids=["missed", "not judged", "empty", "nothing"],
)
def test_the_verdict_fails_for_a_miss_alone(awx: Awx, published: dict[str, Any], undoes: bool) -> None:
    job = awx.launch("vLLM release verdict", prompted=published)
    assert (job.status == "failed") is undoes, job.output
    assert ("ttft_p95_seconds" in job.output) is undoes


@pytest.mark.parametrize(
    ("published", "outcome", "said"),
    [
        ({}, "stays, and could not be judged", "ended without a verdict"),
        ({"vllm_validation": {"a": UNJUDGED}}, "stays, and could not be judged", "no run tells it"),
        (
            {
                "vllm_undone": {"a": {"from": 2, "to": 1}},
                "vllm_services_generations": {"a": {"before": 1, "in_force": 2}},
                "vllm_validation": {"a": MISSES},
            },
            "undone",
            "a misses its objectives: mini, standard",
        ),
        (
            {
                "vllm_undone": {},
                "vllm_services_generations": {"a": {"before": 1, "in_force": 2}},
                "vllm_failures": {"b": "service 'mini' did not pass its gate"},
            },
            "not undone everywhere",
            "a was not returned to generation 1",
        ),
    ],
    ids=["nothing", "not judged", "undone", "half"],
)
def test_the_end_of_a_release_is_red_and_publishes_why(
    awx: Awx, published: dict[str, Any], outcome: str, said: str
) -> None:
    job = awx.launch("vLLM release failed", prompted=published)
    assert job.status == "failed"
    end = job.artifacts["vllm_release"]
    assert end["outcome"] == outcome
    assert said in end["reason"]


def test_a_bad_objective_fails_the_plan_that_is_to_be_approved(awx: Awx, recorded: dict[str, Any]) -> None:
    wrong = [
        {"service": "mini", "metric": "ttft_p95_second", "max": 0.5},
        {"service": "minni", "metric": "ttft_p95_seconds", "max": 0.5},
    ]
    # As the workflow hands on the answers to its own survey.
    asked = {"survey_vllm_validation_objectives": json.dumps(wrong), "vllm_validation_scenarios": ["standard"]}
    job = awx.launch("vLLM plan", prompted={**recorded, **asked})
    assert job.status == "failed"
    said = " ".join(job.output.split())
    assert "did you mean ttft_p95_seconds" in said
    assert "did you mean mini?" in said
    assert job.artifacts["vllm_plans"]["gpu-box"]["fits"] is True, "the plan is there to be read"


def test_a_plan_with_good_objectives_shows_them(awx: Awx, recorded: dict[str, Any]) -> None:
    good = [{"service": "mini", "metric": "ttft_p95_seconds", "max": 0.5}]
    job = awx.launch("vLLM plan", prompted={**recorded, "survey_vllm_validation_objectives": json.dumps(good)})
    assert job.status == "successful", job.output
    assert "ttft_p95_seconds" in job.output


def test_broken_yaml_in_a_survey_is_told_by_line_and_column(awx: Awx, recorded: dict[str, Any]) -> None:
    broken = '[{"service": "mini",\n  "metric" "canary-secret"}]'
    job = awx.launch("vLLM plan", prompted={**recorded, "survey_vllm_validation_objectives": broken})
    assert job.status == "failed"
    said = " ".join(job.output.split())
    assert "survey_vllm_validation_objectives is neither JSON nor YAML: at line 2, column 12" in said
    assert "canary-secret" not in said


def test_jinja_in_what_awx_hands_over_is_text_and_never_run(awx: Awx, recorded: dict[str, Any], tmp_path: Path) -> None:
    """Whoever may launch a job could otherwise run commands where it runs, with its credentials."""
    marker = tmp_path / "ran"
    evil = f"{{{{ lookup('ansible.builtin.pipe', 'touch {marker}') }}}}"
    nested = json.dumps([{"service": evil, "metric": evil, "max": evil, evil: 1}])
    spots = {
        "survey_vllm_validation_objectives": nested,
        "survey_vllm_validation_loads": json.dumps({evil: {evil: evil}}),
        "vllm_services_profile": evil,
        "vllm_runtime_version": evil,
        "vllm_hosts": f"gpu-box:{evil}",
        "vllm_plan_html": evil,
    }
    for name, value in spots.items():
        job = awx.launch("vLLM plan", {name: value}, prompted=recorded)
        assert not marker.exists(), f"{name} was a template: {job.output}"
    published = {
        "vllm_validation": {"a": {**MISSES, "reason": evil}, evil: MISSES},
        "vllm_undone": {evil: {"from": 2, "to": 1}},
        "vllm_services_generations": {"b": {"before": evil, "in_force": evil}},
        "vllm_failures": {"c": evil},
    }
    for template in ("vLLM release verdict", "vLLM release failed"):
        job = awx.launch(template, prompted=published)
        assert job.status == "failed"
        assert not marker.exists(), job.output
        assert "lookup(" in job.output, "shown as the text that it is"


def test_a_template_that_is_trusted_would_have_run(tmp_path: Path) -> None:
    """What the test before this one looks for can be there at all."""
    marker = tmp_path / "ran"
    message = f"msg={{{{ lookup('ansible.builtin.pipe', 'touch {marker}') }}}}"
    subprocess.run(["ansible", "localhost", "-m", "debug", "-a", message], check=True, capture_output=True)
    assert marker.exists()
