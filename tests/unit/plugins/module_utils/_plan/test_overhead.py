# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes beside weights and cache, out of the model and the flags."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._plan.overhead import (
    Shape,
    Workload,
    careful,
    expected,
)
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from hypothesis import given
from hypothesis import strategies as st

QWEN3_8B = Shape(hidden=4096, feed_forward=12288, vocabulary=151936, architecture="Qwen3ForCausalLM")
EXPERTS = Shape(hidden=2048, feed_forward=0, vocabulary=151936, expert_columns=768, experts_per_token=8)
RUN = Workload(batched_tokens=8192, sequences=256, engine_version="0.32.0")
SHAPES = st.builds(
    Shape,
    hidden=st.integers(64, 16384),
    feed_forward=st.integers(0, 65536),
    vocabulary=st.integers(512, 262144),
    expert_columns=st.sampled_from([0, 768, 2048]),
    experts_per_token=st.sampled_from([1, 8]),
    encoder=st.booleans(),
)
WORKLOADS = st.builds(
    Workload,
    batched_tokens=st.integers(16, 32768),
    sequences=st.integers(1, 2048),
    ranks=st.sampled_from([1, 2, 4, 8]),
    eager=st.booleans(),
    engine_version=st.sampled_from([None, "0.11.0", "0.14.1", "0.18.0", "0.21.0", "0.24.0", "0.27.1", "0.32.0"]),
    capability=st.sampled_from([None, 75, 89, 90, 100]),
)


def test_1024_sequences_take_more_than_256_by_the_logits_of_the_others() -> None:
    few, many = (careful(QWEN3_8B, replace(RUN, sequences=count)) for count in (256, 1024))
    assert many.inside > few.inside
    assert many.context - few.context == pytest.approx(768 * 151936 * 12.3, rel=0.001)


def test_where_the_sampler_sorts_1024_sequences_take_5_gib() -> None:
    old = replace(RUN, sequences=1024, engine_version="0.16.0")
    assert 5.4 * GIB < expected(QWEN3_8B, old).inside < 6 * GIB
    assert expected(QWEN3_8B, replace(old, engine_version="0.18.0")).inside < 2.6 * GIB


def test_a_batch_of_twice_the_tokens_takes_twice_the_activations() -> None:
    once, twice = (careful(QWEN3_8B, replace(RUN, batched_tokens=tokens)) for tokens in (16384, 32768))
    assert twice.transient == pytest.approx(2 * once.transient, rel=0.001)


def test_a_first_start_holds_the_embedding_table_once_more() -> None:
    first, later = (expected(QWEN3_8B, replace(RUN, compiled=compiled)) for compiled in (False, True))
    assert first.transient == pytest.approx(151936 * 4096 * 2 + 2 * 8192 * 4096 * 2, abs=1)
    assert first.transient - later.transient > 0.4 * GIB


def test_an_eager_engine_has_no_graphs_and_compiles_nothing() -> None:
    eager = careful(QWEN3_8B, replace(RUN, eager=True))
    assert eager.graphs == 0
    assert eager.transient < careful(QWEN3_8B, RUN).transient


@pytest.mark.parametrize(
    ("version", "architecture", "inside", "outside"),
    [
        ("0.18.0", "Qwen3ForCausalLM", False, True),
        ("0.21.0", "Qwen3ForCausalLM", True, False),
        ("0.24.0", "Qwen3ForCausalLM", False, True),
        ("0.24.0", "Gemma3ForCausalLM", True, False),
        ("0.27.1", "Qwen3ForCausalLM", True, True),
        ("0.32.0", "Qwen3ForCausalLM", True, False),
    ],
)
def test_cuda_graphs_count_where_the_version_and_its_runner_count_them(
    version: str, architecture: str, inside: bool, outside: bool
) -> None:
    run = replace(RUN, engine_version=version)
    found = careful(replace(QWEN3_8B, architecture=architecture), run)
    eager = careful(replace(QWEN3_8B, architecture=architecture), replace(run, eager=True))
    assert (found.graphs > 0) == inside
    assert (found.context > eager.context) == outside


def test_a_plan_keeps_the_workspace_of_experts_even_where_not_every_engine_took_it() -> None:
    old = replace(RUN, engine_version="0.13.0")
    assert careful(EXPERTS, old).persistent - expected(EXPERTS, old).persistent > 0.5 * GIB


@given(SHAPES, WORKLOADS)
def test_a_plan_keeps_at_least_what_is_expected(shape: Shape, run: Workload) -> None:
    kept, likely = careful(shape, run), expected(shape, run)
    assert all(getattr(kept, part) >= getattr(likely, part) >= 0 for part in vars(kept))


@given(SHAPES, WORKLOADS, st.integers(1, 4096))
def test_more_sequences_or_tokens_never_take_less(shape: Shape, run: Workload, more: int) -> None:
    now = careful(shape, run)
    for other in (replace(run, sequences=run.sequences + more), replace(run, batched_tokens=run.batched_tokens + more)):
        then = careful(shape, other)
        assert all(getattr(then, part) >= getattr(now, part) for part in vars(now))
