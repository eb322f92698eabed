# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks/awx.yml asks of an AWX: first, again, and after changes there; against a stub of its API."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.awx.awx_job import BIN, definitions, links_of
from ansible_collections.llmops.inference.tests.awx.stub_awx import StubAwx
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

SECRETS = {"awx_ssh_private_key": "an ssh key", "awx_engine_api_key": "canary-1", "awx_hub_token": "canary-2"}
(RELEASE,) = definitions("workflows")["workflows"]


@pytest.fixture(scope="module")
def stub() -> Iterator[StubAwx]:
    """One AWX; each test goes on where the one before it ended."""
    made = StubAwx()
    yield made
    made.close()


def run(stub: StubAwx, home: Path, **variables: Any) -> tuple[int, str]:
    """Run the playbook against it; return its status and its output."""
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".venv" / "collections"),
        "CONTROLLER_HOST": stub.address,
        "CONTROLLER_OAUTH_TOKEN": "any",
        "HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
    }
    stub.writes.clear()
    command = [str(BIN / "ansible-playbook"), str(ROOT / "playbooks" / "awx.yml"), "-e", json.dumps(variables)]
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_a_project_whose_first_sync_failed_is_told(stub: StubAwx, tmp_path: Path) -> None:
    stub.sync_fails = True
    status, output = run(stub, tmp_path, **SECRETS)
    assert status != 0
    assert "Project update failed" in output, output


def test_it_is_synced_again_by_the_next_run_which_makes_everything(stub: StubAwx, tmp_path: Path) -> None:
    stub.sync_fails = False
    status, output = run(stub, tmp_path, **SECRETS)
    assert status == 0, output
    project = stub.named("projects", "llmops.inference")
    assert f"POST {project['url']}update/" in stub.writes
    assert project["status"] == "successful"
    templates = {item["name"] for item in definitions("job_templates")["job_templates"]}
    assert {item["name"] for item in stub.objects["job_templates"].values()} == templates
    assert "canary" not in output


def test_the_workflow_is_linked_as_it_is_defined(stub: StubAwx) -> None:
    for node in RELEASE["nodes"]:
        for kind in ("success_nodes", "failure_nodes", "always_nodes"):
            wanted = [link["identifier"] for link in links_of(node, kind)]
            assert stub.followers(node["identifier"], kind) == wanted
    approval = next(iter(stub.objects["workflow_approval_templates"].values()))
    assert (approval["name"], approval["timeout"]) == ("Is this plan what we want?", 86400)


def test_the_second_run_changes_nothing(stub: StubAwx, tmp_path: Path) -> None:
    status, output = run(stub, tmp_path, **SECRETS)
    assert status == 0, output
    assert stub.writes == []
    assert "changed=0" in output


def choices(stub: StubAwx, kind: str, name: str) -> tuple[list[str], str]:
    (question,) = [one for one in stub.survey_of(kind, name)["spec"] if one["variable"] == "vllm_services_profile"]
    return question["choices"], question["default"]


def test_edits_made_in_awx_stay_and_are_told_and_profiles_of_the_inventory_can_be_chosen(
    stub: StubAwx, tmp_path: Path
) -> None:
    survey = stub.survey_of("job_templates", "vLLM deploy")
    survey["spec"][2]["default"] = "0.33.0"
    survey["description"] = ""  # as the form of AWX saves it
    assert choices(stub, "job_templates", "vLLM plan") == (["after", "before"], "after")
    profiles = {"vllm_services_profiles": {"small": {}, "large": {}}, "vllm_services_profile": "large"}
    inventory = stub.named("inventories", "GPU hosts")["id"]
    stub.make("groups", {"name": "vllm", "inventory": inventory, "variables": json.dumps(profiles)})
    status, output = run(stub, tmp_path)  # without any secret
    assert status == 0, output
    assert not [write for write in stub.writes if "credentials" in write]
    said = " ".join(output.split())
    assert "The survey of vLLM deploy was edited in AWX and stays as it is there. It differs in" in said
    assert "The survey of vLLM plan was edited" not in said
    assert stub.survey_of("job_templates", "vLLM deploy")["spec"][2]["default"] == "0.33.0"
    for kind, name in (("job_templates", "vLLM plan"), ("workflow_job_templates", "vLLM release")):
        assert choices(stub, kind, name) == (["small", "large"], "large")


def test_a_rotated_secret_a_survey_anew_and_an_inventory_with_its_own_name(stub: StubAwx, tmp_path: Path) -> None:
    own = {"awx_inventory_path": "inventories/fleet/hosts.yml", "awx_inventory_name": "Fleet"}
    rotated = {**SECRETS, "awx_engine_api_key": "canary-3"}
    status, output = run(stub, tmp_path, **rotated, **own, awx_overwrite_surveys=True)
    assert status == 0, output
    key = stub.named("credentials", "vLLM engine API key")
    assert [write for write in stub.writes if "credentials" in write] == [f"PATCH {key['url']}"]
    assert stub.secrets["vLLM engine API key"]["api_key"] == "canary-3"
    assert stub.secrets["GPU hosts"] == {"username": "root", "ssh_key_data": "an ssh key"}
    assert "canary" not in key["description"] + output
    assert stub.survey_of("job_templates", "vLLM deploy")["spec"][2]["default"] == "0.32.0"
    assert stub.named("inventories", "Fleet")["description"] == "Out of the project's inventories/fleet/hosts.yml."
    source = stub.named("inventory_sources", "inventories/fleet/hosts.yml")
    assert (source["source_path"], source["status"]) == (own["awx_inventory_path"], "successful")
    fleet = stub.named("inventories", "Fleet")["id"]
    assert {item["inventory"] for item in stub.objects["job_templates"].values()} == {fleet}
