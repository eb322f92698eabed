# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of every family are read from their config.json, and an engine's own arithmetic agrees."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.expected import expected_tensors
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.weights import rank_weights
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.sizing import Sized, size_service
from ansible_collections.llmops.inference.tests.unit.known_models import config_of, read, recorded, starts

# Their config.json states an architecture and no size.
WITHOUT_SIZES = {"BertModel", "XLMRobertaForSequenceClassification"}
MODELS = sorted(recorded()["models"])
FAMILIES = sorted(recorded()["families"])
KINDS = {
    "FullAttentionSpec": "full",
    "SlidingWindowSpec": "window",
    "ChunkedLocalAttentionSpec": "chunk",
    "MLAAttentionSpec": "latent",
    "CrossAttentionSpec": "cross",
    "MambaSpec": "state",
}


def asked() -> list[Any]:
    """Every model and number of ranks that the engine was asked for."""
    entries = {**recorded()["families"], **recorded()["models"]}
    return [
        pytest.param(name, int(ranks), answer, id=f"{name}-{ranks}")
        for name, entry in sorted(entries.items())
        for ranks, answer in sorted(entry.get("engine", {}).items())
        if "Llama-3.1-70B-Instruct-FP8" not in name  # asked with its quantization, below
    ]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_people_run_is_read_or_refused_with_a_way_out(name: str) -> None:
    if name in WITHOUT_SIZES:
        with pytest.raises(InferenceError, match=r"hidden_size is missing.*State hidden_size in the service"):
            read(name)
        return
    shape = read(name)
    assert shape.is_known
    assert rank_weights(expected_tensors(shape), shape, 1) > 0
    assert bool(shape.cache) != shape.encoder


def test_of_the_models_that_people_run_at_most_two_are_refused() -> None:
    assert len(MODELS) >= 50
    assert len(WITHOUT_SIZES & set(MODELS)) == 2


@pytest.mark.parametrize(("name", "ranks", "answer"), asked())
def test_the_weights_are_those_of_the_engine(name: str, ranks: int, answer: dict[str, Any]) -> None:
    """The engine was asked without quantization, for parameters alone, one rank of so many."""
    shape = read(name, quantized=False)
    assert rank_weights(expected_tensors(shape), shape, ranks) == pytest.approx(answer["weights"], rel=0.002)


@pytest.mark.parametrize(("name", "ranks", "answer"), asked())
def test_the_layers_keep_as_much_as_the_engine_says(name: str, ranks: int, answer: dict[str, Any]) -> None:
    shape = read(name, quantized=False)
    found: Counter[tuple[str, int]] = Counter()
    for kept in shape.cache:
        if kept.kind != "index":
            size = kept.state.bytes(ranks, 2, 4) if kept.state else kept.token_bytes(ranks, 2)
            found[kept.kind, size] += kept.count
    engine: Counter[tuple[str, int]] = Counter()
    for kind, tokens, size, count in answer["cache"]:
        engine[KINDS[kind], size if kind == "MambaSpec" else size // tokens] += count
    assert found == engine


def test_a_quantized_checkpoint_has_the_bytes_that_the_engine_gives_it() -> None:
    name = "nvidia/Llama-3.1-70B-Instruct-FP8"
    shape, answer = read(name), recorded()["models"][name]["engine"]["1"]
    assert rank_weights(expected_tensors(shape), shape, 1) == pytest.approx(answer["weights"], rel=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_of_which_only_the_structure_is_known_has_its_published_parameters(name: str) -> None:
    shape = read(name)
    tensors = [
        group for group in expected_tensors(shape) if not (shape.tie_word_embeddings and group.name == "lm_head.weight")
    ]
    parameters = sum(group.count * math.prod(group.shape) for group in tensors)
    assert parameters == pytest.approx(recorded()["families"][name]["parameters"], rel=0.007)


def test_published_starts_have_the_tokens_that_follow_from_their_cache() -> None:
    found, without = starts()
    errors = [abs(start.tokens_error) for start in found]
    assert len(found) >= 185
    assert {row["model"] for row in without} <= {"deepseek-ai/DeepSeek-V4-Pro"}
    assert sum(errors) / len(errors) < 0.05
    assert max(errors) < 0.2


def test_published_starts_have_the_weights_that_follow_from_their_config() -> None:
    errors = [abs(start.weights_error) for start in starts()[0]]
    assert sum(errors) / len(errors) < 0.6
    assert max(errors) < 4


@pytest.mark.parametrize("name", sorted(set(MODELS) - WITHOUT_SIZES))
def test_a_model_that_people_run_is_planned_from_its_config_alone(name: str) -> None:
    config = config_of(name)
    sized = None
    for ranks in (8, 4, 2, 1):
        service = {"name": "m", "model": "m", "geometry": config, "port": 8000, "tensor_parallel_size": ranks}
        (parsed,) = parse_layout([service], "cuda")
        sized = size_service(parsed, checkpoint_from_geometry(config or {}, name), "cuda")
        if isinstance(sized, Sized):
            break
    assert isinstance(sized, Sized), sized
    assert sized.need_bytes <= sized.want_bytes
    assert sized.demand.sources["weights"] == "estimated"
