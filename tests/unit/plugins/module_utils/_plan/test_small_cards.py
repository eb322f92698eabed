# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards of 8 to 40 GB plan what people run on them, within the memory that NVML reports for such cards."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_8B,
    QWEN3_32B,
    only_refusal,
    planned,
    service,
)

MIB = 1 << 20
# NVML's total, what it calls reserved, and what a desktop holds where the card has a monitor; in MiB.
CARDS = {
    "NVIDIA GeForce RTX 3070": (8192, 224, 400, "8.6"),
    "NVIDIA GeForce RTX 3060": (12288, 260, 0, "8.6"),
    "NVIDIA GeForce RTX 4060 Ti": (16380, 300, 0, "8.9"),
    "NVIDIA GeForce RTX 4090": (24564, 360, 0, "8.9"),
    "NVIDIA A100-PCIE-40GB": (40960, 620, 0, "8.0"),
}
QWEN = {**QWEN3_8B, "max_position_embeddings": 40960}
QWEN3_0_6B = {**QWEN, "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16}
QWEN3_0_6B |= {"intermediate_size": 3072, "tie_word_embeddings": True}
AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}, "dtype": "float16"}
# Sizes of the published files.
QWEN2_5_7B_AWQ = {**QWEN, **AWQ, "architecture": "Qwen2ForCausalLM", "hidden_size": 3584, "num_hidden_layers": 28}
QWEN2_5_7B_AWQ |= {"num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944}
QWEN2_5_7B_AWQ |= {"max_position_embeddings": 32768, "vocab_size": 152064, "weights_bytes": 5_570_000_000}
QWEN3_14B_AWQ = {**QWEN, **AWQ, "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40}
QWEN3_14B_AWQ |= {"intermediate_size": 17408, "weights_bytes": 9_980_000_000}
QWEN3_32B_AWQ = {**QWEN3_32B, **AWQ, "weights_bytes": 19_330_000_000}


def machine(name: str, count: int = 1, **keys: Any) -> Topology:
    total, reserved, used, capability = CARDS[name]
    cards = [
        {
            "index": index,
            "uuid": f"GPU-{index:08x}",
            "name": name,
            "memory_total_bytes": total * MIB,
            "memory_reserved_bytes": reserved * MIB,
            "memory_used_bytes": used * MIB,
            "compute_capability": capability,
        }
        for index in range(count)
    ]
    links = [{"a": 0, "b": 1, "level": "NVLINK", "nvlink_count": 4, "p2p_read": "ok"}] if count == 2 else []
    return Topology.from_dict({"gpus": cards, "links": links, **keys})


@pytest.mark.parametrize("version", ["0.24.0", "0.32.0"])
@pytest.mark.parametrize(
    ("card", "geometry", "keys", "least"),
    [
        ("NVIDIA GeForce RTX 3070", QWEN3_0_6B, {}, 32768),
        ("NVIDIA GeForce RTX 3060", QWEN2_5_7B_AWQ, {}, 32768),
        ("NVIDIA GeForce RTX 4060 Ti", QWEN3_14B_AWQ, {}, 8192),
        ("NVIDIA GeForce RTX 4090", QWEN3_32B_AWQ, {"max_num_seqs": 32, "max_num_batched_tokens": 2048}, 4096),
        ("NVIDIA GeForce RTX 4090", QWEN3_8B, {"max_model_len": 20000}, 20000),
        ("NVIDIA A100-PCIE-40GB", QWEN3_32B, {"gpus": [0, 1]}, 8192),
    ],
    ids=["0.6B on 8 GB", "7B AWQ on 12", "14B int4 on 16", "32B AWQ on 24", "8B on 24", "32B on two of 40"],
)
def test_a_card_plans_what_people_run_on_it(
    card: str, geometry: dict[str, Any], keys: dict[str, Any], least: int, version: str
) -> None:
    layout = [service("model", geometry, **{"gpus": [0], **keys})]
    plan = planned(layout, machine(card, count=2 if keys.get("gpus") else 1), engine_version=version)
    assert plan.refusals == ()
    assert plan.service("model").max_model_len >= least
    assert plan.warnings == ()


def test_what_no_card_of_its_size_can_hold_is_still_refused() -> None:
    layout = [service("model", QWEN3_8B, gpus=[0])]
    refusal = only_refusal(planned(layout, machine("NVIDIA GeForce RTX 3060"), engine_version="0.32.0"))
    assert "has no room" in refusal.reason


def test_fewer_sequences_and_tokens_of_a_batch_leave_more_cache() -> None:
    found = {}
    for sequences in (16, 256, 1024):
        for tokens in (2048, 8192, 16384):
            layout = [service("model", QWEN3_8B, gpus=[0], max_num_seqs=sequences, max_num_batched_tokens=tokens)]
            plan = planned(layout, machine("NVIDIA GeForce RTX 4090"), engine_version="0.32.0")
            found[sequences, tokens] = plan.service("model").kv_cache_tokens
    assert found[16, 2048] > found[256, 2048] > found[1024, 2048]
    assert found[256, 8192] > found[256, 16384]
    assert found[256, 8192] - found[1024, 8192] > 1.5 * GIB // 147456
