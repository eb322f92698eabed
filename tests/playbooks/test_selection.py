# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What --tags and --limit select of site.yml. Nothing is run but the plan of a recorded machine."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_8B

GATEWAY = "molecule/gateway/inventory.yml"
TOPOLOGY = ROOT / "tests" / "gpu" / "topologies" / "h100-80gb.json"
ROLES = {name: f"vllm_{name}" for name in ("runtime", "models", "services", "gateway", "monitoring")}
# Run by its name only: it asks the services for minutes.
ASKED_FOR = {"validate": "vllm_validation"}


def tasks(*arguments: str) -> list[str]:
    """Return the tasks that would be run, except those that check arguments, which are run always."""
    listed = ansible("ansible-playbook", "-i", GATEWAY, "site.yml", "--list-tasks", *arguments)
    found = [line.strip() for line in listed.splitlines() if "TAGS:" in line and "play #" not in line]
    return [task for task in found if "Validating arguments against arg spec" not in task]


def roles(*arguments: str) -> set[str]:
    """Return the roles whose tasks would be run."""
    names = [task.partition(" : ")[0] for task in tasks(*arguments) if " : " in task]
    return {name.removeprefix("llmops.inference.") for name in names}


@pytest.mark.parametrize(("tag", "role"), [*ROLES.items(), *ASKED_FOR.items()])
def test_a_tag_is_one_role_and_services_are_taken_back_into_the_gateways_first(tag: str, role: str) -> None:
    assert roles("--tags", tag) == {role} | ({"vllm_gateway"} if tag == "services" else set())


def test_several_tags_are_several_roles() -> None:
    assert roles("--tags", "runtime,models") == {"vllm_runtime", "vllm_models"}
    assert roles("--tags", "services,validate") == {"vllm_services", "vllm_gateway", "vllm_validation"}


def test_without_tags_everything_is_deployed_and_nothing_is_only_planned_or_measured() -> None:
    assert roles() == set(ROLES.values())
    assert not [task for task in tasks() if task.startswith("Plan the layout")]


def test_the_tag_plan_plans_and_changes_nothing() -> None:
    assert [task.partition("\t")[0] for task in tasks("--tags", "plan")] == ["Check every layout", "Plan the layout"]
    service = {"name": "mini", "model": "/models/mini", "port": 8002, "max_model_len": "fit", "geometry": QWEN3_8B}
    variables = {
        "vllm_services_layout": [service],
        "vllm_services_profiles": {"after": {}},
        "vllm_services_topology_file": str(TOPOLOGY),
        "vllm_hosts": "box",
    }
    said = ansible("ansible-playbook", "-i", "box,", "site.yml", "--tags", "plan", "-e", json.dumps(variables))
    assert "NVIDIA H100 80GB HBM3" in said
    assert "changed=0" in said


@pytest.mark.parametrize("host", ["gateway-a", "gateway"])
def test_a_limit_is_kept_by_every_play(host: str) -> None:
    listed = ansible("ansible-playbook", "-i", GATEWAY, "site.yml", "--list-hosts", "--limit", host)
    assert set(re.findall(r"^      (\S+)$", listed, re.MULTILINE)) == {host}


@pytest.mark.parametrize(("inventory", "hosts"), [("gateway", set()), ("monitoring", {"monitor", "monitored"})])
def test_monitoring_costs_nothing_where_nobody_watches(inventory: str, hosts: set[str]) -> None:
    path = f"molecule/{inventory}/inventory.yml"
    listed = ansible("ansible-playbook", "-i", path, "playbooks/monitoring.yml", "--list-hosts")
    assert set(re.findall(r"^      (\S+)$", listed, re.MULTILINE)) == hosts


def test_what_a_gateway_routes_does_not_depend_on_the_limit() -> None:
    ask = ["ansible", "-i", GATEWAY, "gateway", "-c", "local", "-m", "ansible.builtin.debug", "-a"]
    ask += ["msg={{ groups['vllm'] | llmops.inference.gateway_services(hostvars, 'gateway') | map(attribute='host') }}"]
    assert {"gateway-a", "gateway-b"} <= set(re.findall(r"gateway-[ab]", ansible(*ask, "--limit", "gateway")))


def test_a_host_that_is_not_in_the_inventory_is_no_success() -> None:
    said = ansible("ansible-playbook", "-i", GATEWAY, "site.yml", "--limit", "gateway-z", status=1)
    assert "gateway-z" in said


@pytest.mark.parametrize(
    ("tag", "misspelt", "meant"),
    [("runtime", "vllm_runtime_verison", "vllm_runtime_version"), ("models", "vllm_models_lst", "vllm_models_list")],
)
def test_a_misspelt_variable_is_refused_before_the_host_is_asked_for_anything(
    tag: str, misspelt: str, meant: str
) -> None:
    nowhere = ["-i", "box,", "-c", "ssh", "-e", "ansible_host=192.0.2.1 ansible_ssh_timeout=1 vllm_hosts=box"]
    said = ansible("ansible-playbook", *nowhere, "site.yml", "--tags", tag, "-e", f"{misspelt}=x", status=2)
    assert f"{misspelt} is no variable of the role vllm_{tag}; did you mean {meant}?" in " ".join(said.split())
    assert "unreachable=0" in said
