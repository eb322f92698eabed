# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference box as a user finds it after one play: three engines that answer, configured word for word."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.tests.testbed.plays import ROOT, Site
from testinfra.host import Host

testinfra_hosts = ["podman://reference-box"]

UUIDS = [f"GPU-a1f3c0de-0000-4000-8000-00000000000{index}" for index in range(3)]
PORTS = {"medium": 8001, "mini": 8002, "micro": 8003}
DEVICES = {"medium": UUIDS[:2], "mini": UUIDS[2:], "micro": UUIDS[2:]}
ROPE = {
    "max_position_embeddings": 131072,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32768,
        "rope_theta": 1000000,
    },
}
SERVICES = pytest.mark.parametrize("service", PORTS)


def config(host: Host, service: str) -> dict[str, Any]:
    return dict(yaml.safe_load(host.file(f"/etc/vllm/current/services/{service}/engine.yaml").content_string))


def environment(host: Host, service: str) -> dict[str, str]:
    lines = host.file(f"/etc/vllm/current/services/{service}/environment").content_string.splitlines()
    return {name: value.strip('"') for name, _equals, value in (line.partition("=") for line in lines)}


def properties(host: Host, service: str) -> dict[str, str]:
    shown = host.check_output(f"systemctl show vllm@{service}.service")
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def plan(host: Host) -> dict[str, Any]:
    return dict(json.loads(host.file("/etc/vllm/current/plan.json").content_string))


@SERVICES
def test_it_answers_in_the_words_of_a_client(host: Host, service: str) -> None:
    ask = (
        "import json, urllib.request as u; r = u.Request("
        f"'http://127.0.0.1:{PORTS[service]}/v1/chat/completions', json.dumps({{'model': '{service}', 'max_tokens': 8,"
        "'ignore_eos': True, 'messages': [{'role': 'user', 'content': 'Hello'}]}).encode(),"
        "{'Content-Type': 'application/json'}); print(u.urlopen(r, timeout=60).read().decode())"
    )
    answer = json.loads(host.check_output(f'python3 -c "{ask}"'))
    assert answer["model"] == service
    assert answer["usage"]["completion_tokens"] == 8


@SERVICES
def test_its_engine_is_configured_as_the_reference_says(host: Host, service: str) -> None:
    engine = config(host, service)
    assert engine["port"] == PORTS[service]
    assert engine["tensor-parallel-size"] == len(DEVICES[service])
    assert engine["max-model-len"] == 131072, "on 80 GB all three have room for it"
    assert engine["hf-overrides"] == ROPE
    assert engine["reasoning-parser"] == "qwen3"


@SERVICES
def test_its_devices_are_uuids_in_the_order_of_the_bus(host: Host, service: str) -> None:
    variables = environment(host, service)
    assert variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert variables["CUDA_VISIBLE_DEVICES"].split(",") == DEVICES[service]
    running = host.check_output(
        f"cat /proc/$(systemctl show --value -p MainPID vllm@{service})/environ | tr '\\0' '\\n'"
    )
    assert f"CUDA_VISIBLE_DEVICES={','.join(DEVICES[service])}" in running.splitlines()


def test_the_shares_of_a_gpu_stay_within_its_budget_and_its_memory(host: Host) -> None:
    made = plan(host)
    share = {service["name"]: config(host, service["name"])["gpu-memory-utilization"] for service in made["services"]}
    assert share["medium"] <= 0.99
    assert share["mini"] + share["micro"] <= 0.99
    for device in made["devices"]:
        here = [service for service in made["services"] if device["id"] in service["devices"]]
        outside = sum(service["memory"]["context"] + service["memory"]["nccl"] for service in here)
        inside = sum(share[service["name"]] * device["total_bytes"] for service in here)
        assert inside + outside <= device["total_bytes"], "every one can restart while the others hold theirs"


@SERVICES
def test_its_unit_restarts_always_and_stops_gently(host: Host, service: str) -> None:
    unit = properties(host, service)
    assert unit["Restart"] == "always"
    assert unit["KillMode"] == "mixed"
    assert unit["OOMPolicy"] == "kill"
    assert unit["User"] == "vllm"
    assert unit["TimeoutStopUSec"] == "50s", "the engine's own 30 s and a margin"
    assert unit["NRestarts"] == "0"
    assert unit["ExecStartPre"].count("vllm_guard admit") == 1
    after = host.check_output(f"systemctl show --property=ExecStartPost vllm@{service}")
    assert [after.count(command) for command in ("vllm_guard ready", "systemctl reset-failed")] == [1, 1]


@SERVICES
def test_it_may_open_its_own_gpus_and_no_other(host: Host, service: str) -> None:
    unit = properties(host, service)
    allowed = host.file(f"/etc/systemd/system/vllm@{service}.service.d/10-plan.conf").content_string
    minors = {index for index in range(3) if f"DeviceAllow=/dev/nvidia{index} rw" in allowed}
    assert minors == {UUIDS.index(uuid) for uuid in DEVICES[service]}
    assert unit["DevicePolicy"] == "closed"


def test_those_that_share_a_gpu_start_one_after_the_other_and_the_rest_side_by_side(host: Host) -> None:
    units = {service: properties(host, service) for service in PORTS}

    def began(service: str) -> int:
        return int(units[service]["ExecMainStartTimestampMonotonic"])

    def ready(service: str) -> int:
        return int(units[service]["ActiveEnterTimestampMonotonic"])

    assert "vllm@mini.service" in units["micro"]["After"].split()
    assert ready("mini") <= began("micro")
    assert began("medium") < ready("mini")
    assert began("mini") < ready("medium")


def test_the_target_starts_them_at_boot(host: Host) -> None:
    wants = host.check_output("systemctl show --value -p Wants vllm.target").split()
    assert sorted(wants) == ["vllm@medium.service", "vllm@micro.service", "vllm@mini.service"]
    assert host.service("vllm.target").is_enabled


def test_systemd_reads_the_units_through_the_link_and_finds_nothing_wrong(host: Host) -> None:
    assert host.file("/etc/systemd/system/vllm@.service").linked_to.startswith("/etc/vllm/generations/")
    checked = host.run("systemd-analyze verify vllm@medium.service vllm@mini.service vllm@micro.service vllm.target")
    assert (checked.rc, checked.stderr) == (0, "")


def test_its_exposure_is_below_the_bar(host: Host) -> None:
    lines = host.check_output("systemd-analyze security --no-pager vllm@medium.service").splitlines()
    assert float(lines[-1].split(":")[1].split()[0]) < 1.7


@SERVICES
def test_files_belong_to_root_and_are_for_the_group_only(host: Host, service: str) -> None:
    for name in ("engine.yaml", "environment", "guard.json"):
        file = host.file(f"/etc/vllm/current/services/{service}/{name}")
        assert (file.user, file.group, file.mode) == ("root", "vllm", 0o640)


def test_a_measurement_tells_the_energy_that_its_own_gpu_took() -> None:
    # The stand-in's GPU draws 350 W all the time, as tests/nvml/boxes/reference.box says.
    load = {"requests": 20, "seconds": 10, "input_tokens": 32, "output_tokens": 32}
    (made,) = Site("reference", "reference-box").module("vllm_benchmark", services=["micro"], load=load)["results"]
    (one,) = made["services"]
    assert {request["status"] for request in one["requests"]} == {"completed"}
    # Taken from the load's own lines, which are seen to a second at both of its ends.
    assert made["energy_joules"] == pytest.approx(350 * one["duration_seconds"], abs=350 * 2.5)
    assert [device["device"] for device in made["memory"]] == DEVICES["micro"]
    report = result_report([made])
    tokens = sum(request["tokens_out"] for request in one["requests"])
    (row,) = [row for row in report["summary"] if row["metric"] == "energy_joules_per_1000_tokens"]
    assert row["value"]["value"] == pytest.approx(1000 * made["energy_joules"] / tokens)


def test_the_profiles_before_and_after_are_compared_and_what_cannot_start_is_named_in_bytes(tmp_path: Path) -> None:
    box = Site("reference", "reference-box")
    served = (box.info()["generation"], box.pids())
    ended = box.play(
        "playbooks/compare.yml",
        f"--inventory={ROOT / 'inventories' / 'reference'}",
        vllm_experiment_rounds=1,
        # The reference text of 131072 tokens would keep this CPU for hours.
        vllm_experiment_quality=False,
        vllm_experiment_directory=str(tmp_path),
        vllm_validation_loads={
            "standard": {"requests": 8, "seconds": 60, "input_tokens": 32, "output_tokens": 16, "warmup_requests": 2}
        },
    )
    assert ended.status == 0, ended.output
    assert (box.info()["generation"], box.pids()) == served, "nothing was stopped for it"
    report = json.loads((tmp_path / "compare-reference-box.json").read_text(encoding="utf-8"))
    found = {(row["service"], row["metric"]): row for row in report["comparison"] if row["verdict"]}
    assert {service for service, _metric in found} == set(PORTS)
    for row in found.values():
        assert row["verdict"] == "could not start"
        assert "does not start with the budget 0.9999" in row["reason"]
        assert "bytes) missing" in row["reason"]
    for service in PORTS:
        assert found[service, "output_tokens_per_second"]["before"] is None
        assert found[service, "output_tokens_per_second"]["after"]["value"] > 0
        assert found[service, "end_to_end_p50_seconds"]["after"]["value"] > 0


def test_a_service_whose_worker_is_killed_serves_again_and_its_neighbours_do_not_notice(host: Host) -> None:
    before = {service: properties(host, service) for service in PORTS}
    # Only a service over several devices has workers of this name.
    host.check_output("kill -KILL $(pgrep --uid vllm --oldest VLLM::Worker_TP)")
    deadline = time.monotonic() + 240
    while True:
        now = properties(host, "medium")
        if now["ActiveState"] == "active" and now["InvocationID"] != before["medium"]["InvocationID"]:
            break
        assert time.monotonic() < deadline, now
        time.sleep(1)
    written = host.check_output(f"journalctl --output=cat _SYSTEMD_INVOCATION_ID={before['medium']['InvocationID']}")
    assert "unexpectedly" in written
    assert [properties(host, service)["MainPID"] for service in ("mini", "micro")] == [
        before[service]["MainPID"] for service in ("mini", "micro")
    ]
