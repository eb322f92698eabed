# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as a project of AWX, and the jobs that need no host."""

from __future__ import annotations

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
