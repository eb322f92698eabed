# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service as the planner weighs it, and what a device can hold of such services.

    gate 2    weights + persistent + transient + graphs + cache for max_model_len  <=  u * T
    gate 1    u * T  <=  T - context - nccl - starting - used by others
    the card  sum over its services of (context + nccl + u * T) + the largest starting + used by others + reserve  <=  T

``starting`` is 0 on a GPU. Services of one device start one after the other. The last rule implies gate 1 for every
service at any time, also for one that restarts while the others hold all of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._gpu.topology import Gpu, Link
from .._model.geometry import Geometry
from .._model.model import Checkpoint
from .._values import GIB
from .capability import capability_of, card_obstacle
from .devices import Device
from .layout import Service
from .memory import Demand, demand
from .plan import Measured, Refusal
from .rope import describe_reach, reachable_length, rope_problem
from .shares import units_for

# What `max_model_len: fit` insists on before the rest of a device is divided: less serves nobody.
FIT_LEAST_TOKENS = 4096


@dataclass(frozen=True)
class Sized:
    """A service with its demand: a context of ``least`` tokens must fit, one above ``most`` has no use."""

    service: Service
    checkpoint: Checkpoint
    demand: Demand
    least: int
    most: int
    need_bytes: int  # of a share that holds ``least``
    want_bytes: int  # of one that holds ``most``
    outside_bytes: int  # outside the share, on each device
    starting_bytes: int  # needed on each device until it has started
    unable: frozenset[int] = frozenset()  # indices of GPUs that cannot run it
    calibration_key: str | None = None

    @property
    def name(self) -> str:
        """Return the service's name."""
        return self.service.name

    def need_units(self, devices: Iterable[Device]) -> int:
        """Return the smallest share that suffices on each of its devices."""
        return units_for(self.need_bytes, min([device.total_bytes for device in devices]))

    def want_units(self, devices: Iterable[Device]) -> int:
        """Return the share with which the longest context fits on each of its devices."""
        return units_for(self.want_bytes, min([device.total_bytes for device in devices]))


def start_key(sized: Sized) -> tuple[int, str]:
    """Sort key of the start order: the bigger need first, then by name.

    What is on several hosts comes before all else and by name alone, so that its hosts start it in one order; its need
    may differ between them, and two that wait for each other's devices would wait for ever.
    """
    need = 1 << 63 if sized.service.multi_node else sized.need_bytes + sized.outside_bytes
    return (-need, sized.name)


def size_service(
    service: Service,
    checkpoint: Checkpoint,
    accelerator: str,
    measured: Measured | None = None,
    calibration_key: str | None = None,
    *,
    links: Sequence[Link] = (),
    engine_version: str | None = None,
    cards: Sequence[Gpu] = (),
) -> Sized | Refusal:
    """Return the service with its demand, or why no device whatsoever could run it.

    ``cards`` are the GPUs that it may be placed on: those that the layout names, or all that can be used.
    """
    refusal = _ranks_refusal(service, checkpoint.geometry) or _length_refusal(service, checkpoint.geometry)
    if refusal is not None:
        return refusal
    obstacles = {gpu.index: card_obstacle(service, checkpoint.geometry, gpu, engine_version) for gpu in cards}
    unable = {index: text for index, text in obstacles.items() if text is not None}
    if unable and (service.gpus is not None or len(unable) == len(cards)):
        return Refusal(service.name, f"{'; '.join(unable.values())}.", "")
    capability = min(filter(None, (capability_of(gpu) for gpu in cards if gpu.index not in unable)), default=None)
    reach = reachable_length(checkpoint.geometry, service.rope)
    least, most = service.max_model_len or min(FIT_LEAST_TOKENS, reach), service.max_model_len or reach
    needed = demand(
        service, checkpoint, accelerator, measured, links, engine_version=engine_version, capability=capability
    )
    return Sized(
        service=service,
        checkpoint=checkpoint,
        demand=needed,
        least=least,
        most=most,
        need_bytes=needed.share_bytes(least),
        want_bytes=needed.share_bytes(most),
        outside_bytes=needed.outside_bytes,
        starting_bytes=needed.starting,
        unable=frozenset(unable),
        calibration_key=calibration_key,
    )


def _ranks_refusal(service: Service, geometry: Geometry) -> Refusal | None:
    """Refuse a tensor- or pipeline-parallel size that the engine, or the plan, cannot divide the model by."""
    refusal = _stages_refusal(service, geometry)
    if refusal is not None:
        return refusal
    ranks, keys = service.tensor_parallel_size, geometry.num_key_value_heads
    divided = [
        (geometry.num_attention_heads, "attention heads"),
        (geometry.intermediate_size, "columns of the feed-forward layer"),
    ]
    for count, what in divided:
        if count % ranks:
            return Refusal(
                service.name,
                f"{count} {what} cannot be divided over tensor_parallel_size {ranks}.",
                f"{count} / {ranks} = {count / ranks:.2f}, and a rank takes whole ones.",
            )
    if keys and geometry.keeps_heads and keys % ranks and ranks % keys:
        return Refusal(
            service.name,
            f"{keys} key-value heads can be neither divided over nor repeated on {ranks} ranks.",
            f"{keys} / {ranks} = {keys / ranks:.2f} and {ranks} / {keys} = {ranks / keys:.2f}; one must be whole.",
        )
    return None


def _stages_refusal(service: Service, geometry: Geometry) -> Refusal | None:
    size, layers = service.pipeline_parallel_size, geometry.num_hidden_layers
    if size == 1:
        return None
    if size > layers:
        reason = f"{layers} layers cannot be divided over pipeline_parallel_size {size}."
        return Refusal(service.name, reason, f"{layers} < {size}, and a stage takes one at least.")
    if not geometry.is_known or not geometry.alike:
        what = "differ in what they keep" if geometry.is_known else "are not known"
        return Refusal(
            service.name,
            f"the layers of {geometry.architecture} {what}, so that no plan can say what a stage of a pipeline takes.",
            "Divide it by tensor_parallel_size alone.",
        )
    return None


def _length_refusal(service: Service, geometry: Geometry) -> Refusal | None:
    """Refuse a rope that cannot be applied and a context that the rope does not reach."""
    if service.rope is not None:
        problem = rope_problem(geometry, service.rope)
        if problem is not None:
            return Refusal(service.name, f"rope cannot be applied: {problem}.", "")
    reach = reachable_length(geometry, service.rope)
    if service.max_model_len is not None and service.max_model_len > reach:
        return Refusal(
            service.name,
            f"max_model_len {service.max_model_len} is above the {reach} tokens that the model reaches.",
            f"{describe_reach(geometry, service.rope)}; {service.max_model_len} - {reach} = "
            f"{service.max_model_len - reach} tokens too many.",
        )
    return None


def gib(size: int) -> str:
    """Return a size as a reader wants it."""
    return f"{size / GIB:.2f} GiB"


def exact(size: int) -> str:
    """Return a size for a reader and for a calculator."""
    return f"{size / GIB:.2f} GiB ({size} bytes)"


def demand_text(sized: Sized) -> str:
    """Return the sum that a service needs at least inside its share."""
    parts = [f"{name} {gib(size)}" for name, size in sized.demand.fixed.items() if size]
    cache = sized.demand.kv.request_bytes(sized.least)
    parts.append(f"KV cache {gib(cache)} for {sized.least} tokens")
    if sized.demand.margin:
        parts.append(f"{gib(sized.demand.margin)} in case a start takes more than expected")
    return f"{sized.name} needs {' + '.join(parts)} = {exact(sized.need_bytes)}"
