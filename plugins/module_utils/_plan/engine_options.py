# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service hands to its engine as it is, flags and environment variables, and what of that the plan decides."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from .._values import Fields, Problems, as_flag, as_integer, is_json, printable, shown

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FLAG = re.compile(r"[a-z][a-z0-9-]*")
BLOCK_SIZES = range(1, 65537)

# Flags of the engine that the plan decides; the text says where the user states them instead.
OWNED_FLAGS = {
    "model": "state it as `model`",
    "config": "the deployment writes the engine's configuration file itself",
    "served-model-name": "state it as `served_model_name`",
    "host": "state it as `host`",
    "port": "state it as `port`",
    "uds": "state `socket: true`; its path follows from the service's name",
    "tensor-parallel-size": "state it as `tensor_parallel_size`",
    "gpu-memory-utilization": "state it as `gpu_memory_utilization`, or leave it to the plan",
    "kv-cache-memory-bytes": "it would bypass the planned share; state `gpu_memory_utilization`",
    "num-gpu-blocks-override": "it would bypass the planned share; state `gpu_memory_utilization`",
    "max-model-len": "state it as `max_model_len`",
    "max-num-seqs": "state it as `max_num_seqs`",
    "max-num-batched-tokens": "state it as `max_num_batched_tokens`",
    "kv-cache-dtype": "state it as `kv_cache_dtype`",
    "rope-scaling": "state it as `rope`",
    "rope-theta": "the model's own is carried over",
    "api-key": "it would show in the process list; state VLLM_API_KEY in `secret_environment`",
    "shutdown-timeout": "state it as `shutdown_timeout`",
    "pipeline-parallel-size": "state it as `pipeline_parallel_size`",
    "data-parallel-size": "the plan knows no data parallelism; make one service per replica",
    "nnodes": "it follows from `hosts`",
    "node-rank": "it follows from `hosts`",
    "master-addr": "it follows from `hosts`",
    "master-port": "state it as `master_port`, beside `hosts`",
    "headless": "it follows from `hosts`",
}
OWNED_VARIABLES = {
    "VLLM_PORT": "the engine's internal ports would clash with the service's",
    "CUDA_VISIBLE_DEVICES": "the plan chooses the devices; state `gpus`",
    "CUDA_DEVICE_ORDER": "devices are addressed by UUID in PCI bus order",
    "NVIDIA_VISIBLE_DEVICES": "the plan chooses the devices; state `gpus`",
    "CPU_VISIBLE_MEMORY_NODES": "the plan chooses the NUMA node; state `gpus` as `numa:K`",
    "VLLM_CPU_KVCACHE_SPACE": "it would bypass the planned share; state `gpu_memory_utilization`",
    "VLLM_ENABLE_STARTUP_PLAN": "its key ignores the share, so a changed plan would not take effect",
    "VLLM_PP_LAYER_PARTITION": "the plan divides layers over the stages of a pipeline as evenly as they go",
    "VLLM_SERVER_DEV_MODE": "it opens endpoints that let any caller execute code",
}


def parse_engine_args(fields: Fields, problems: Problems) -> Mapping[str, Any]:
    """Return the flags in canonical form: sorted, without dashes in front, words joined by '-', values canonical."""
    flags = {}
    for given, value in fields.mapping("engine_args").items():
        flag = given.lstrip("-").replace("_", "-")
        if not FLAG.fullmatch(flag):
            problems.add(f"engine_args: {shown(given)} is no flag of the engine.")
        elif flag in OWNED_FLAGS:
            problems.add(f"engine_args: {given} is decided by the plan: {OWNED_FLAGS[flag]}.")
        elif flag in flags:
            problems.add(f"engine_args: {shown(flag)} is there twice, in two spellings.")
        elif not is_json(value):
            problems.add(f"engine_args: the value of {shown(given)} is no plain data: {shown(value)}.")
        elif flag == "block-size" and value is not None and as_integer(value) not in BLOCK_SIZES:
            problems.add(f"engine_args: block-size must be a whole number of tokens up to 65536, not {shown(value)}.")
        flags[flag] = canonical(value) if is_json(value) else None
    return dict(sorted(flags.items()))


def canonical(value: Any) -> Any:
    """Return a flag's value in the one spelling in which it is written, whatever a user or a template made of it.

    Only spellings that are the same to every flag of the engine are one: the engine reads a number and its text alike,
    an object and its JSON alike, and no flag takes the words true and false. Numbers inside of an object are data of
    the model's, where 4 and 4.0 differ. ``canonical_number`` is for flags that are known to take a number.
    """
    if isinstance(value, Mapping):
        return _sorted(value)
    if isinstance(value, (list, tuple)):
        return [_sorted(item) if isinstance(item, (Mapping, list, tuple)) else _scalar(item) for item in value]
    flag = as_flag(value)
    return _scalar(value) if flag is None else flag


def _scalar(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    with contextlib.suppress(ValueError, RecursionError):
        read = json.loads(value)
        if isinstance(read, dict):
            return _sorted(read) if is_json(read) else value
        # The engine gets it as text again, and that must be the same: a revision 007 or 1e5 is no number.
        if is_json(read) and not isinstance(read, (bool, list)) and str(read) == value:
            return read
    return value


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(item) for key, item in sorted(value.items(), key=lambda entry: str(entry[0]))}
    return [_sorted(item) for item in value] if isinstance(value, (list, tuple)) else value


def parse_environment(fields: Fields, key: str, problems: Problems) -> Mapping[str, str]:
    """Return the variables of one of the service's mappings, as text."""
    result = {}
    for name, value in fields.mapping(key).items():
        if not VARIABLE.fullmatch(name):
            problems.add(f"{key}: {shown(name)} is no name of an environment variable.")
        elif name in OWNED_VARIABLES:
            problems.add(f"{key}: {name} must not be set: {OWNED_VARIABLES[name]}.")
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)):
            problems.add(f"{key}: the value of {shown(name)} must be text or a number.")
        elif not printable(str(value)):
            problems.add(f"{key}: the value of {shown(name)} must be one line of text without control characters.")
        result[name] = str(value)
    return result
