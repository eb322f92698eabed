# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory that one tensor-parallel rank of a service needs, by component, in bytes.

The engine's own order of events (``vllm/v1/worker/gpu_worker.py``, ``cpu_worker.py``): context and
communication buffers are created first and lie outside its share of the device; inside the share come
weights, what stays allocated beside them, the peak of a profiling pass, CUDA graphs, and the KV cache takes
the rest. On cpu the share is charged with the resident memory of the worker process. What the worker holds before it
has loaded anything is in the share, too, but the engine finds it missing when it looks for that share (gate 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._gpu.topology import Link
from .._model.geometry import Geometry
from .._model.model import Checkpoint
from .._model.stages import Stage, local_stages
from .._values import GIB, MIB, as_integer
from .cache import KvCache, Terms, lay_out
from .layout import Service
from .overhead import ENCODER_LEVELS, USUAL_EXPERTS_PER_TOKEN, Shape, Workload, careful
from .plan import Measured
from .rope import reachable_length


@dataclass(frozen=True)
class Estimates:
    """Bytes that follow from neither the model nor the layout, until a start has measured them."""

    context: int  # outside the share: CUDA's context and what is allocated past the share; on cpu other processes, less
    # the pages of files that the share is charged with
    nccl: int  # outside the share: communication buffers, with two ranks or more
    persistent: int  # inside: stays allocated beside weights and KV cache; on cpu the bare worker process
    transient: int  # inside: peak of the profiling pass above that
    graphs: int  # inside: CUDA graphs, unless enforce-eager
    margin: int = 0  # inside: by how much the others may be too low; 0 where they are upper ends


# On the CPU build of 0.32 a worker in eager mode takes nearly the same beside any weights: what is expected and the
# margin are two numbers (docs/plan-against-engine.md). On a GPU all follows from model and flags (``overhead``).
ESTIMATES: Mapping[str, Estimates] = {
    "cpu": Estimates(
        context=int(0.6 * GIB),
        nccl=int(0.1 * GIB),
        persistent=int(0.7 * GIB),
        transient=0,
        graphs=0,
        margin=72 * MIB,
    ),
}
# What a model is taken for whose shape nobody states: one of 70 billion parameters.
UNSTATED = Shape(hidden=8192, feed_forward=28_672, vocabulary=152_064)

# Tokens per block where the user does not choose: the engine's default, 128 on cpu
# (``vllm/platforms/cpu.py``); the latent cache of MLA has kernels for 64 on cuda.
BLOCK_TOKENS = {"cuda": 16, "cpu": 128}
MLA_BLOCK_TOKENS = {"cuda": 64, "cpu": 128}
KV_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
ENGINE_DTYPE_BYTES = {"float": 4, "float32": 4, "half": 2, "float16": 2, "bfloat16": 2}
# Sizes of a tensor-parallel group for which the engine has an all-reduce of its own
# (``vllm/distributed/device_communicators/custom_all_reduce.py``).
OWN_ALL_REDUCE = (2, 4, 6, 8)
# Batches under way at once, each holding blocks of a window: two where scheduling is asynchronous.
# Blocks of a sequence's state: the one that it works with, and with prefix caching, the engine's default, one more.
STATE_BLOCKS = 2
CONCURRENT_BATCHES = {"cuda": 2, "cpu": 1}


# By how much a start may take more than those that were measured, in bytes: it must still pass its gates. On cpu the
# share is charged with pages of files, too, and how many are mapped depends on what the kernel has of them in memory:
# workers of one engine took 0.60 to 0.70 GiB on different days, and within 10 MiB the same on one day
# (docs/plan-against-engine.md). On an H100 a start that had to compile took 0.50 GiB more of its share than later ones,
# and a loaded engine 0.85 GiB more outside it than when it looked for its share, without the CUDA graphs
# (docs/measured-on-gpu.md).
MARGIN_INSIDE = {"cuda": 576 * MIB, "cpu": 72 * MIB}
MARGIN_OUTSIDE = {"cuda": 896 * MIB, "cpu": 64 * MIB}


@dataclass(frozen=True)
class Demand:
    """What one rank needs: fixed bytes outside and inside its share, and the cache that grows with length.

    ``margin`` bytes of the cache are not counted on when a context has to fit; ``starting`` bytes must be free on each
    device beside all the rest while it starts.
    """

    outside: Mapping[str, int]
    fixed: Mapping[str, int]
    kv: KvCache
    sources: Mapping[str, str]
    margin: int = 0
    starting: int = 0

    @property
    def outside_bytes(self) -> int:
        """Return the bytes outside the engine's share."""
        return sum(self.outside.values())

    @property
    def fixed_bytes(self) -> int:
        """Return the bytes inside the share that no cache can have."""
        return sum(self.fixed.values())

    def share_bytes(self, length: int) -> int:
        """Return the least share in bytes with which a context of ``length`` tokens starts (gate 2)."""
        return self.fixed_bytes + self.margin + self.kv.request_bytes(length)


def demand(
    service: Service,
    checkpoint: Checkpoint,
    accelerator: str,
    measured: Measured | None = None,
    links: Sequence[Link] = (),
    *,
    engine_version: str | None = None,
    capability: int | None = None,
) -> Demand:
    """Return what each rank of ``service`` needs on that accelerator, as estimated or as measured.

    ``links`` are those of the host: without access between its GPUs the engine communicates otherwise. ``capability``
    is the lowest compute capability of the GPUs that it may run on.
    """
    if accelerator == "cpu":
        estimates = ESTIMATES["cpu"]
    else:
        estimates = _on_gpu(service, checkpoint.geometry, links, engine_version, capability)
    outside = {"context": estimates.context, "nccl": estimates.nccl if service.ranks > 1 else 0}
    fixed = {
        "weights": _rank_weights(service, checkpoint),
        "persistent": estimates.persistent,
        "transient": estimates.transient,
        "graphs": estimates.graphs,
    }
    sources = dict.fromkeys((*outside, *fixed), "estimated")
    sources.update(
        weights=checkpoint.tier(service.tensor_parallel_size), kv_cache="estimated"
    )  # the cache is what the others leave
    needed = Demand(
        outside,
        fixed,
        kv_cache(service, checkpoint.geometry, accelerator),
        sources,
        margin=estimates.margin,
        starting=_starting(fixed, accelerator),
    )
    return needed if measured is None else _calibrated(needed, measured, accelerator)


def _on_gpu(
    service: Service, geometry: Geometry, links: Sequence[Link], engine_version: str | None, capability: int | None
) -> Estimates:
    """Return the bytes that no start on record exceeded, of one rank on a GPU."""
    runner = {"0": "1", "1": "2"}.get(str(service.environment.get("VLLM_USE_V2_MODEL_RUNNER")))
    run = Workload(
        batched_tokens=service.max_num_batched_tokens,
        sequences=service.max_num_seqs,
        ranks=service.tensor_parallel_size,
        length=reachable_length(geometry, service.rope),
        eager=_is_set(service, "enforce-eager"),
        engine_version=engine_version,
        capability=capability,
        nccl_graphs=_graphs_hold_nccl(service, links),
        runner=runner,
    )
    found = careful(shape_of(geometry), run)
    # Stages of a pipeline exchange activations as ranks of a group do.
    nccl = found.group or careful(shape_of(geometry), replace(run, ranks=2)).group
    return Estimates(found.context, nccl, found.persistent, found.transient, found.graphs)


def shape_of(geometry: Geometry) -> Shape:
    """Return what of a model decides its overhead; what it does not state is that of UNSTATED."""
    heads = geometry.num_attention_heads
    return Shape(
        hidden=geometry.hidden_size or UNSTATED.hidden,
        feed_forward=geometry.intermediate_size or (0 if geometry.num_experts else UNSTATED.feed_forward),
        vocabulary=geometry.vocab_size or UNSTATED.vocabulary,
        architecture=geometry.architecture,
        head=geometry.qk_rope_head_dim or geometry.head_dim or UNSTATED.head,
        expert_columns=geometry.moe_intermediate_size if geometry.num_experts else 0,
        experts_per_token=USUAL_EXPERTS_PER_TOKEN if geometry.num_experts else 0,
        latent_heads=heads if geometry.uses_mla else 0,
        latent_head=geometry.qk_nope_head_dim + geometry.v_head_dim,
        encoder=geometry.architecture.endswith("ForConditionalGeneration"),
        encoder_levels=ENCODER_LEVELS.get(geometry.architecture, 1),
        quantized=geometry.quantization is not None,
    )


def _is_set(service: Service, flag: str) -> bool:
    return service.engine_args.get(flag) is True


def _is_off(service: Service, flag: str) -> bool:
    return service.engine_args.get(flag) in (False, "false", "False") or _is_set(service, f"no-{flag}")


def _graphs_hold_nccl(service: Service, links: Sequence[Link]) -> bool:
    """Whether the engine must do without its own all-reduce, by the rules of ``custom_all_reduce.py``."""
    ranks = service.tensor_parallel_size
    if ranks == 1:
        return False
    if _is_set(service, "disable-custom-all-reduce") or ranks not in OWN_ALL_REDUCE or service.multi_node:
        return True
    refused = any(link.p2p_read not in (None, "ok") for link in links)
    return refused or (ranks > 2 and any(link.level != "NVLINK" for link in links))


def _rank_weights(service: Service, checkpoint: Checkpoint) -> int:
    """Return the bytes of weights on the rank of this host that has most of them."""
    ranks, width = service.tensor_parallel_size, _engine_dtype_bytes(service, checkpoint.geometry)
    here: Sequence[Stage | None] = _stages_here(service, checkpoint.geometry) or [None]
    return max(checkpoint.rank_weights(ranks, width, stage) for stage in here)


def _stages_here(service: Service, geometry: Geometry) -> list[Stage]:
    """Return the stages of a pipeline that have a rank on this host; none where there is no pipeline."""
    if service.pipeline_parallel_size == 1:
        return []
    node_rank, nodes = (service.multi_node.node_rank, service.multi_node.nodes) if service.multi_node else (0, 1)
    sizes = service.tensor_parallel_size, service.pipeline_parallel_size
    return local_stages(geometry.num_hidden_layers, *sizes, node_rank, nodes)


def _starting(fixed: Mapping[str, int], accelerator: str) -> int:
    """Return what of a share is held already when gate 1 looks for all of it: on cpu the bare worker."""
    return fixed["persistent"] if accelerator == "cpu" else 0


def _calibrated(estimated: Demand, measured: Measured, accelerator: str) -> Demand:
    """Return a demand with the bytes that were measured.

    Weights stay what the files say, as long as they have room in what was measured; what the engine does not tell
    apart is persistent.
    """
    weights = min(estimated.fixed["weights"], measured.overhead)
    graphs = min(measured.graphs, measured.overhead - weights)
    transient = min(measured.transient, measured.overhead - weights - graphs)
    persistent = measured.overhead - weights - graphs - transient
    fixed = {"weights": weights, "persistent": persistent, "transient": transient, "graphs": graphs}
    sources = {**estimated.sources, **dict.fromkeys(("persistent", "transient", "graphs", "kv_cache"), "measured")}
    if weights != estimated.fixed["weights"]:
        sources["weights"] = "measured"
    outside = estimated.outside
    if measured.outside is not None:
        whole = measured.outside + MARGIN_OUTSIDE[accelerator]
        # One number is measured; with several ranks a context is taken for what it usually is, the rest for buffers.
        context = min(whole, estimated.outside["context"]) if estimated.outside["nccl"] else whole
        outside = {"context": context, "nccl": whole - context}
        sources.update(dict.fromkeys(outside, "measured"))
    return Demand(
        outside,
        fixed,
        estimated.kv,
        sources,
        margin=max(MARGIN_INSIDE[accelerator], _least_overhead(weights, accelerator) - measured.overhead),
        starting=_starting(fixed, accelerator),
    )


def _least_overhead(weights: int, accelerator: str) -> int:
    """Return what a start must be able to take whatever was measured, in bytes.

    On cpu, one that found little memory was charged with 0.15 GiB less of pages of files; the next may not be.
    """
    if accelerator != "cpu":
        return 0
    return weights + ESTIMATES["cpu"].persistent + ESTIMATES["cpu"].margin // 2


def kv_cache(service: Service, geometry: Geometry, accelerator: str) -> KvCache:
    """Return the block arithmetic of a service's cache on one rank; of several stages the one with most layers."""
    default = (MLA_BLOCK_TOKENS if geometry.uses_mla else BLOCK_TOKENS)[accelerator]
    block = as_integer(service.engine_args.get("block-size")) or default
    engine = _engine_dtype_bytes(service, geometry)
    terms = Terms(
        ranks=service.tensor_parallel_size,
        value_bytes=_cache_bytes(service, geometry, service.kv_cache_dtype),
        state_bytes=engine,
        block_tokens=block,
        in_flight=CONCURRENT_BATCHES[accelerator] * service.max_num_batched_tokens,
        hybrid=not _is_set(service, "disable-hybrid-kv-cache-manager"),
        state_blocks=STATE_BLOCKS - _is_off(service, "enable-prefix-caching"),
        recurrent_bytes=_recurrent_bytes(service, accelerator),
        token_bytes=_stated_bytes(service, geometry),
    )
    layers = geometry.cache
    here = _stages_here(service, geometry)
    if here:  # of a pipeline all layers are alike, else it is refused
        most = max(stage.layers for stage in here)
        layers = tuple(replace(kept, count=_ceil(kept.count * most, geometry.num_hidden_layers)) for kept in layers)
    return lay_out(layers, terms)


def _recurrent_bytes(service: Service, accelerator: str) -> int:
    """Return the bytes of a value of a recurrent state; 0 where the model or the engine's type decides."""
    stated = str(service.engine_args.get("mamba-ssm-cache-dtype", "auto"))
    return ENGINE_DTYPE_BYTES.get(stated, 4 if accelerator == "cpu" else 0)


def _cache_bytes(service: Service, geometry: Geometry, dtype: str) -> int:
    """Return the bytes of one value in a cache of that type; ``auto`` is the engine's own, or the checkpoint's wish."""
    return KV_DTYPE_BYTES.get(dtype, max(2, _engine_dtype_bytes(service, geometry)))


def _stated_bytes(service: Service, geometry: Geometry) -> int:
    """Return the stated bytes of one token on one rank of this service; 0 where nothing is stated.

    They are those of the service's own log, unless the ranks or the type of another one are stated beside them.
    """
    if geometry.kv_bytes_per_token is None:
        return 0
    stated, heads = geometry.kv_bytes_per_token, geometry.num_key_value_heads
    if geometry.kv_bytes_per_token_ranks and heads and not geometry.uses_mla:
        here, there = (
            max(1, heads // ranks) for ranks in (service.tensor_parallel_size, geometry.kv_bytes_per_token_ranks)
        )
        stated = _ceil(stated * here, there)
    if geometry.kv_bytes_per_token_dtype is not None:
        then = _cache_bytes(service, geometry, geometry.kv_bytes_per_token_dtype)
        stated = _ceil(stated * _cache_bytes(service, geometry, service.kv_cache_dtype), then)
    return stated


def _engine_dtype_bytes(service: Service, geometry: Geometry) -> int:
    stated = service.engine_args.get("dtype", "auto")
    return ENGINE_DTYPE_BYTES.get(str(stated), geometry.dtype_bytes)


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)
