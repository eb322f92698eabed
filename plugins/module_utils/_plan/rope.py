# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a context a model can have, and the engine's flags for a rope scaling of the user's.

The engine derives its limit from ``max_position_embeddings`` (``_get_and_verify_max_len`` in
``vllm/config/model.py``): it multiplies by the factor of a linear or dynamic scaling, but not by that of YaRN
and its like. An override of the rope alone is therefore not enough, the length must be overridden with it;
and the override replaces the checkpoint's whole dictionary, so ``rope_theta`` must be carried over.
"""

from __future__ import annotations

from typing import Any

from .._errors import InferenceError
from .._model.geometry import Geometry
from .engine_versions import behaviour
from .layout import Rope

# Settings of the checkpoint that hold beside any scaling, and those of its own scaling that a user does not state.
CARRIED = (
    "mrope_section",
    "mrope_interleaved",
    "partial_rotary_factor",
    "mscale",
    "mscale_all_dim",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "truncate",
)
MULTIPLIED = ("linear", "dynamic")  # scalings whose factor the engine applies to the length


def reachable_length(geometry: Geometry, rope: Rope | None) -> int:
    """Return the longest context in tokens that the engine accepts for this model with this rope."""
    if rope is not None:
        return int(rope.factor * original_length(geometry, rope))
    stated = geometry.rope
    factor = stated.factor if stated.type in MULTIPLIED and not stated.scaled else 1.0
    return int(geometry.max_position_embeddings * factor)


def original_length(geometry: Geometry, rope: Rope) -> int:
    """Return the length that the factor multiplies: stated, or the one the model was trained with."""
    return rope.original_max_position_embeddings or geometry.rope.original or geometry.max_position_embeddings


def describe_reach(geometry: Geometry, rope: Rope | None) -> str:
    """Return where ``reachable_length`` comes from, as arithmetic."""
    length = reachable_length(geometry, rope)
    if rope is not None:
        return f"YaRN: {rope.factor:g} x {original_length(geometry, rope)} = {length} tokens"
    if length != geometry.max_position_embeddings:
        return (
            f"max_position_embeddings {geometry.max_position_embeddings} x rope factor "
            f"{geometry.rope.factor:g} = {length} tokens"
        )
    return f"max_position_embeddings = {length} tokens, with no rope scaling stated"


def rope_problem(geometry: Geometry, rope: Rope) -> str | None:
    """Return why this rope cannot be applied to this model; None where it can."""
    if geometry.rope.by_layer:
        return f"{geometry.architecture} has rope settings per kind of layer; one rope for all would break it"
    if geometry.rope.theta is None:
        return "the model states no rope_theta, which an override has to carry over; state it in its geometry"
    original = original_length(geometry, rope)
    if original > geometry.max_position_embeddings:
        return (
            f"original_max_position_embeddings {original} is above the model's own "
            f"max_position_embeddings {geometry.max_position_embeddings}"
        )
    reach = reachable_length(geometry, rope)
    if reach < geometry.max_position_embeddings:
        return (
            f"{describe_reach(geometry, rope)} is shorter than the model's own {geometry.max_position_embeddings}; "
            f"state a factor of {-(-geometry.max_position_embeddings // original)} or more, or leave rope out"
        )
    return None


def rope_arguments(geometry: Geometry, rope: Rope | None, engine_version: str | None) -> dict[str, Any]:
    """Return the engine's flags for ``rope``, in the spelling of its version; {} where there is none.

    Raises InferenceError where ``rope_problem`` has something to say.
    """
    if rope is None:
        return {}
    problem = rope_problem(geometry, rope)
    if problem is not None:
        raise InferenceError(f"rope cannot be applied: {problem}.")
    scaling: dict[str, Any] = {
        "rope_type": rope.rope_type,
        "factor": rope.factor,
        "original_max_position_embeddings": original_length(geometry, rope),
    }
    if behaviour(engine_version).rope_flag == "rope-scaling":
        return {"rope-scaling": scaling}
    theta = geometry.rope.theta
    scaling["rope_theta"] = int(theta) if theta is not None and theta.is_integer() else theta
    # The override replaces the whole dictionary: what it says beside the scaling is carried over.
    kept = {key: value for key, value in geometry.rope.settings.items() if key in CARRIED}
    overrides: dict[str, Any] = {
        "max_position_embeddings": reachable_length(geometry, rope),
        "rope_parameters": {**kept, **scaling},
    }
    for part in reversed(geometry.rope.part.split(".") if geometry.rope.part else []):
        overrides = {part: overrides}
    return {"hf-overrides": overrides}
