# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model on two hosts: it answers, either host may lose its engine, and nothing is left that should not be.

The tests run in the order in which they stand here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.tests.testbed.plays import Site, await_that

SCENARIO = Path(__file__).parents[1]
NAME, PORT, GROUP_PORT = "large", 8001, 29502
ADDRESSES = {"multihost-a": "10.89.96.91", "multihost-b": "10.89.96.92"}
BACK_SECONDS = 400
ALLOWED_EXPOSURE = 1.7

testinfra_hosts = ["podman://multihost-a"]


@pytest.fixture(scope="module", name="sites")
def _sites() -> dict[str, Site]:
    return {name: Site("multihost", name) for name in ADDRESSES}


@pytest.fixture(name="leader")
def _leader(sites: dict[str, Site]) -> Site:
    return sites["multihost-a"]


@pytest.fixture(name="follower")
def _follower(sites: dict[str, Site]) -> Site:
    return sites["multihost-b"]


def engine_config(site: Site) -> dict[str, Any]:
    return dict(yaml.safe_load(site.run(f"cat /etc/vllm/current/services/{NAME}/engine.yaml")))


def shown(site: Site, name: str, unit: str = f"vllm@{NAME}.service") -> str:
    return site.run(f"systemctl show --value --property={name} {unit}")


def chat(site: Site) -> dict[str, Any]:
    """Ask for a chat completion on the leader."""
    body = {"model": NAME, "messages": [{"role": "user", "content": "Name a prime."}], "max_tokens": 8}
    command = f"""python3 -c '
import json, sys, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:{PORT}/v1/chat/completions", sys.argv[1].encode(), {{"Content-Type": "application/json"}})
print(urllib.request.urlopen(request, timeout=60).read().decode())' '{json.dumps(body)}'"""
    return dict(json.loads(site.run(command)))


def workers(site: Site) -> list[str]:
    return site.run("pgrep VLLM::Worker || true").split()


def serving_anew(sites: dict[str, Site], before: dict[str, str]) -> Callable[[], bool]:
    """Whether both hosts serve with another start than before."""

    def is_so() -> bool:
        return all(
            shown(site, "ActiveState") == "active" and shown(site, "InvocationID") != before[name]
            for name, site in sites.items()
        )

    return is_so


def starts(sites: dict[str, Site]) -> dict[str, str]:
    return {name: shown(site, "InvocationID") for name, site in sites.items()}


def said(site: Site, what: str) -> str:
    return site.run(f"journalctl --no-pager --output=cat --identifier=vllm-group-{NAME} | grep -F '{what}' || true")


def test_a_chat_is_answered_by_both_halves(sites: dict[str, Site], leader: Site) -> None:
    answer = chat(leader)
    assert answer["usage"]["completion_tokens"] > 0
    assert all(len(workers(site)) == 1 for site in sites.values())


def test_each_host_has_planned_and_loaded_half_of_the_weights(sites: dict[str, Site]) -> None:
    plans = [json.loads(site.run("cat /etc/vllm/current/plan.json"))["services"][0] for site in sites.values()]
    assert [(plan["nodes"], plan["node_rank"], plan["tensor_parallel_size"]) for plan in plans] == [
        (2, 0, 2),
        (2, 1, 2),
    ]
    files = "cat /srv/models/qwen3-mini/*.safetensors | wc -c"
    whole = int(sites["multihost-a"].run(files))
    for plan in plans:
        # Norms and such are on both.
        assert whole / 2 <= plan["memory"]["weights"] <= whole * 0.52
    assert plans[0]["kv_cache_tokens"] == plans[1]["kv_cache_tokens"]


def test_the_engine_has_the_cache_that_the_plans_foretold(sites: dict[str, Site], leader: Site) -> None:
    planned = json.loads(leader.run("cat /etc/vllm/current/plan.json"))["services"][0]["kv_cache_tokens"]
    actual = leader.info()["services"][0]["actual"]["kv_cache_tokens"]
    assert actual == pytest.approx(planned, rel=0.2)


def test_the_second_host_answers_nobody(follower: Site) -> None:
    config = engine_config(follower)
    assert config["headless"] is True
    assert "port" not in config
    assert str(PORT) not in follower.run("ss -Hltn")
    service = follower.info()["services"][0]
    assert (service["state"], service["healthy"], service["address"]) == ("serving", True, None)


def told(where: str, address: str) -> str:
    """What a host is told at the group's port of an address."""
    script = f'import socket; print(socket.create_connection(("{address}", {GROUP_PORT}), 3).recv(4096).decode())'
    command = ["podman", "exec", where, "python3", "-c", script] if where else ["python3", "-c", script]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_only_the_hosts_of_the_service_reach_each_other(sites: dict[str, Site]) -> None:
    for name, site in sites.items():
        for unit in (f"vllm@{NAME}.service", f"vllm-group@{NAME}.service"):
            assert set(shown(site, "IPAddressDeny", unit).split()) == {"::/0", "0.0.0.0/0"}
            allowed = shown(site, "IPAddressAllow", unit).split()
            assert {address.partition("/")[0] for address in allowed} >= set(ADDRESSES.values())
        other = next(host for host in ADDRESSES if host != name)
        assert json.loads(told(other, ADDRESSES[name]))["state"] == "serving"
        # This machine has an address in their network, and is none of them.
        assert told("", ADDRESSES[name]) == ""


@pytest.mark.parametrize("unit", [f"vllm@{NAME}.service", f"vllm-group@{NAME}.service"])
def test_units_expose_little(sites: dict[str, Site], unit: str) -> None:
    for site in sites.values():
        summary = site.run(f"systemd-analyze security --no-pager {unit} | tail -1")
        assert float(summary.partition(": ")[2].split()[0]) <= ALLOWED_EXPOSURE, summary


def test_a_killed_rank_takes_the_others_with_it_and_all_serve_again(
    sites: dict[str, Site], leader: Site, follower: Site
) -> None:
    before = starts(sites)
    follower.run(f"kill -9 {workers(follower)[0]}")
    await_that(serving_anew(sites, before), "both hosts serve again", BACK_SECONDS)
    assert f"{ADDRESSES['multihost-b']} has lost its part of this start" in said(leader, "has lost its part")
    assert chat(leader)["usage"]["completion_tokens"] > 0


def test_a_killed_leader_is_joined_again(sites: dict[str, Site], leader: Site, follower: Site) -> None:
    before = starts(sites)
    leader.run(f"kill -9 {shown(leader, 'MainPID')}")
    await_that(serving_anew(sites, before), "both hosts serve again", BACK_SECONDS)
    assert said(follower, "killing process")
    assert chat(leader)["usage"]["completion_tokens"] > 0


def test_what_one_of_the_hosts_refuses_changes_neither(sites: dict[str, Site], leader: Site) -> None:
    before = starts(sites)
    changes = {NAME: {"gpu_memory_utilization": "{{ 0.09 if inventory_hostname == 'multihost-a' else 0.01 }}"}}
    ended = leader.play("playbooks/site.yml", "--limit=vllm", vllm_hosts="vllm", vllm_services_changes=changes)
    assert ended.status != 0
    assert "cannot change with it: it failed, or is not in this batch" in ended.flat
    assert starts(sites) == before


def test_one_host_alone_is_not_given_another_configuration(sites: dict[str, Site], leader: Site) -> None:
    before = starts(sites)
    ended = leader.play("playbooks/site.yml", vllm_services_changes={NAME: {"max_num_seqs": 4}})
    assert ended.status != 0
    assert "multihost-b cannot change with it" in ended.flat
    assert starts(sites) == before


def test_after_the_teardown_nothing_is_left(sites: dict[str, Site], leader: Site) -> None:
    ended = leader.play("playbooks/teardown.yml", "--limit=vllm", vllm_hosts="vllm")
    assert ended.status == 0, ended.output
    for site in sites.values():
        assert site.run("systemctl list-units --all --plain --no-legend 'vllm*'") == ""
        assert site.run("pgrep --full '[V]LLM|[v]llm_guard' || true") == ""
        assert site.run("ls /etc/systemd/system | grep vllm || true") == ""
