# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model fits some cards, with which context for how many users, and how to run it. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_versions import CEILING
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Service, parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import longest_contexts, plan
from ansible_collections.llmops.inference.plugins.module_utils._render.engine_config import config

from .card_table import Card
from .machine import machine
from .model import Model

USERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PORT = 8001
MOST_USERS = 1 << 16

# Flags that a unit needs and a start by hand does not.
_OF_A_SERVICE = ("model", "served-model-name", "host", "port", "shutdown-timeout", "disable-fastapi-docs")

# Keys of a service that a user may state, and that reach the layout as they are.
LAYOUT_KEYS = (
    "max_model_len",
    "kv_cache_dtype",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "rope",
    "engine_args",
)


@dataclass(frozen=True)
class Question:
    """What a user asks: ``model`` on ``cards``; ``ranks`` and ``users`` None where the answer is free to choose."""

    model: Model
    cards: tuple[Card, ...]
    settings: Settings
    layout: Mapping[str, Any]
    users: int | None = None
    ranks: int | None = None
    bridged: bool = False

    def service(self, ranks: int, **changes: Any) -> Service:
        """Return the one service of the layout, on ``ranks`` cards."""
        return parse_layout([self.described(ranks, **changes)])[0]

    def described(self, ranks: int, **changes: Any) -> dict[str, Any]:
        """Return that service as a layout has it."""
        seats = {} if self.users is None else {"max_num_seqs": self.users}
        return {
            "name": self.model.name,
            "model": self.model.path,
            "port": PORT,
            "gpus": {"count": ranks},
            **seats,
            **self.layout,
            **changes,
        }


def answer(question: Question) -> dict[str, Any]:
    """Return the whole answer in JSON types; ``plan`` and ``topology`` are as ``vllm_plan`` returns them."""
    topology = machine(question.cards, question.bridged)
    ranks = _ranks(question, topology)
    planned = _plan(question, topology, ranks)
    service = question.service(ranks)
    contexts = _contexts(question, service, planned)
    changes: dict[str, Any] = {}
    shared = contexts.get(question.users or 1, 0)
    if planned.fits and service.max_model_len is None and shared:
        # The longest context that all users can have at the same time, so that none of them waits.
        changes = {"max_model_len": shared}
        service = question.service(ranks, **changes)
        planned = plan([service], topology, {service.name: question.model.checkpoint}, question.settings)
    return {
        "fits": planned.fits,
        "question": f"{question.model.stated} on {cards_text(question.cards)}",
        "model": _model(question.model),
        "cards": [_card(card) for card in question.cards],
        "fewest_cards": _fewest(question, topology),
        "contexts": [{"users": users, "max_model_len": length} for users, length in contexts.items()],
        "plan": planned.to_dict(),
        "topology": topology.to_dict(),
        "layout": [question.described(ranks, **changes)] if planned.fits else [],
        "command": _command(question, service, planned) if planned.fits else "",
    }


def cards_text(cards: Sequence[Card]) -> str:
    """Return cards as a user would name them, each kind once."""
    kinds = dict.fromkeys(card.label for card in cards)
    return ", ".join(f"{sum(card.label == label for card in cards)} x {label}" for label in kinds)


def _plan(question: Question, topology: Topology, ranks: int, *, suggest: bool = True) -> Plan:
    service = question.service(ranks)
    models = {service.name: question.model.checkpoint}
    return plan([service], topology, models, question.settings, suggest=suggest)


def _ranks(question: Question, topology: Topology) -> int:
    """Return the tensor-parallel size: as stated, else the largest that fits, else the largest that divides the model.

    All cards of the user take part, unless the model cannot be divided by their number.
    """
    count = len(question.cards)
    if question.ranks is not None:
        if not 1 <= question.ranks <= count:
            raise InferenceError(
                f"tensor_parallel_size {question.ranks} needs as many cards, and gpu names {count}; state from 1 to "
                f"{count}, or more cards."
            )
        return question.ranks
    divides = 1
    for ranks in range(count, 0, -1):
        planned = _plan(question, topology, ranks, suggest=False)
        if planned.fits:
            return ranks
        if divides == 1 and any(refusal.needed_bytes is not None for refusal in planned.refusals):
            divides = ranks
    return divides


def _fewest(question: Question, topology: Topology) -> int | None:
    """Return the fewest of these cards on which the model fits; None where it does not fit."""
    sizes = range(1, len(question.cards) + 1) if question.ranks is None else [question.ranks]
    return next((ranks for ranks in sizes if _plan(question, topology, ranks, suggest=False).fits), None)


def _contexts(question: Question, service: Service, planned: Plan) -> dict[int, int]:
    """Return users -> tokens that each of them can have at the same time; without those who could have none."""
    if not planned.fits:
        return {}
    asked = sorted({*USERS, question.users or 1})
    counts = [users for users in asked if users <= max(service.max_num_seqs, question.users or 1)]
    found = longest_contexts(service, question.model.checkpoint, planned, counts)
    return {users: length for users, length in found.items() if length or users == question.users}


def _model(model: Model) -> dict[str, Any]:
    return {
        "stated": model.stated,
        "source": model.source,
        "revision": model.revision,
        "architecture": model.checkpoint.geometry.architecture,
        "weights": model.checkpoint.source,
        "note": model.note,
    }


def _card(card: Card) -> dict[str, Any]:
    return {
        "label": card.label,
        "name": card.name,
        "memory_total_bytes": card.total_bytes,
        "memory_total_source": card.nvml_source,
        "memory_reserved_bytes": card.reserved_bytes,
        "memory_reserved_source": card.cuda_source,
        "compute_capability": card.compute_capability,
        "unified_memory": card.host_bytes is not None,
    }


def _command(question: Question, service: Service, planned: Plan) -> str:
    """Return the command that starts the engine by hand as it was planned."""
    version = question.settings.engine_version or CEILING
    engine = Engine(version, "vllm", planned.accelerator, "", frozenset())
    flags = config(service, planned.service(service.name), engine)
    words = ["vllm", "serve", question.model.served_from]
    for flag, value in flags.items():
        if flag in _OF_A_SERVICE:
            continue
        words.append(f"--{flag}")
        if value is not True:
            words.append(json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value))
    return shlex.join(words)
