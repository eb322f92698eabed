# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs on a systemd host with a real engine, in the order of its life.

Each test goes on where the one before it ended.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.awx.awx_job import Awx
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

HOST = "llmops-awx"
KEY = "canary-8c21e5"
ENGINE_KEY = {"vLLM engine API key": {"api_key": KEY}, "Model hub token": {}}


@pytest.fixture(scope="module")
def awx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awx]:
    """AWX with one host, and the collection that reaches it."""
    host = str(ROOT / "tests" / "testbed" / "host")
    subprocess.run([host, "up", HOST, "bookworm", "--engine", "--models", "--ip=10.89.96.70"], check=True)
    awx = Awx(tmp_path_factory.mktemp("awx") / "runner", Path(__file__).with_name("inventory") / "hosts.yml")
    awx.require("containers/podman")
    yield awx
    print(
        on_host("journalctl", "--unit", "vllm@micro", "--lines", "80", "--no-pager").stdout
    )  # shown where a test failed
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


def test_the_host_is_planned_as_it_is(awx: Awx) -> None:
    job = awx.launch("vLLM plan", {"vllm_services_profile": "before"}, ENGINE_KEY)
    assert job.status == "successful", job.output
    (service,) = job.artifacts["vllm_plans"][HOST]["services"]
    assert service["name"] == "micro"
    assert service["gpu_memory_utilization"] <= 0.2


def test_a_deployment_publishes_endpoints_that_want_the_credentials_key_and_never_shows_it(awx: Awx) -> None:
    job = awx.launch("vLLM deploy", credentials=ENGINE_KEY)
    assert job.status == "successful", job.output
    (service,) = job.artifacts["vllm_endpoints"][HOST]
    assert (service["name"], service["healthy"]) == ("micro", True)
    assert answers(service["address"], KEY) == "200"
    assert answers(service["address"], "another") == "401"
    assert KEY not in job.record
    assert job.artifacts["vllm_services_generations"] == {HOST: {"before": None, "in_force": 1}}


def test_a_first_deployment_has_nothing_to_undo(awx: Awx) -> None:
    job = awx.launch("vLLM rollback", prompted={"vllm_services_generations": {HOST: {"before": None, "in_force": 1}}})
    assert job.status == "successful", job.output
    assert "stays as it is" in job.output
    assert "changed=0" in job.output


def test_the_same_deployment_again_changes_nothing(awx: Awx) -> None:
    job = awx.launch("vLLM deploy", credentials=ENGINE_KEY)
    assert job.status == "successful", job.output
    assert "changed=0" in job.output


def test_a_second_deployment_is_undone_by_what_it_published_and_only_where_it_was_made(awx: Awx) -> None:
    second = awx.launch("vLLM deploy", {"vllm_services_profile": "before"}, ENGINE_KEY)
    assert second.status == "successful", second.output
    published = {name: second.artifacts[name] for name in ("vllm_services_generations",)}
    assert published == {"vllm_services_generations": {HOST: {"before": 1, "in_force": 2}}}
    elsewhere = {"vllm_services_generations": {"another": {"before": 6, "in_force": 7}}}
    untouched = awx.launch("vLLM rollback", prompted=elsewhere)
    assert "changed=0" in untouched.output
    assert in_force() == 2
    undone = awx.launch("vLLM rollback", prompted=published)
    assert undone.status == "successful", undone.output
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


def on_host(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", "exec", HOST, *command], capture_output=True, text=True, check=False)


def in_force() -> int:
    return int(on_host("readlink", "/etc/vllm/current").stdout.strip().rpartition("/")[2])


def answers(address: str, key: str) -> str:
    """Return the HTTP status with which a service answers a client that has this key."""
    ask = (
        "import sys, urllib.error, urllib.request as r\n"
        "q = r.Request(sys.argv[1] + '/v1/models', headers={'Authorization': 'Bearer ' + sys.argv[2]})\n"
        "try: print(r.urlopen(q, timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    url = address if address.startswith("http") else f"http://{address}"
    return on_host("python3", "-c", ask, url, key).stdout.strip()
