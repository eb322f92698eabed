# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The space of layouts: what is drawn out of it is what the plan allows, every time the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.candidates import (
    FoundCandidates,
    PlanLayout,
    default_space,
    find_candidates,
    planner,
    read_space,
)
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.tests.unit.scene import (
    QWEN3_1_7B,
    QWEN3_8B,
    box,
    models,
    parsed,
    planned,
    service,
)
from hypothesis import given
from hypothesis import strategies as some

LAYOUT = [
    service("mini", QWEN3_8B, gpus=[0], max_model_len=40960),
    service("micro", QWEN3_1_7B, gpus=[0], max_model_len=40960),
]
SETTINGS = Settings(engine_version="0.32.0")


def attempt(memory: float = 48) -> PlanLayout:
    """How to plan for one GPU of so many GiB."""
    known = models(parsed(LAYOUT))
    return planner(lambda services: plan(services, box(memory), known, SETTINGS, suggest=False), "cuda")


def find(
    space: Mapping[str, Mapping[str, Sequence[Any]]], most: int = 8, seed: int = 0, memory: float = 48
) -> FoundCandidates:
    return find_candidates(LAYOUT, space, attempt(memory), most, seed)


spaces = some.fixed_dictionaries(
    {},
    optional={
        name: some.fixed_dictionaries(
            {},
            optional={
                "max_num_seqs": some.lists(some.sampled_from([1, 32, 256, 4096]), min_size=1, unique=True),
                "max_num_batched_tokens": some.lists(some.sampled_from([256, 8192, 65536]), min_size=1, unique=True),
                "kv_cache_dtype": some.lists(some.sampled_from(["auto", "fp8", "fp64"]), min_size=1, unique=True),
                "memory_weight": some.lists(some.floats(1e-3, 1e12), min_size=1, max_size=3),
                "max_model_len": some.lists(some.sampled_from([4096, 40960, 10**6, "fit"]), min_size=1, unique=True),
            },
        )
        for name in ("mini", "micro")
    },
)


@given(spaces, some.integers(1, 12), some.integers(), some.sampled_from([24.0, 32.0, 48.0, 80.0]))
def test_every_candidate_is_one_that_the_plan_allows_and_a_seed_gives_the_same_ones(
    space: Mapping[str, Mapping[str, Sequence[Any]]], most: int, seed: int, memory: float
) -> None:
    found = find(space, most, seed, memory)
    assert len(found.candidates) <= most
    for candidate in found.candidates:
        changed = [{**item, **candidate.changes.get(item["name"], {})} for item in LAYOUT]
        again = planned(changed, box(memory), engine_version="0.32.0")
        assert again.fits
        assert again == candidate.plan
        for name, keys in candidate.changes.items():
            assert all(value in space[name][key] for key, value in keys.items())
    assert find(space, most, seed, memory) == found


@given(spaces, some.integers())
def test_no_two_candidates_are_the_same_layout(space: Mapping[str, Mapping[str, Sequence[Any]]], seed: int) -> None:
    rows = [str(candidate.to_dict()["services"]) for candidate in find(space, 12, seed).candidates]
    assert len(rows) == len(set(rows))


def test_the_layout_as_it_stands_is_the_first_candidate() -> None:
    found = find({"mini": {"max_num_seqs": [8, 16]}})
    assert found.start_fits
    assert [candidate.changes for candidate in found.candidates[:1]] == [{}]
    assert {candidate.changes["mini"]["max_num_seqs"] for candidate in found.candidates[1:]} == {8, 16}


def test_what_is_refused_is_counted_and_one_reason_is_told() -> None:
    found = find({"mini": {"max_model_len": [8192, 10**6]}})
    assert [candidate.changes for candidate in found.candidates] == [{}, {"mini": {"max_model_len": 8192}}]
    assert (found.combinations, found.drawn, found.refused) == (2, 2, 1)
    assert found.refusal is not None
    assert "1000000" in found.refusal


def test_a_start_that_does_not_fit_is_no_candidate() -> None:
    found = find({"mini": {"max_model_len": [4096]}, "micro": {"max_model_len": [4096]}}, memory=33)
    assert not found.start_fits
    assert [sorted(candidate.changes) for candidate in found.candidates] == [["micro", "mini"]]


def test_the_space_around_a_layout_keeps_its_context() -> None:
    services = parsed(LAYOUT)
    space = default_space(services, planned(LAYOUT, box(48)), "cuda")
    assert space["mini"]["max_num_seqs"] == [64, 128, 256, 512, 1024]
    assert space["mini"]["kv_cache_dtype"] == ["auto", "fp8"]
    assert len(space["micro"]["memory_weight"]) == 3, "they share a device"
    assert all("max_model_len" not in keys for keys in space.values())
    assert len(find(space, most=10).candidates) == 10


def test_every_mistake_of_a_space_is_named() -> None:
    with pytest.raises(InferenceError) as refused:
        read_space({"nobody": {}, "mini": {"port": [1], "max_num_seqs": 3}}, parsed(LAYOUT))
    assert len(refused.value.details["errors"]) == 3  # type: ignore[arg-type]
    assert "nobody" in str(refused.value)
