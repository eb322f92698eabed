# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a generation: what the engine, systemd and the guard read, for the reference box and for a CPU."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils import _environment_file
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File, changed_paths
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import DEFAULT_ANSWERS
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths
from ansible_collections.llmops.inference.plugins.module_utils._render import generation, units
from ansible_collections.llmops.inference.plugins.module_utils._render.engine_config import (
    check_architecture,
    check_engine_args,
)
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket
from ansible_collections.llmops.inference.tests.unit import scene

FLAGS = frozenset({"uds", "enforce-eager", "enable-prefix-caching", "max-num-seqs", "hf-overrides", "seed"})
KEY = b"of this host"
MINORS = {f"GPU-{index:08x}": index + 4 for index in range(3)}


def engine(accelerator: str = "cuda", version: str = "0.32.0") -> Engine:
    return Engine(version, "vllm", accelerator, f"/opt/vllm/{version}", FLAGS)


def rendered(accelerator: str = "cuda", **keys: Any) -> dict[str, File]:
    """The files of the reference layout on three GPUs of 80 GiB, or on one NUMA node of 200 GiB."""
    layout = scene.reference_layout(**keys)
    topology = scene.box(80, 80, 80) if accelerator == "cuda" else scene.node(200, 190)
    if accelerator == "cpu":
        layout = [{key: value for key, value in item.items() if key != "gpus"} for item in layout]
    made = scene.planned(layout, topology, accelerator=accelerator)
    assert made.fits, made.refusals
    box = generation.Box(engine(accelerator), Paths(), MINORS, DEFAULT_ANSWERS, KEY)
    return generation.generation(made, scene.parsed(layout, accelerator), box, {"vllm_guard": "code"})


def rendered_for(version: str) -> dict[str, File]:
    """The same on GPUs, for another engine."""
    layout = scene.reference_layout()
    made = scene.planned(layout, scene.box(80, 80, 80), engine_version=version)
    box = generation.Box(engine(version=version), Paths(), MINORS, DEFAULT_ANSWERS, KEY)
    return generation.generation(made, scene.parsed(layout), box, {"vllm_guard": "code"})


def config(files: Mapping[str, File], service: str) -> dict[str, Any]:
    return dict(yaml.safe_load(files[f"services/{service}/engine.yaml"].text))


def digests(files: Mapping[str, File]) -> dict[str, str]:
    names = ("medium", "mini", "micro")
    return {name: json.loads(files[f"services/{name}/guard.json"].text)["digest"] for name in names}


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert changed_paths(rendered(), rendered()) == []


def test_the_engine_reads_the_plan_and_the_layout() -> None:
    medium = config(rendered(), "medium")
    assert medium["tensor-parallel-size"] == 2
    assert 0.9 < medium["gpu-memory-utilization"] <= 0.99
    assert medium["max-model-len"] == 131072
    assert medium["hf-overrides"]["rope_parameters"]["rope_theta"] == 1000000
    assert medium["host"] == "127.0.0.1"


def test_a_users_override_adds_to_the_ropes() -> None:
    overrides = config(rendered(engine_args={"hf-overrides": {"tie_word_embeddings": False}}), "mini")["hf-overrides"]
    assert overrides["tie_word_embeddings"] is False
    assert overrides["rope_parameters"]["rope_type"] == "yarn"


def test_gpus_are_named_by_uuid_and_ranks_meet_on_loopback() -> None:
    environment = rendered()["services/medium/environment"].text.splitlines()
    assert 'CUDA_VISIBLE_DEVICES="GPU-00000000,GPU-00000001"' in environment
    assert 'CUDA_DEVICE_ORDER="PCI_BUS_ID"' in environment
    assert 'NCCL_SOCKET_IFNAME="lo"' in environment


def test_without_gpus_the_engine_is_bound_to_its_numa_node() -> None:
    environment = rendered("cpu")["services/medium/environment"].text
    assert 'CPU_VISIBLE_MEMORY_NODES="0"' in environment
    assert "CUDA" not in environment


def test_a_secret_is_in_its_own_file_and_nowhere_else() -> None:
    files = rendered(secret_environment={"VLLM_API_KEY": "canary"})
    assert [path for path, file in files.items() if "canary" in file.text] == [
        f"services/{name}/secrets" for name in ("medium", "mini", "micro")
    ]
    assert all(file.secret for path, file in files.items() if path.endswith("/secrets"))


def test_a_digest_follows_the_secret_and_tells_nothing_of_it_without_the_hosts_key() -> None:
    layout = scene.reference_layout(secret_environment={"VLLM_API_KEY": "canary"})
    made = scene.planned(layout, scene.box(80, 80, 80))

    def of_host(key: bytes) -> dict[str, str]:
        box = generation.Box(engine(), Paths(), MINORS, DEFAULT_ANSWERS, key)
        return digests(generation.generation(made, scene.parsed(layout), box, {}))

    assert of_host(KEY) == of_host(KEY)
    assert not set(of_host(KEY).values()) & set(of_host(b"of another").values())


def on_socket(accelerator: str = "cuda") -> dict[str, File]:
    return rendered(accelerator, socket=True)


def test_a_service_on_a_socket_listens_there_and_has_no_network() -> None:
    mini = config(on_socket(), "mini")
    assert (mini["uds"], "port" in mini, "host" in mini) == ("/run/vllm/mini/api.sock", False, False)
    drop_in = on_socket()["systemd/vllm@mini.service.d/10-plan.conf"].text
    assert "PrivateNetwork=yes" in drop_in
    assert "PrivateNetwork" not in rendered()["systemd/vllm@mini.service.d/10-plan.conf"].text
    assert Ticket.from_json(on_socket()["services/mini/guard.json"].text).endpoint.address == (
        "unix:/run/vllm/mini/api.sock"
    )


def test_an_engine_that_knows_no_sockets_is_not_given_one() -> None:
    service = scene.parsed([scene.service("mini", socket=True)])[0]
    with pytest.raises(InferenceError, match=r"socket: vllm 0.9.0 cannot listen on a unix socket; state a port"):
        check_engine_args(service, Engine("0.9.0", "vllm", "cuda", "/opt/vllm/0.9.0", frozenset()))
    check_engine_args(service, engine())


def test_every_service_has_its_timer_and_starts_it_unless_it_is_not_to_be_watched() -> None:
    files = rendered(watchdog={"interval": 20})
    assert "OnUnitInactiveSec=20" in files["systemd/vllm-watchdog@mini.timer"].text
    drop_in = "systemd/vllm@mini.service.d/10-plan.conf"
    assert "Wants=vllm-watchdog@mini.timer" in files[drop_in].text
    assert "Wants=" not in rendered(watchdog=False)[drop_in].text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("accelerator", ["cuda", "cpu"])
@pytest.mark.parametrize("keys", [{}, {"socket": True}])
def test_units_are_sandboxed(tmp_path: Path, accelerator: str, keys: dict[str, Any]) -> None:
    files = rendered(accelerator, **keys)
    (tmp_path / "engine.service").write_text(
        files["systemd/vllm@.service"].text + files["systemd/vllm@mini.service.d/10-plan.conf"].text
    )
    (tmp_path / "watchdog.service").write_text(files["systemd/vllm-watchdog@.service"].text)
    (tmp_path / "recover.service").write_text(files["systemd/vllm-recover.service"].text)
    for unit in ("engine", "watchdog", "recover"):
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=17", str(tmp_path / f"{unit}.service")]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout[-200:] + said.stderr


def test_quotes_and_backslashes_survive_an_environment_file() -> None:
    assert _environment_file.to_text({"B": 'say "hi" \\ $HOME', "A": "1"}) == 'A="1"\nB="say \\"hi\\" \\\\ $HOME"\n'


def test_only_neighbours_on_a_device_wait_for_each_other() -> None:
    files = rendered()
    order = {name: files[f"systemd/vllm@{name}.service.d/10-plan.conf"].text for name in ("medium", "mini", "micro")}
    assert "After=" not in order["medium"]
    assert "After=" not in order["mini"]
    assert "After=vllm@mini.service" in order["micro"]


def test_a_start_may_last_as_long_as_all_its_neighbours_and_the_start_limit_can_trip() -> None:
    micro = rendered(start_timeout=600)["systemd/vllm@micro.service.d/10-plan.conf"].text
    values = dict(line.split("=", 1) for line in micro.splitlines() if "=" in line)
    assert int(values["TimeoutStartSec"]) == 1200
    attempt = int(values["TimeoutStartSec"]) + int(values["TimeoutStopSec"]) + units.RESTART_PAUSE_SECONDS
    assert int(values["StartLimitIntervalSec"]) > int(values["StartLimitBurst"]) * attempt


def test_a_service_may_open_its_own_gpus_by_their_minor_numbers() -> None:
    files = rendered()
    assert "DeviceAllow=/dev/nvidia4 rw\nDeviceAllow=/dev/nvidia5 rw" in (
        files["systemd/vllm@medium.service.d/10-plan.conf"].text
    )
    assert "/dev/nvidia4" not in files["systemd/vllm@mini.service.d/10-plan.conf"].text
    assert "DeviceAllow" not in rendered("cpu")["systemd/vllm@mini.service.d/10-plan.conf"].text


def test_memory_limits_and_a_public_address_reach_the_unit() -> None:
    text = rendered(memory_max="64G", host="0.0.0.0")["systemd/vllm@mini.service.d/10-plan.conf"].text
    assert "MemoryMax=64G" in text
    assert "IPAddressDeny" not in text
    assert "IPAddressDeny=any" in rendered()["systemd/vllm@mini.service.d/10-plan.conf"].text


def test_beside_loopback_only_those_who_are_allowed_reach_a_service_and_it_reaches_only_them() -> None:
    text = rendered(host="10.0.0.1", allow_from=["10.0.0.5"])["systemd/vllm@mini.service.d/10-plan.conf"].text
    lines = [line for line in text.splitlines() if line.startswith("IPAddress")]
    # Its own address is that of its unit's own checks.
    assert lines == [
        "IPAddressAllow=localhost",
        "IPAddressAllow=10.0.0.1",
        "IPAddressAllow=10.0.0.5/32",
        "IPAddressDeny=any",
    ]


def test_the_target_wants_exactly_the_services_of_the_plan() -> None:
    wants = [line for line in rendered()["systemd/vllm.target"].text.splitlines() if line.startswith("Wants=")]
    assert sorted(wants) == [f"Wants=vllm@{name}.service" for name in ("medium", "micro", "mini")]


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ({"max_num_seqs": 100}, True),
        ({"environment": {"A": "1"}}, True),
        ({"secret_environment": {"VLLM_API_KEY": "x"}}, True),
        ({"memory_max": "64G"}, True),
        ({"start_timeout": 1000}, True),
        ({"socket": True}, True),
        ({"watchdog": {"interval": 20}}, False),
        ({"watchdog": False}, False),
        ({"min_pcie_generation": 3}, False),
    ],
)
def test_an_engine_restarts_for_what_it_was_started_with_and_for_nothing_else(
    keys: dict[str, Any], changes: bool
) -> None:
    assert (digests(rendered()) != digests(rendered(**keys))) is changes


def test_new_code_around_the_engines_restarts_none_of_them() -> None:
    layout = scene.reference_layout()
    made = scene.planned(layout, scene.box(80, 80, 80))
    box = generation.Box(engine(), Paths(), MINORS, DEFAULT_ANSWERS, KEY)
    old, new = (
        generation.generation(made, scene.parsed(layout), box, {"vllm_guard": code})
        for code in ("old code", "new code")
    )
    assert changed_paths(old, new) == ["lib/vllm_guard"]
    assert digests(old) == digests(new)


def test_a_flag_is_checked_against_the_installed_engine_and_the_nearest_are_named() -> None:
    def check(**flags: Any) -> None:
        check_engine_args(scene.parsed([scene.service("mini", engine_args=flags)])[0], engine())

    check(**{"enforce-eager": True, "no-enable-prefix-caching": True, "seed": 1})
    with pytest.raises(InferenceError, match=r"vllm 0.32.0 has no flag 'enforce-eagre' \(nearest: enforce-eager"):
        check(**{"enforce-eagre": True})
    with pytest.raises(InferenceError, match="no flag has a similar name"):
        check(zzz=1)


@pytest.mark.parametrize(
    ("version", "visible", "drains"),
    [
        ("0.17.0", '"0,1"', False),
        ("0.22.0", '"0,1"', True),
        ("0.24.0", '"GPU-00000000,GPU-00000001"', True),
    ],
)
def test_an_engine_gets_what_its_version_reads(version: str, visible: str, drains: bool) -> None:
    files = rendered_for(version)
    assert f"CUDA_VISIBLE_DEVICES={visible}" in files["services/medium/environment"].text
    assert ("shutdown-timeout" in config(files, "medium")) == drains


def test_an_architecture_that_the_engine_does_not_run_is_refused_with_the_nearest() -> None:
    (service,) = scene.parsed([scene.service("mini")])
    engine = Engine(
        "0.32.0", "vllm", "cuda", "/opt/vllm/0.32.0", frozenset(), architectures=frozenset({"Qwen3ForCausalLM"})
    )
    with pytest.raises(InferenceError, match=r"does not run the architecture 'Qwen9ForCausalLM' .nearest: Qwen3"):
        check_architecture(service, "Qwen9ForCausalLM", engine)
    check_architecture(service, "Qwen3ForCausalLM", engine)


def test_without_a_record_of_architectures_none_is_refused() -> None:
    (service,) = scene.parsed([scene.service("mini")])
    check_architecture(service, "Qwen9ForCausalLM", Engine("0.32.0", "vllm", "cuda", "/opt/vllm", frozenset()))
