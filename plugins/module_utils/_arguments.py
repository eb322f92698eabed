# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that modules share: a layout and how to plan it. Documented in doc_fragments/layout.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._gpu.health import ANSWERS, DEFAULT_ANSWERS
from ._plan.multi_node import EXECUTORS
from ._plan.plan import ACCELERATORS, CALIBRATION, ON_OVERCOMMIT, Settings
from ._values import is_whole

# Values that may be a number or a word are raw: ``_layout`` reads them, whatever a template made of them.
SERVICE_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "model": {"type": "str", "required": True},
    "port": {"type": "int"},
    "socket": {"type": "bool", "default": False},
    "served_model_name": {"type": "str"},
    "host": {"type": "str", "default": "127.0.0.1"},
    "allow_from": {"type": "list", "elements": "str", "default": []},
    "gpus": {"type": "raw", "default": "auto"},
    "tensor_parallel_size": {"type": "int"},
    "pipeline_parallel_size": {"type": "int", "default": 1},
    "multi_node": {
        "type": "dict",
        "options": {
            "node_rank": {"type": "int", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "master_port": {"type": "int", "default": 29501},
            "executor": {"type": "str", "default": "mp", "choices": list(EXECUTORS)},
        },
    },
    "max_model_len": {"type": "raw", "default": "fit"},
    "memory_weight": {"type": "float"},
    "gpu_memory_utilization": {"type": "float"},
    "kv_cache_dtype": {"type": "str", "default": "auto"},
    "max_num_seqs": {"type": "int"},
    "max_num_batched_tokens": {"type": "int", "no_log": False},
    "rope": {
        "type": "dict",
        "options": {
            "rope_type": {"type": "str", "default": "yarn", "choices": ["yarn"]},
            "factor": {"type": "float", "required": True},
            "original_max_position_embeddings": {"type": "int"},
        },
    },
    "min_pcie_generation": {"type": "int"},
    "engine_args": {"type": "dict", "default": {}},
    "environment": {"type": "dict", "default": {}},
    "secret_environment": {"type": "dict", "default": {}, "no_log": True},
    "geometry": {"type": "dict"},
    "shutdown_timeout": {"type": "int", "default": 30},
    "start_timeout": {"type": "int", "default": 900},
    "memory_max": {"type": "str"},
    "memory_high": {"type": "str"},
    "watchdog": {"type": "raw"},
}

PLAN_OPTIONS: dict[str, Any] = {
    "services": {"type": "list", "elements": "dict", "options": SERVICE_OPTIONS},
    "accelerator": {"type": "str", "default": "cuda", "choices": list(ACCELERATORS)},
    "gpu_memory_budget": {"type": "float", "default": 0.99},
    "on_overcommit": {"type": "str", "default": "clamp", "choices": list(ON_OVERCOMMIT)},
    "engine_version": {"type": "str"},
    "reserve_bytes": {"type": "int", "default": 0},
    "calibration": {"type": "str", "default": "auto", "choices": list(CALIBRATION)},
    "gpu_health": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            status: {"type": "str", "default": answer, "choices": list(ANSWERS)}
            for status, answer in DEFAULT_ANSWERS.items()
        },
    },
}


def settings_from(params: Mapping[str, Any]) -> Settings:
    """Return the settings among a module's parameters; InferenceError for one outside its range."""
    return Settings(
        accelerator=params["accelerator"],
        gpu_memory_budget=_as_float(params["gpu_memory_budget"]),
        on_overcommit=params["on_overcommit"],
        engine_version=params["engine_version"],
        reserve_bytes=params["reserve_bytes"],
        calibration=params["calibration"],
    )


def _as_float(value: Any) -> Any:
    """A budget of 1 is one of 1.0, in digests, too; what is no number is refused by ``Settings``."""
    return float(value) if is_whole(value) else value


# Where things are on a host that services are deployed to.
HOST_OPTIONS: dict[str, Any] = {
    "engine_root": {"type": "path", "default": "/opt/vllm"},
    "tools_dir": {"type": "path", "default": "/opt/vllm/tools"},
    "user": {"type": "str", "default": "vllm"},
    "group": {"type": "str", "default": "vllm"},
    "gate_timeout": {"type": "float", "default": 30},
}
