# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An approved plan as a short text, by which a deployment knows whether it would bring about the same. Pure.

The text has a digest for each part, so that a refusal says which part has moved since: ``layout``, ``weights``,
``hardware``, and ``plan``, the decisions that follow from these and from the memory that other processes have.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from .._errors import InferenceError
from .._gpu.topology import Topology
from .._model.model import Checkpoint
from .layout import Service
from .plan import Plan, PlannedService, Settings
from .planner import stated_inputs

PARTS = ("layout", "weights", "hardware", "plan")
_DIGITS = 16
_APPROVED = re.compile(rf"[0-9a-f]{{{_DIGITS}}}(\.[0-9a-f]{{{_DIGITS}}}){{{len(PARTS) - 1}}}")
# What an engine gets from the plan. The rest of a planned service explains it, or follows from these.
_DECIDED = (
    "name",
    "devices",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "kv_cache_dtype",
    "max_num_seqs",
    "max_num_batched_tokens",
    "start_after",
    "node_rank",
)


def approval(
    plan: Plan,
    services: Sequence[Service],
    topology: Topology,
    models: Mapping[str, Checkpoint],
    settings: Settings,
) -> str:
    """Return the text that stands for a plan and for everything that it rests on; secrets are no part of it."""
    stated = stated_inputs(services, topology, models, settings)
    parts = {
        "layout": [stated["services"], stated["settings"], [service.watchdog for service in services]],
        "weights": stated["models"],
        "hardware": stated["devices"],
        "plan": [_decided(planned) for planned in plan.services],
    }
    return ".".join(_digest(parts[name]) for name in PARTS)


def refuse_unapproved(approved: str, now: str) -> None:
    """Raise InferenceError where a deployment would bring about something else than was approved, naming the parts."""
    if not _APPROVED.fullmatch(approved):
        raise InferenceError(
            f"the approved digest is {approved!r:.80}, and no plan has one like that; hand on what the plan published "
            "as vllm_services_approved_digest for this host, or plan it and have the plan approved"
        )
    moved = [name for name, was, is_now in zip(PARTS, approved.split("."), now.split(".")) if was != is_now]
    if moved:
        raise InferenceError(
            f"what was approved is not what would be deployed: since the approval, {_listed(moved)} moved. Nothing was "
            "changed; plan again, and have that plan approved",
            moved=moved,
        )


def _listed(moved: Sequence[str]) -> str:
    """Return the parts that moved as a sentence lists them; the plan follows from the others where one of them did."""
    words = {
        "layout": "the layout",
        "weights": "the models' files",
        "hardware": "the hardware",
        "plan": "the plan, by the memory that other processes have or by what was measured meanwhile,",
    }
    causes = [name for name in moved if name != "plan"] or moved
    return " and ".join(words[name] for name in causes)


def _decided(planned: PlannedService) -> dict[str, object]:
    return {name: getattr(planned, name) for name in _DECIDED}


def _digest(part: object) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True, default=vars).encode()).hexdigest()[:_DIGITS]
