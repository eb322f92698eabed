# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What older GPUs cannot do is refused or said, with the flag that helps."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_1_7B, gpus, only_refusal, planned, service

V100 = {"name": "Tesla V100-SXM2-16GB", "compute_capability": "7.0"}
T4 = {"name": "Tesla T4", "compute_capability": "7.5"}
A100 = {"name": "NVIDIA A100 80GB PCIe", "compute_capability": "8.0"}
L4 = {"name": "NVIDIA L4", "compute_capability": "8.9"}
B200 = {"name": "NVIDIA B200", "compute_capability": "10.0"}
HALF = {"dtype": "float16"}
KINDS = {
    "fp8": {"quant_method": "fp8"},
    "modelopt_nvfp4": {"quant_method": "modelopt_fp4"},
    "mxfp4": {"quant_method": "mxfp4"},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128},
}


def host(*cards: dict[str, Any], size: float = 16) -> Topology:
    return Topology.from_dict({"gpus": [{**gpu, **card} for gpu, card in zip(gpus(*[size] * len(cards)), cards)]})


def plan_on(*cards: dict[str, Any], kind: str | None = None, version: str = "0.32.0", **keys: Any) -> Plan:
    geometry = {**QWEN3_1_7B, **({"quantization_config": KINDS[kind], "weights_bytes": 1 << 30} if kind else {})}
    return planned([service("a", geometry, **keys)], host(*cards), engine_version=version)


@pytest.mark.parametrize(
    ("kind", "card", "said"),
    [
        ("fp8", V100, "cannot run FP8 weights, which take compute capability 7.5"),
        ("awq", V100, "cannot run AWQ weights"),
        ("modelopt_nvfp4", V100, "cannot run NVFP4 weights"),
        ("mxfp4", T4, "cannot run MXFP4 weights, which take compute capability 8.0"),
    ],
)
def test_weights_that_a_card_cannot_run_are_refused_with_others_that_it_can(
    kind: str, card: dict[str, Any], said: str
) -> None:
    reason = only_refusal(plan_on(card, kind=kind, version="0.18.0", gpus=[0])).reason
    assert said in reason
    assert "choose a checkpoint in" in reason


@pytest.mark.parametrize(
    ("kind", "card", "hint"),
    [
        ("fp8", A100, "no arithmetic for FP8 weights, which takes compute capability 8.9"),
        ("modelopt_nvfp4", L4, "no arithmetic for NVFP4 weights, which takes compute capability 10.0"),
        ("fp8", L4, None),
        ("modelopt_nvfp4", B200, None),
        ("awq", T4, "no bfloat16"),
        ("gptq", A100, None),
    ],
)
def test_weights_that_a_card_unpacks_are_said(kind: str, card: dict[str, Any], hint: str | None) -> None:
    plan = plan_on(card, kind=kind, gpus=[0])
    assert plan.fits
    assert any(hint in text for text in plan.warnings) if hint else plan.warnings == ()


def test_a_card_without_bfloat16_computes_in_float16_and_that_is_said() -> None:
    plan = plan_on(T4, gpus=[0])
    assert plan.fits
    assert any("computes in float16" in text and "dtype: float32" in text for text in plan.warnings)
    assert any("attention-backend: TRITON_ATTN" in text for text in plan.warnings)
    flags = {"dtype": "half", "attention-backend": "TRITON_ATTN"}
    assert plan_on(T4, gpus=[0], engine_args=flags).warnings == ()


def test_bfloat16_that_is_asked_for_is_refused_where_a_card_has_none() -> None:
    reason = only_refusal(plan_on(T4, gpus=[0], engine_args={"dtype": "bfloat16"})).reason
    assert "has no bfloat16, which takes compute capability 8.0; set dtype: float16 in engine_args" in reason


def test_a_cache_in_fp8_is_said_where_a_card_has_no_such_arithmetic() -> None:
    assert any("kv_cache_dtype: fp8_e5m2 or auto" in text for text in plan_on(A100, kv_cache_dtype="fp8").warnings)
    assert plan_on(L4, kv_cache_dtype="fp8").warnings == ()


def test_a_v100_is_refused_by_engines_whose_wheels_have_no_code_for_it() -> None:
    assert "install an engine before 0.24" in only_refusal(plan_on(V100, gpus=[0])).reason
    assert plan_on(V100, gpus=[0], version="0.18.0").fits


def test_of_a_mixed_box_the_card_that_can_is_chosen() -> None:
    plan = plan_on(V100, T4, A100, kind="mxfp4")
    assert plan.service("a").device_indices == (2,)
    refusal = only_refusal(plan_on(T4, A100, kind="mxfp4", gpus={"count": 2}))
    assert refusal.reason == "it takes 2 devices, and 1 of this host can be used."


def test_ranks_on_unlike_cards_are_said_with_their_sizes() -> None:
    unlike = Topology.from_dict({"gpus": [{**gpus(24, 80)[0], **L4}, {**gpus(24, 80)[1], **A100}]})
    plan = planned([service("a", QWEN3_1_7B, gpus=[0, 1])], unlike)
    (warning,) = [text for text in plan.warnings if "its GPUs differ" in text]
    assert "0: NVIDIA L4 24.00 GiB, 1: NVIDIA A100 80GB PCIe 80.00 GiB" in warning


@pytest.mark.parametrize("told", [None, "unknown"])
def test_a_card_that_nobody_knows_the_capability_of_is_planned_without_a_word(told: str | None) -> None:
    plan = plan_on({"name": "NVIDIA A100", "compute_capability": told}, kind="fp8", gpus=[0])
    assert plan.fits
    assert plan.warnings == ()
