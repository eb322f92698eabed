# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sick GPUs, as the unmodified pynvml reads them from the stand-in library: before a plan, and before a start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.programs import sources
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import apply_health_policy
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket
from ansible_collections.llmops.inference.tests.unit import scene
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin, environment, read_box

UUIDS = [f"GPU-a1f3c0de-0000-4000-8000-00000000000{index}" for index in range(3)]
ECC = "uncorrectable ECC errors since the driver was loaded: 3"
HOT = "throttled: thermal slowdown by the hardware"


@pytest.fixture(scope="module", autouse=True)
def standin() -> None:
    build_standin()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """The reference box with memory errors on GPU 0, and GPU 1 too hot."""
    text = (BOXES / "reference.box").read_text()
    for uuid, condition in ((UUIDS[0], "ecc_uncorrected=3"), (UUIDS[1], "throttle=hw_thermal")):
        text = text.replace(uuid, f"{uuid} {condition}")
    (tmp_path / "sick.box").write_text(text)
    return tmp_path / "sick.box"


def planned(box: Path, gpus: object, **answers: str) -> Plan:
    return scene.planned([scene.service("a", gpus=gpus)], apply_health_policy(answers, read_box(box)))


def test_the_plan_takes_a_sound_gpu_where_the_layout_lets_it_choose(box: Path) -> None:
    assert planned(box, {"count": 1}).service("a").device_indices == (2,)
    assert planned(box, {"count": 2}).service("a").device_indices == (1, 2), "half fit is better than not"


def test_a_failed_gpu_that_the_layout_names_is_refused_with_its_reason_and_the_nearest_sound_one(box: Path) -> None:
    (refusal,) = planned(box, [0]).refusals
    assert f"GPU 0 has failed: {ECC}" in refusal.reason
    assert refusal.nearest_fit is not None
    assert refusal.nearest_fit["text"] == "Move a to GPU 1."


def test_a_degraded_gpu_is_used_with_a_warning_unless_it_is_to_be_refused(box: Path) -> None:
    assert f"a: GPU 1 is degraded: {HOT}." in planned(box, [1]).warnings
    assert f"GPU 1 has failed: {HOT}" in planned(box, [1], degraded="refuse").refusals[0].reason
    assert not any("degraded" in warning for warning in planned(box, [1], degraded="ignore").warnings)


def admit(box: Path, generation: Path, device: str, **answers: str) -> str:
    """What the guard of a generation says before it takes anything."""
    for name, text in sources().items():
        path = generation / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ticket = Ticket("mini", "mini", "127.0.0.1", 1024, {device: 1}, 0, 0, "digest", gpu_health=answers)
    (generation / "services/mini").mkdir(parents=True)
    (generation / "services/mini/guard.json").write_text(ticket.to_json())
    command = [sys.executable, "-B", str(generation / "lib/vllm_guard"), "admit", "mini"]
    ran = subprocess.run(command, env=environment(box), capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    return ran.stderr.splitlines()[0]


def test_no_engine_starts_on_a_gpu_that_failed_after_the_plan(box: Path, tmp_path: Path) -> None:
    said = admit(box, tmp_path, UUIDS[0])
    assert f"service 'mini' is not fit to start: GPU 0 ({UUIDS[0]}) is failed: {ECC}; replace or reset the GPU" in said


def test_no_engine_waits_for_a_gpu_that_has_fallen_off_the_bus(tmp_path: Path) -> None:
    lost = json.dumps(UUIDS[1])[1:-1].replace("a1f3c0de", "1057c0de")
    said = admit(BOXES / "lost-gpu.box", tmp_path, lost, failed="ignore")
    assert f"GPU 1 (one of {lost}) is failed: NVML cannot open it: GPU is lost" in said
