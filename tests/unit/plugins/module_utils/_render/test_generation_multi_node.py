# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a service on several hosts: what each engine is told, and who reaches whom."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._generation.unit_links import UnitLinks
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import DEFAULT_ANSWERS
from ansible_collections.llmops.inference.plugins.module_utils._host.network import read_interfaces
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths
from ansible_collections.llmops.inference.plugins.module_utils._render import generation
from ansible_collections.llmops.inference.plugins.module_utils._render.engine_config import check_engine_args
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket
from ansible_collections.llmops.inference.tests.unit import scene

ADDRESSES = ["10.0.0.1", "10.0.0.2"]
ENGINE = Engine("0.32.0", "vllm", "cuda", "/opt/vllm/0.32.0", frozenset({"nnodes"}))


def rendered(rank: int, addresses: list[str] | None = None, **keys: Any) -> dict[str, File]:
    """The files of one of two hosts that run 8B in two stages."""
    group = {"node_rank": rank, "addresses": addresses or ADDRESSES}
    group.update({key: keys.pop(key) for key in ("executor", "master_port") if key in keys})
    service = scene.service(
        "large", scene.QWEN3_8B, multi_node=group, pipeline_parallel_size=2, max_model_len=8192, port=8001, **keys
    )
    made = scene.planned([service], scene.box(80))
    assert made.fits, made.refusals
    interfaces = {"127.0.0.1": "lo", f"10.0.0.{rank + 1}": f"eth{rank}"}
    box = generation.Box(ENGINE, Paths(), {"GPU-00000000": 4}, DEFAULT_ANSWERS, b"key", interfaces)
    return generation.generation(made, scene.parsed([service]), box, {})


def config(files: Mapping[str, File]) -> dict[str, Any]:
    return dict(yaml.safe_load(files["services/large/engine.yaml"].text))


def ticket(files: Mapping[str, File]) -> Ticket:
    return Ticket.from_json(files["services/large/guard.json"].text)


def drop_in(files: Mapping[str, File]) -> list[str]:
    return files["systemd/vllm@large.service.d/10-plan.conf"].text.splitlines()


def test_both_engines_meet_on_the_first_host_and_that_one_answers() -> None:
    first, second = config(rendered(0)), config(rendered(1))
    for rank, values in enumerate((first, second)):
        assert values["nnodes"] == 2
        assert values["node-rank"] == rank
        assert (values["master-addr"], values["master-port"]) == ("10.0.0.1", 29501)
        assert values["pipeline-parallel-size"] == 2
        assert values["distributed-executor-backend"] == "mp"
    assert (first["host"], first["port"]) == ("127.0.0.1", 8001)
    assert "headless" not in first
    assert second["headless"] is True
    assert not {"host", "port", "uds"} & set(second)


def test_ranks_meet_on_the_interface_that_has_the_address() -> None:
    environment = rendered(1)["services/large/environment"].text
    for line in ('GLOO_SOCKET_IFNAME="eth1"', 'NCCL_SOCKET_IFNAME="eth1"', 'VLLM_HOST_IP="10.0.0.2"'):
        assert line in environment


def test_an_address_that_the_host_does_not_have_is_refused() -> None:
    with pytest.raises(
        InferenceError, match=r"no network interface of this host has 10\.0\.0\.9, .*it has 10\.0\.0\.1"
    ):
        rendered(0, ["10.0.0.9", "10.0.0.2"])


def test_only_the_hosts_of_the_service_reach_its_units() -> None:
    files = rendered(0, host="192.0.2.1", allow_from=["192.0.2.7"])
    allowed = [line.partition("=")[2] for line in drop_in(files) if line.startswith("IPAddressAllow=")]
    assert allowed == ["localhost", *ADDRESSES, "192.0.2.1", "192.0.2.7/32"]
    assert "IPAddressDeny=any" in drop_in(files)
    other = drop_in(rendered(1, host="192.0.2.1", allow_from=["192.0.2.7"]))
    assert [line for line in other if "192.0.2" in line] == [], "nobody asks the second host"
    unit = files["systemd/vllm-group@.service"].text
    assert [line for line in unit.splitlines() if line.startswith("IPAddress")] == [
        *(f"IPAddressAllow={address}" for address in ADDRESSES),
        "IPAddressDeny=any",
    ]


def test_the_group_comes_with_the_service_and_the_watchdog_looks_where_requests_go() -> None:
    for rank, watched in ((0, True), (1, False)):
        files = rendered(rank)
        lines = drop_in(files)
        assert "Wants=vllm-group@large.service" in lines
        assert ("Wants=vllm-watchdog@large.timer" in lines) is watched
        assert ticket(files).watchdog.enabled is watched
        assert ticket(files).answers is watched


def test_hosts_that_were_given_the_same_know_it() -> None:
    digests = [(ticket(rendered(rank)).group or pytest.fail("no group")).digest for rank in (0, 1)]
    assert digests[0] == digests[1]
    other = ticket(rendered(1, max_num_seqs=17)).group
    assert other is not None
    assert other.digest != digests[0]


def test_a_start_may_wait_for_the_first_host_as_long_as_that_may_take() -> None:
    assert "TimeoutStartSec=1800" in drop_in(rendered(1))


def test_who_follows_tries_as_long_as_the_first_does() -> None:
    assert "StartLimitIntervalSec=0" in drop_in(rendered(1))
    assert "StartLimitIntervalSec=0" not in drop_in(rendered(0))


def test_an_engine_that_knows_no_other_hosts_is_refused() -> None:
    group = {"node_rank": 0, "addresses": ADDRESSES}
    service = scene.parsed([scene.service("large", scene.QWEN3_8B, multi_node=group, tensor_parallel_size=2)])[0]
    check_engine_args(service, ENGINE)
    with pytest.raises(InferenceError, match="has no flag 'nnodes'"):
        check_engine_args(service, replace(ENGINE, flags=frozenset()))


def test_interfaces_are_read_from_ip() -> None:
    out = """[{"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1"}]},
              {"ifname": "ib0", "addr_info": [{"local": "10.0.0.1"}, {"local": "fe80::1"}, {}]}, {"ifname": "tap0"}]"""
    assert read_interfaces(lambda command: (0, out, "")) == {"127.0.0.1": "lo", "10.0.0.1": "ib0", "fe80::1": "ib0"}
    with pytest.raises(InferenceError, match="no such command"):
        read_interfaces(lambda command: (1, "", "no such command"))


# Where Ray starts the ranks.

RAY = replace(ENGINE, ray="2.60.0")


def ray_unit(files: Mapping[str, File], name: str) -> list[str]:
    return files[f"systemd/vllm-ray-{name}.service"].text.splitlines()


def test_ray_begins_on_the_first_host_and_the_others_join() -> None:
    head, worker = rendered(0, executor="ray"), rendered(1, executor="ray")
    assert "systemd/vllm-ray-worker.service" not in head
    assert "systemd/vllm-ray-head.service" not in worker
    start = next(line for line in ray_unit(head, "head") if line.startswith("ExecStart="))
    assert start == (
        "ExecStart=/opt/vllm/0.32.0/bin/ray start --head --port=29501 --node-ip-address=10.0.0.1 --num-gpus=1 "
        "--object-store-memory=268435456 --temp-dir=/run/vllm/ray --disable-usage-stats --include-dashboard=false "
        "--block"
    )
    start = next(line for line in ray_unit(worker, "worker") if line.startswith("ExecStart="))
    assert " --address=10.0.0.1:29501 --node-ip-address=10.0.0.2 " in start


def test_only_the_hosts_of_the_service_reach_ray_and_it_has_its_gpus_only() -> None:
    lines = ray_unit(rendered(1, executor="ray"), "worker")
    assert [line for line in lines if line.startswith("IPAddress")] == [
        "IPAddressAllow=localhost",
        *(f"IPAddressAllow={address}" for address in ADDRESSES),
        "IPAddressDeny=any",
    ]
    assert "DeviceAllow=/dev/nvidia4 rw" in lines
    assert "StopWhenUnneeded=yes" in lines


def test_the_engine_on_the_first_host_asks_ray_and_the_others_hold_their_devices() -> None:
    head, worker = rendered(0, executor="ray"), rendered(1, executor="ray")
    values = config(head)
    assert values["distributed-executor-backend"] == "ray"
    assert not {"nnodes", "node-rank", "master-addr", "headless"} & set(values)
    assert 'RAY_ADDRESS="10.0.0.1:29501"' in head["services/large/environment"].text
    assert "Requires=vllm-ray-head.service" in drop_in(head)
    assert "ReadWritePaths=/run/vllm/ray" in drop_in(head)
    assert not [line for line in drop_in(head) if line.startswith("ProtectProc=")], "with GPUs it sees Ray as it is"
    assert "ExecStart=/opt/vllm/0.32.0/bin/vllm serve --config /etc/vllm/current/services/%i/engine.yaml" in drop_in(
        head
    )
    assert "Requires=vllm-ray-worker.service" in drop_in(worker)
    assert "ExecStart=/opt/vllm/tools/bin/python -B /etc/vllm/current/lib/vllm_guard hold %i" in drop_in(worker)


def test_another_ray_unit_is_another_start_of_the_service() -> None:
    assert ticket(rendered(0, executor="ray")).digest != ticket(rendered(0, executor="ray", master_port=29511)).digest


def test_rays_unit_is_linked_where_there_is_one(tmp_path: Path) -> None:
    links = UnitLinks(Paths(unit_directory=str(tmp_path), quadlet_directory=str(tmp_path)))

    def linked(files: Mapping[str, File]) -> set[str]:
        return {Path(link).name for link in links.differences(files)}

    assert linked(rendered(0, executor="ray")) - linked(rendered(0)) == {"vllm-ray-head.service"}


def test_an_engine_without_ray_is_refused() -> None:
    group = {"node_rank": 0, "addresses": ADDRESSES, "executor": "ray"}
    service = scene.parsed([scene.service("large", scene.QWEN3_8B, multi_node=group, tensor_parallel_size=2)])[0]
    check_engine_args(service, RAY)
    with pytest.raises(InferenceError, match="has no Ray; state its version as vllm_runtime_ray_version"):
        check_engine_args(service, ENGINE)


def test_a_host_takes_part_in_one_ray_cluster() -> None:
    group = {"node_rank": 0, "addresses": ADDRESSES, "executor": "ray"}
    layout = [
        scene.service(name, scene.QWEN3_8B, tensor_parallel_size=2, multi_node={**group, "master_port": port})
        for name, port in (("one", 29501), ("two", 29511))
    ]
    with pytest.raises(InferenceError, match="executor: ray is also that of service 'one'"):
        scene.parsed(layout)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("executor", ["mp", "ray"])
@pytest.mark.parametrize("rank", [0, 1])
def test_units_are_sandboxed(tmp_path: Path, executor: str, rank: int) -> None:
    files = rendered(rank, executor=executor)
    service = files["systemd/vllm@.service"].text + files["systemd/vllm@large.service.d/10-plan.conf"].text
    ray = {Path(name).name: file.text for name, file in files.items() if name.startswith("systemd/vllm-ray-")}
    assert len(ray) == (executor == "ray")
    group = files["systemd/vllm-group@.service"].text
    for name, text in {"vllm@large.service": service, "vllm-group@large.service": group, **ray}.items():
        (tmp_path / name).write_text(text)
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=17", str(tmp_path / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout[-200:] + said.stderr
