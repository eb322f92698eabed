# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes, models and layouts that the tests of the planner share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint, checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.tensors import ELEMENT_BYTES, TensorGroup
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Service, parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, Refusal, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan

GIB = 1 << 30
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}

_QWEN3 = {
    "architecture": "Qwen3ForCausalLM",
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000,
    "dtype": "bfloat16",
}
QWEN3_32B: dict[str, Any] = {
    **_QWEN3,
    "hidden_size": 5120,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "intermediate_size": 25600,
    "tie_word_embeddings": False,
}
QWEN3_8B: dict[str, Any] = {
    **_QWEN3,
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "intermediate_size": 12288,
    "tie_word_embeddings": False,
}
QWEN3_1_7B: dict[str, Any] = {
    **_QWEN3,
    "hidden_size": 2048,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "intermediate_size": 6144,
    "tie_word_embeddings": True,
}
# The size of the models that the scenarios make on the spot.
TINY: dict[str, Any] = {
    **_QWEN3,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 128,
    "vocab_size": 512,
    "tie_word_embeddings": True,
}


def service(name: str, geometry: Mapping[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """One service of a layout; its port follows from its name, so that any two differ."""
    port = 2000 + sum(ord(character) * 31**place for place, character in enumerate(name)) % 60000
    return {
        "name": name,
        "model": f"/srv/models/{name}",
        "port": port,
        "geometry": dict(TINY if geometry is None else geometry),
        **keys,
    }


def reference_layout(**keys: Any) -> list[dict[str, Any]]:
    """The reference box: 32B on two GPUs, 8B and 1.7B sharing the third, YaRN for all."""
    return [
        service("medium", QWEN3_32B, gpus=[0, 1], rope=YARN, **keys),
        service("mini", QWEN3_8B, gpus=[2], rope=YARN, **keys),
        service("micro", QWEN3_1_7B, gpus=[2], rope=YARN, **keys),
    ]


def gpus(*sizes: float, **keys: Any) -> list[dict[str, Any]]:
    """GPUs of so many GiB, all idle."""
    return [
        {
            "index": index,
            "uuid": f"GPU-{index:08x}",
            "name": "NVIDIA A100",
            "memory_total_bytes": int(size * GIB),
            "memory_used_bytes": 0,
            **keys,
        }
        for index, size in enumerate(sizes)
    ]


def box(*sizes: float, levels: Mapping[tuple[int, int], str] | None = None, **keys: Any) -> Topology:
    """A host with such GPUs; ``levels`` of pairs that are not joined by PIX."""
    links = [
        {"a": a, "b": b, "level": (levels or {}).get((a, b), "PIX"), "p2p_read": "ok"}
        for a in range(len(sizes))
        for b in range(a + 1, len(sizes))
    ]
    return Topology.from_dict({"gpus": gpus(*sizes, **keys), "links": links})


def node(total: float, free: float) -> Topology:
    """A host without GPUs, one NUMA node of so many GiB."""
    numa = {"index": 0, "memory_total_bytes": int(total * GIB), "memory_free_bytes": int(free * GIB)}
    return Topology.from_dict({"numa_nodes": [numa]})


def parsed(layout: Sequence[Mapping[str, Any]], accelerator: str = "cuda") -> list[Service]:
    return parse_layout(layout, accelerator)


def models(services: Sequence[Service]) -> dict[str, Checkpoint]:
    return {item.name: checkpoint_from_geometry(item.geometry or {}) for item in services}


def planned(
    layout: Sequence[Mapping[str, Any]],
    topology: Topology,
    used_by_others: Mapping[str, int] | None = None,
    suggest: bool = True,
    **settings: Any,
) -> Plan:
    """Plan a layout whose services state their geometry."""
    chosen = Settings(**settings)
    services = parsed(layout, chosen.accelerator)
    return plan(services, topology, models(services), chosen, used_by_others, suggest=suggest)


def only_refusal(plan: Plan) -> Refusal:
    """Return the one refusal of a plan."""
    assert not plan.fits
    assert len(plan.refusals) == 1
    return plan.refusals[0]


def with_nearest_fit(layout: Sequence[Mapping[str, Any]], plan: Plan, topology: Topology, **settings: Any) -> Plan:
    """Plan again with the first refusal's nearest fit applied to the layout as a user would."""
    nearest = plan.refusals[0].nearest_fit
    assert nearest is not None
    changed = [{**item, **nearest["services"].get(item["name"], {})} for item in layout]
    return planned(changed, topology, **{**settings, **nearest["settings"]})


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, Sequence[int]]], missing: int = 0) -> None:
    """Write a file of these tensors, (type, shape) by name, full of zeros; cut ``missing`` bytes off."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * ELEMENT_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + offset - missing)  # a sparse file takes no room


def named_tensors(groups: Sequence[TensorGroup], layers: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Give every tensor of the groups a name of its own, as a checkpoint of so many layers has them."""
    result = {}
    for group in groups:
        *front, owner, part = group.name.split(".")
        for number in range(group.count):
            again, layer = divmod(number, layers)
            name = ".".join([*front, f"{owner}{again or ''}", part]).replace(".N.", f".{layer}.")
            result[name] = (group.dtype, group.shape)
    return result
