# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a context a model reaches, and how the engine is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.geometry import Geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Rope
from ansible_collections.llmops.inference.plugins.module_utils._plan.rope import (
    describe_reach,
    reachable_length,
    rope_arguments,
    rope_problem,
)
from ansible_collections.llmops.inference.tests.unit.scene import TINY

YARN = Rope("yarn", 4.0, 32768)


def geometry(**keys: Any) -> Geometry:
    return Geometry.from_config({**TINY, **keys})


def test_a_model_reaches_its_own_length() -> None:
    assert reachable_length(geometry(), None) == 40960


def test_yarn_reaches_factor_times_original_and_not_times_the_models_own() -> None:
    assert reachable_length(geometry(), YARN) == 131072
    assert "4 x 32768 = 131072" in describe_reach(geometry(), YARN)


def test_yarn_without_original_stretches_what_the_model_says() -> None:
    assert reachable_length(geometry(), Rope("yarn", 2.0)) == 81920
    trained = geometry(rope_scaling={"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 8192})
    assert reachable_length(trained, Rope("yarn", 2.0)) == 16384


@pytest.mark.parametrize(
    ("rope_type", "reached"),
    [("linear", 81920), ("dynamic", 81920), ("yarn", 40960), ("llama3", 40960), ("longrope", 40960)],
)
def test_of_the_checkpoints_own_scalings_the_engine_multiplies_by_two(rope_type: str, reached: int) -> None:
    scaled = geometry(rope_scaling={"rope_type": rope_type, "factor": 2.0})
    assert reachable_length(scaled, None) == reached


def test_gemma_states_its_length_already_scaled() -> None:
    gemma = geometry(architecture="Gemma3ForCausalLM", rope_scaling={"rope_type": "linear", "factor": 8.0})
    assert reachable_length(gemma, None) == 40960


def test_the_engine_is_told_the_length_and_the_models_theta_with_the_scaling() -> None:
    assert rope_arguments(geometry(), YARN, "0.32.0+cpu") == {
        "hf-overrides": {
            "max_position_embeddings": 131072,
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32768,
                "rope_theta": 1000000,
            },
        }
    }


@pytest.mark.parametrize("version", [None, "0.11.1", "0.33.0rc1", "1.0", "0.11.1.post1"])
def test_current_engines_take_an_override(version: str | None) -> None:
    assert set(rope_arguments(geometry(), YARN, version)) == {"hf-overrides"}


@pytest.mark.parametrize("version", ["0.11.0", "0.9.2", "0.10", "0.11"])
def test_older_engines_take_a_flag(version: str) -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    assert rope_arguments(geometry(), YARN, version) == {"rope-scaling": scaling}


def test_without_rope_the_engine_is_told_nothing() -> None:
    assert rope_arguments(geometry(), None, None) == {}


@pytest.mark.parametrize(
    ("keys", "rope", "said"),
    [
        ({"rope_theta": None}, YARN, "no rope_theta"),
        ({"architecture": "Gemma3ForCausalLM"}, YARN, "per kind of layer"),
        ({}, Rope("yarn", 4.0, 65536), "above the model's own"),
    ],
)
def test_a_rope_that_would_break_the_model_is_refused(keys: dict[str, Any], rope: Rope, said: str) -> None:
    assert said in (rope_problem(geometry(**keys), rope) or "")
    with pytest.raises(InferenceError, match=said):
        rope_arguments(geometry(**keys), rope, None)


def test_an_override_lies_where_the_model_nests_its_language_and_keeps_the_other_settings() -> None:
    text = {key: value for key, value in TINY.items() if key not in ("architecture", "rope_theta")}
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "partial_rotary_factor": 0.25}
    nested = {"architectures": ["XForConditionalGeneration"], "text_config": {**text, "rope_parameters": rope}}
    overrides = rope_arguments(Geometry.from_config(nested), YARN, None)["hf-overrides"]
    assert set(overrides) == {"text_config"}
    found = overrides["text_config"]["rope_parameters"]
    assert (found["mrope_section"], found["partial_rotary_factor"]) == ([24, 20, 20], 0.25)
    assert (found["rope_type"], found["rope_theta"]) == ("yarn", 5000000)


def test_a_factor_that_would_shrink_the_context_is_refused_with_one_that_does_not() -> None:
    assert "shorter than the model's own 40960; state a factor of 2" in (
        rope_problem(geometry(), Rope("yarn", 1.0, 32768)) or ""
    )


def test_a_release_candidate_is_not_a_later_patch() -> None:
    assert set(rope_arguments(geometry(), YARN, "0.11.0rc12")) == {"rope-scaling"}
