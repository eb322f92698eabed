# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a task to an answer. Reads the model; changes nothing and asks no host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Settings

from .answer import LAYOUT_KEYS, MOST_USERS, Question, answer
from .cards import parse_cards
from .hub import SECONDS
from .model import read_model
from .text import lines

LONGEST_PATIENCE = 3600

OPTIONS: dict[str, Any] = {
    "model": {"type": "str", "required": True},
    "gpu": {"type": "str", "required": True},
    "gpu_memory": {"type": "str"},
    "nvlink": {"type": "bool", "default": False},
    "users": {"type": "int"},
    "tensor_parallel_size": {"type": "int"},
    "max_model_len": {"type": "raw"},
    "kv_cache_dtype": {"type": "str"},
    "max_num_seqs": {"type": "int"},
    "max_num_batched_tokens": {"type": "int", "no_log": False},
    "gpu_memory_utilization": {"type": "float"},
    "rope": {"type": "dict"},
    "engine_args": {"type": "dict"},
    "engine_version": {"type": "str"},
    "gpu_memory_budget": {"type": "float", "default": 0.99},
    "reserve_bytes": {"type": "int", "default": 0},
    "geometry": {"type": "dict", "default": {}},
    "hub_timeout": {"type": "float", "default": SECONDS},
}


def answer_to(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to a task's arguments, with its ``lines`` for a terminal.

    An empty text is an option left out. Raises InferenceError, in one sentence, for a question without an answer.
    """
    stated = {key: value for key, value in arguments.items() if value not in (None, "")}
    if not {"model", "gpu"} <= stated.keys():
        raise InferenceError("State model and gpu, such as -e model=Qwen/Qwen3-8B -e gpu='2 x RTX 4090'.")
    validated = ArgumentSpecValidator(OPTIONS).validate(stated)
    if validated.error_messages:
        raise InferenceError(" ".join(f"{message.rstrip('.')}." for message in validated.error_messages))
    options = validated.validated_parameters
    for key, most in (("users", MOST_USERS), ("hub_timeout", LONGEST_PATIENCE)):
        if options[key] is not None and not 1 <= options[key] <= most:
            raise InferenceError(f"{key} must be from 1 to {most}, not {options[key]}.")
    settings = Settings(
        gpu_memory_budget=options["gpu_memory_budget"],
        engine_version=options["engine_version"],
        reserve_bytes=options["reserve_bytes"],
    )
    question = Question(
        cards=parse_cards(options["gpu"], options["gpu_memory"]),
        model=read_model(options["model"], options["geometry"], environment, options["hub_timeout"]),
        settings=settings,
        layout={key: options[key] for key in LAYOUT_KEYS if options[key] is not None},
        users=options["users"],
        ranks=options["tensor_parallel_size"],
        bridged=options["nvlink"],
    )
    found = answer(question)
    return {**found, "lines": lines(found)}
