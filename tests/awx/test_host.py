# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs on a systemd host with a real engine, in the order of its life.

Each test goes on where the one before it ended.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.awx.awx_job import Awx, Job, named, workflow_status
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

HOST = "llmops-awx"
KEY = "canary-8c21e5"
ENGINE_KEY = {"vLLM engine API key": {"api_key": KEY}, "Model hub token": {}}
RELEASE = "vLLM release"
# Seconds of load instead of minutes; the rest of the survey as its form begins.
MEASURED = {
    "vllm_validation_repeats": 1,
    "survey_vllm_validation_loads": json.dumps(
        {"standard": {"input_tokens": 32, "output_tokens": 16, "requests": 8, "warmup_requests": 2}}
    ),
}


@pytest.fixture(scope="module")
def awx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awx]:
    """AWX with one host, and the collection that reaches it."""
    host = str(ROOT / "tests" / "testbed" / "host")
    subprocess.run([host, "up", HOST, "bookworm", "--engine", "--models", "--ip=10.89.96.70"], check=True)
    awx = Awx(tmp_path_factory.mktemp("awx") / "runner", Path(__file__).with_name("inventory") / "hosts.yml")
    awx.require("containers/podman")
    yield awx
    # Shown where a test failed.
    print(on_host("journalctl", "--unit", "vllm@micro", "--lines", "80", "--no-pager").stdout)
    subprocess.run([host, "down", HOST], check=True)


def test_a_host_without_services_says_so(awx: Awx) -> None:
    job = awx.launch("vLLM status")
    assert job.status == "successful", job.output
    assert job.artifacts["vllm_endpoints"] == {HOST: []}


def test_a_deployment_is_foretold_in_check_mode(awx: Awx) -> None:
    job = awx.launch("vLLM deploy", credentials=ENGINE_KEY, check=True)
    assert job.status == "successful", job.output
    assert "Check mode cannot tell more than that everything would be deployed" in job.output
    assert "requirements_collections/ansible_collections/llmops/inference/roles" in job.output, (
        "what the sync installed"
    )
    assert on_host("getent", "group", "vllm").returncode != 0, "nothing was done"


def test_a_plan_that_nobody_approves_stays_a_plan(awx: Awx) -> None:
    jobs = awx.run_workflow(RELEASE, MEASURED, ENGINE_KEY, approved=False)
    assert statuses(jobs) == {"plan": "successful"}
    (service,) = jobs["plan"].artifacts["vllm_plans"][HOST]["services"]
    assert (service["name"], service["max_model_len"]) == ("micro", 4096)
    assert on_host("getent", "group", "vllm").returncode != 0, "nothing was done"


def test_an_approved_release_serves_keeps_its_objectives_and_never_shows_the_credentials_key(awx: Awx) -> None:
    jobs = awx.run_workflow(RELEASE, {**MEASURED, **objective({"max": 60})}, ENGINE_KEY)
    assert statuses(jobs) == {"plan": "successful", "deploy": "successful", "validate": "successful"}
    (service,) = jobs["deploy"].artifacts["vllm_endpoints"][HOST]
    assert (service["name"], service["state"]) == ("micro", "serving")
    assert answers(service["address"], KEY) == "200"
    assert answers(service["address"], "another") == "401"
    assert not [name for name, job in jobs.items() if KEY in job.record]
    assert jobs["deploy"].artifacts["vllm_services_generations"] == {HOST: {"before": None, "in_force": 1}}
    assert outcomes(jobs["validate"]) == (True, ["passed"])


def test_a_first_deployment_has_nothing_to_undo(awx: Awx) -> None:
    job = awx.launch("vLLM rollback", prompted={"vllm_services_generations": {HOST: {"before": None, "in_force": 1}}})
    assert job.status == "successful", job.output
    assert "stays as it is" in " ".join(job.output.split())
    assert "changed=0" in job.output


def test_the_same_deployment_again_changes_nothing(awx: Awx) -> None:
    job = awx.launch("vLLM deploy", credentials=ENGINE_KEY)
    assert job.status == "successful", job.output
    assert "changed=0" in job.output


def test_a_change_is_foretold_in_check_mode_and_not_made(awx: Awx) -> None:
    job = awx.launch("vLLM deploy", {"vllm_services_profile": "before"}, ENGINE_KEY, check=True)
    assert job.status == "successful", job.output
    assert "changed=1" in job.output
    assert "OnActiveSec=60" in job.output, "the file that would change, and how"
    assert KEY not in job.record
    assert in_force() == 1


def test_a_release_that_misses_an_objective_is_undone_by_what_its_deployment_published(awx: Awx) -> None:
    answers = {**MEASURED, **objective({"max": 0.000001}), "vllm_services_profile": "before"}
    jobs = awx.run_workflow(RELEASE, answers, ENGINE_KEY)
    ran = {"plan": "successful", "deploy": "successful", "validate": "failed", "verdict": "failed"}
    assert statuses(jobs) == {**ran, "rollback": "successful", "undone": "failed"}, jobs["validate"].output
    assert workflow_status(named("workflows", RELEASE), statuses(jobs)) == "failed"
    end = jobs["undone"].artifacts["vllm_release"]
    assert (end["outcome"], end["undone"]) == ("undone", [HOST])
    assert "end_to_end_p50_seconds at most 1e-06: failed" in end["reason"]
    assert outcomes(jobs["validate"]) == (False, ["failed"])
    assert jobs["deploy"].artifacts["vllm_services_generations"] == {HOST: {"before": 1, "in_force": 2}}
    assert in_force() == 1


def test_a_bad_objective_stops_a_release_before_anything_is_deployed(awx: Awx) -> None:
    jobs = awx.run_workflow(RELEASE, {**MEASURED, **objective({"max": 60}, "ttft_p95_seconds")}, ENGINE_KEY)
    assert statuses(jobs) == {"plan": "failed"}, "eight requests are too few for a p95"
    assert "takes 20 requests in one run, and standard asks 8" in " ".join(jobs["plan"].output.split())


def test_the_plan_says_that_the_active_one_stays(awx: Awx) -> None:
    job = awx.launch("vLLM plan", credentials=ENGINE_KEY)
    assert job.artifacts["vllm_plans"][HOST]["stays"] is True
    assert "The active plan stays" in job.output


def test_what_was_not_approved_is_not_deployed(awx: Awx) -> None:
    plan = awx.launch("vLLM plan", credentials=ENGINE_KEY).artifacts
    approved = {"vllm_services_approved_digest": plan["vllm_services_approved_digest"]}
    job = awx.launch("vLLM deploy", {"vllm_services_profile": "before"}, ENGINE_KEY, prompted=approved)
    assert job.status == "failed"
    assert "since the approval, the layout moved" in " ".join(job.output.split())
    assert in_force() == 1
    job = awx.launch("vLLM deploy", credentials=ENGINE_KEY, prompted=approved)
    assert job.status == "successful", job.output


def test_a_validation_that_cannot_judge_undoes_nothing(awx: Awx) -> None:
    job = awx.launch("vLLM validate", {**MEASURED, **objective({"max": 60}, "ttft_p95_seconds")})
    assert job.status == "failed"
    assert job.artifacts["vllm_validation"][HOST]["outcome"] == "could not be judged"
    assert awx.launch("vLLM release verdict", prompted=job.artifacts).status == "successful"


def test_what_was_deployed_elsewhere_is_undone_elsewhere(awx: Awx) -> None:
    elsewhere = {"vllm_services_generations": {"another": {"before": 6, "in_force": 7}}}
    job = awx.launch("vLLM rollback", prompted=elsewhere)
    assert "changed=0" in job.output
    assert in_force() == 1


def test_an_answer_that_is_no_list_fails_by_its_name_before_anything_is_measured(awx: Awx) -> None:
    job = awx.launch("vLLM validate", {"survey_vllm_validation_objectives": "faster, please"})
    assert job.status == "failed"
    assert "vllm_validation_objectives" in job.output
    assert "vllm_validation" not in job.artifacts


def test_a_comparison_publishes_its_verdicts(awx: Awx) -> None:
    before = {"profile": "after", "gpu_memory_budget": 0.9999, "on_overcommit": "refuse"}
    sides = {"survey_vllm_experiment_before": json.dumps(before), "survey_vllm_experiment_after": "after"}
    serving = main_pid()
    job = awx.launch("vLLM compare", {**sides, **MEASURED, "vllm_experiment_rounds": 1}, ENGINE_KEY)
    assert job.status == "successful", job.output
    rows = job.artifacts["vllm_comparison"][HOST]
    assert {row["verdict"] for row in rows} == {"could not start"}
    assert all("bytes) missing" in row["reason"] for row in rows)
    assert (in_force(), main_pid()) == (1, serving), "the host serves what it served, and never stopped"
    assert KEY not in job.record


def test_a_search_publishes_the_layout_to_review(awx: Awx) -> None:
    budget = {"vllm_experiment_seconds": 300, "vllm_experiment_candidates": 1}
    within = {"survey_vllm_experiment_within": json.dumps({"end_to_end_seconds": 60})}
    job = awx.launch("vLLM tune", {**MEASURED, **budget, **within}, ENGINE_KEY)
    assert job.status == "successful", job.output
    assert job.artifacts["vllm_tuning"][HOST]["changes"] == {}, "the only layout is the stated one"
    assert in_force() == 1


def test_the_status_is_what_the_engines_say(awx: Awx) -> None:
    job = awx.launch("vLLM status", {"vllm_hosts": HOST})
    assert job.status == "successful", job.output
    (service,) = job.artifacts["vllm_endpoints"][HOST]
    assert service["healthy"] is True
    assert KEY not in job.record


def test_a_teardown_leaves_no_service(awx: Awx) -> None:
    job = awx.launch("vLLM teardown", {"vllm_services_purge": "false"})
    assert job.status == "successful", job.output
    left = on_host("systemctl", "list-units", "--all", "--plain", "--no-legend", "vllm*").stdout.strip()
    assert left == ""


def statuses(jobs: Mapping[str, Job]) -> dict[str, str]:
    return {name: job.status for name, job in jobs.items()}


def objective(limit: Mapping[str, float], metric: str = "end_to_end_p50_seconds") -> dict[str, str]:
    """Return the answer to the survey that states one."""
    stated = {"service": "micro", "metric": metric, **limit}
    return {"survey_vllm_validation_objectives": json.dumps([stated])}


def outcomes(job: Job) -> tuple[bool, list[str]]:
    """Return whether a validation passed, and the outcome of each objective, as it published them."""
    verdict = job.artifacts["vllm_validation"][HOST]
    return verdict["passed"], [found["outcome"] for found in verdict["objectives"]]


def on_host(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", "exec", HOST, *command], capture_output=True, text=True, check=False)


def in_force() -> int:
    return int(on_host("readlink", "/etc/vllm/current").stdout.strip().rpartition("/")[2])


def main_pid() -> int:
    return int(on_host("systemctl", "show", "--property=MainPID", "--value", "vllm@micro").stdout)


def answers(address: str, key: str) -> str:
    """Return the HTTP status with which a service answers a client that has this key."""
    ask = (
        "import sys, urllib.error, urllib.request as r\n"
        "q = r.Request(sys.argv[1] + '/models', headers={'Authorization': 'Bearer ' + sys.argv[2]})\n"
        "try: print(r.urlopen(q, timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    return on_host("python3", "-c", ask, address, key).stdout.strip()
