# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes that one rank takes on a GPU beside weights and KV cache, out of the model's shape and the flags. Pure.

Inside the share, the engine profiles one pass of ``batched_tokens`` tokens, then samples for ``sequences`` requests
(``profile_run`` and ``_dummy_sampler_run`` in ``vllm/v1/worker/gpu_model_runner.py``). The largest peak counts:

    forward   2 bytes * tokens * (3 hidden + 3 feed-forward columns of the rank + 2000); 4 hidden without the compiler
    sampler   2 bytes * tokens * hidden + sequences * vocabulary * (bytes a logit)
    compiling the rank's embedding table once more + 2 * 2 bytes * tokens * hidden; at the first start only

What stays allocated: CUDA libraries, a rotary table, buffers of the tensor-parallel group, and a workspace of
2 * 2 bytes * tokens * experts per token * hidden where a model has experts. Since 0.32 also the penalties' counts,
sequences * vocabulary * 4.125 bytes. CUDA graphs hold the activations of the
largest captured batch. Every coefficient is in ``FITTED``, with the page that shows how well it holds:
docs/plan-against-engine.md, written by tests/bench/overhead.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._values import GIB
from .engine_versions import (
    GRAPHS_INSIDE,
    GRAPHS_OUTSIDE,
    GRAPHS_RUNNER_1,
    RUNNER_1,
    RUNNER_2_ARCHITECTURES,
    RUNNER_2_DENSE,
    RUNNER_2_LISTED,
    SAMPLER_SORTS,
    Behaviour,
    behaviour,
)

ACTIVATION_BYTES = 2  # bfloat16 or float16, also beside weights of fewer bits
MOST_CAPTURED = 512  # tokens of the largest CUDA graph (``_set_cudagraph_sizes`` in ``vllm/config/vllm.py``)
ENCODER_TOKENS = 16_384  # that one image or video may fill in the encoder cache
# Hidden vectors that an encoder's token is kept as (deepstack), where it is more than one.
ENCODER_LEVELS = {"Qwen3VLForConditionalGeneration": 4, "Qwen3VLMoeForConditionalGeneration": 4}
# ``vllm/model_executor/layers/attention/mla_attention.py``: tokens of latent cache that a pass unpacks at most.
MLA_WORKSPACE_TOKENS = 65_536
USUAL_EXPERTS_PER_TOKEN = 8  # where a model does not say
BLACKWELL = 100  # compute capability 10.0


@dataclass(frozen=True)
class Coefficients:
    """Numbers that a fit found (``tests/bench/overhead``); a change of them is a change of every first plan."""

    libraries: float = 0.23  # GiB that stay: kernels, workspaces of cuBLAS
    logit_sorted: float = 38.2  # bytes a logit
    logit_in_place: float = 12.3
    group_rank: float = 0.078  # GiB a rank of a tensor-parallel group
    group_large: float = 1.94  # GiB on top, since 0.17, where FlashInfer is installed
    expert_workspace: float = 0.366  # of the workspace above, before 0.17
    encoder: float = 2.42  # of the encoder cache's bytes
    token_extra: float = 2000.0  # elements a token beside hidden and feed-forward ones


FITTED = Coefficients()
# Read off the nine starts on H100 with 0.24.0, and the 78 of H200 and B200 since 0.18 that tell their graphs.
GRAPHS_BASE = 0.28  # GiB
GRAPHS_HIDDEN = 0.08  # GiB for 1024 hidden columns, of 512 captured tokens
# H200 with 0.32.0 (docs/measured-on-gpu.md).
GRAPHS_SEQUENCES = 0.14  # GiB more for 512 sequences and more than for 256
CAUTION_GRAPHS = 0.06  # GiB
# For each sequence and word of the vocabulary, a count and a bit (``vllm/v1/worker/gpu/sample/penalties.py``).
COUNT_BYTES = 4.125
CAUTION_COUNTS = 0.04  # GiB
GRAPHS_EXPERTS = (0.55, 1.45)  # GiB more for a model with experts: mean, most
GRAPHS_GROUP = 0.2  # GiB more for a tensor-parallel group
# Outside the share: H100, driver 580 (docs/measured-on-gpu.md).
CONTEXT = 0.53  # GiB
GROUP_OUTSIDE = 1.4  # GiB: NCCL and the engine's own all-reduce, two ranks
GROUP_OUTSIDE_MORE = 0.12  # GiB for each rank above two; not measured: 2.1 at eight ranks, as it was estimated before
GRAPHS_OF_NCCL = 1.1  # GiB more where CUDA graphs hold NCCL's all-reduce
SERVING = 0.1  # GiB that load adds beside the sampler: workspaces of attention
# What a plan adds to the expected figure, so that no measured start exceeds it (docs/plan-against-engine.md).
CAUTION = 0.03
CAUTION_GROUP = 0.45  # without FlashInfer's buffers
CAUTION_GROUP_LARGE = 0.1
CAUTION_EXPERTS = 0.45
CAUTION_ENCODER = 0.05
CAUTION_OUTSIDE = 0.25  # of an engine whose bytes outside the share nobody has measured


@dataclass(frozen=True)
class Shape:
    """What of a model decides its overhead; 0 where it has none of that kind."""

    hidden: int
    feed_forward: int
    vocabulary: int
    architecture: str = ""
    head: int = 128  # elements of a head that rope turns
    expert_columns: int = 0
    experts_per_token: int = 0
    latent_heads: int = 0  # heads of MLA, and elements of key and value a head
    latent_head: int = 0
    encoder: bool = False  # has a vision or audio tower
    encoder_levels: int = 1  # hidden vectors an encoder token is kept as: 4 in Qwen3-VL (deepstack)
    quantized: bool = False


@dataclass(frozen=True)
class Workload:
    """How an engine is asked to run it. ``compiled``: the compiler's cache has the model already."""

    batched_tokens: int
    sequences: int
    ranks: int = 1
    length: int = 40_960  # positions that the rotary table has
    eager: bool = False
    engine_version: str | None = None
    capability: int | None = None  # compute capability, 9.0 as 90
    compiled: bool = False
    nccl_graphs: bool = False
    runner: str | None = None  # "1" or "2" where the environment says so
    flashinfer: bool = True  # is installed, as the engine's released wheels ask for


@dataclass(frozen=True)
class Overhead:
    """Bytes of one rank: outside the share ``context`` and ``group``, the others inside it."""

    context: int
    group: int
    persistent: int
    transient: int
    graphs: int

    @property
    def inside(self) -> int:
        """Return what the engine takes off its share beside weights, in bytes."""
        return self.persistent + self.transient + self.graphs


def expected(shape: Shape, run: Workload, of: Coefficients = FITTED) -> Overhead:
    """Return what a start most likely takes."""
    return _overhead(shape, run, of, careful=False)


def careful(shape: Shape, run: Workload, of: Coefficients = FITTED) -> Overhead:
    """Return what a plan keeps free: no start on record took more inside its share than that, weights aside."""
    return _overhead(shape, run, of, careful=True)


def _overhead(shape: Shape, run: Workload, of: Coefficients, *, careful: bool) -> Overhead:
    known = behaviour(run.engine_version)
    graphs = 0.0 if run.eager else _graphs(shape, run, careful=careful)
    inside, outside = _where_graphs_count(shape, run, known.graphs, careful=careful)
    group = 0.0
    if run.ranks > 1:
        group = GROUP_OUTSIDE + GROUP_OUTSIDE_MORE * (run.ranks - 2)
        group += GRAPHS_OF_NCCL if run.nccl_graphs and not run.eager else 0
    load = SERVING
    if _runner(shape, run) != RUNNER_1:  # it samples less in the pass than it does under load
        load += sampler_gib(shape, run, of.logit_in_place)
    if careful and not known.outside_measured:
        load += CAUTION_OUTSIDE
    return Overhead(
        context=_bytes(CONTEXT + load + (graphs if outside else 0)),
        group=_bytes(group),
        persistent=_bytes(_persistent(shape, run, of, known, careful=careful)),
        transient=_bytes(_transient(shape, run, of, known)),
        graphs=_bytes(graphs if inside else 0),
    )


def _persistent(shape: Shape, run: Workload, of: Coefficients, known: Behaviour, *, careful: bool) -> float:
    """Return the GiB that stay allocated beside weights and cache."""
    large = known.group_buffers == "large"
    flashinfer = large and run.flashinfer
    result = of.libraries + 4 * run.length * shape.head / GIB
    if known.counts_of_tokens and _runner(shape, run) != RUNNER_1:
        result += sampler_gib(shape, run, COUNT_BYTES) + (CAUTION_COUNTS if careful else 0)
    if run.ranks > 1:
        result += of.group_rank * run.ranks + (of.group_large if flashinfer else 0)
    workspace = 2 * ACTIVATION_BYTES * run.batched_tokens * shape.experts_per_token * shape.hidden / GIB
    if careful:
        result += workspace + CAUTION
        result += (CAUTION_GROUP_LARGE if flashinfer else CAUTION_GROUP) if run.ranks > 1 else 0
        result += CAUTION_EXPERTS if shape.expert_columns else 0
        result += CAUTION_ENCODER if shape.encoder else 0
    elif not large:
        result += of.expert_workspace * workspace
    elif not (shape.quantized and run.capability is not None and run.capability >= BLACKWELL):
        result += workspace
    return result


def _transient(shape: Shape, run: Workload, of: Coefficients, known: Behaviour) -> float:
    """Return the GiB of the profiling pass's peak."""
    tokens, row = run.batched_tokens, ACTIVATION_BYTES * shape.hidden
    columns = max(shape.feed_forward, shape.expert_columns * shape.experts_per_token) / run.ranks
    hidden = 4 if run.eager else 3  # the compiler saves one copy
    elements = hidden * shape.hidden + 3 * columns + of.token_extra
    forward = ACTIVATION_BYTES * tokens * elements / GIB
    latent = shape.latent_heads / run.ranks * shape.latent_head * ACTIVATION_BYTES
    forward += min(MLA_WORKSPACE_TOKENS, max(8 * run.length, 4 * 64 * run.sequences)) * latent / GIB
    logit = of.logit_sorted if known.sampler == SAMPLER_SORTS else of.logit_in_place
    peaks = [forward, tokens * row / GIB + sampler_gib(shape, run, logit)]
    if not run.compiled and not run.eager:
        peaks.append((shape.vocabulary / run.ranks * row + 2 * tokens * row) / GIB)
    encoder = ENCODER_TOKENS * row * shape.encoder_levels / GIB if shape.encoder else 0.0
    return max(peaks) + of.encoder * encoder


def sampler_gib(shape: Shape, run: Workload, logit_bytes: float) -> float:
    """Return the GiB in which the tokens of all sequences are sampled; every rank has the whole vocabulary."""
    return run.sequences * shape.vocabulary * logit_bytes / GIB


def _graphs(shape: Shape, run: Workload, *, careful: bool) -> float:
    captured = min(2 * run.sequences, MOST_CAPTURED)
    result = GRAPHS_BASE + GRAPHS_HIDDEN * shape.hidden / 1024 * captured / MOST_CAPTURED
    result += GRAPHS_EXPERTS[careful] if shape.expert_columns else 0
    if _runner(shape, run) != RUNNER_1 and behaviour(run.engine_version).graphs == GRAPHS_INSIDE:
        more = min(run.sequences, MOST_CAPTURED) - MOST_CAPTURED // 2
        result += GRAPHS_SEQUENCES * max(0, more) / (MOST_CAPTURED // 2)
        result += CAUTION_GRAPHS if careful else 0
    return result + (GRAPHS_GROUP if run.ranks > 1 else 0)


def _where_graphs_count(shape: Shape, run: Workload, rule: str, *, careful: bool) -> tuple[bool, bool]:
    """Return whether CUDA graphs are taken off the share, and whether they lie outside it; both where unknown."""
    first = _runner(shape, run) == RUNNER_1
    if rule == GRAPHS_OUTSIDE or (rule == GRAPHS_RUNNER_1 and not first):
        return False, True
    if rule in (GRAPHS_INSIDE, GRAPHS_RUNNER_1) or first:
        return True, False
    return careful, True


def _runner(shape: Shape, run: Workload) -> str:
    """Return the model runner that the engine takes for this model."""
    if run.runner is not None:
        return run.runner
    rule = behaviour(run.engine_version).runner
    if rule == RUNNER_2_LISTED:
        return "2" if shape.architecture in RUNNER_2_ARCHITECTURES else RUNNER_1
    if rule == RUNNER_2_DENSE:
        return RUNNER_1 if shape.expert_columns and shape.architecture not in RUNNER_2_ARCHITECTURES else "2"
    return rule


def _bytes(gib: float) -> int:
    return int(gib * GIB)
