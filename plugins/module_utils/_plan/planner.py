# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner: layout x topology x models -> plan, or refusals with their arithmetic. Pure.

    parse_layout(services, accelerator) -> list[Service]                 _layout; InferenceError
    read_checkpoint(path, geometry) -> Checkpoint                        _checkpoint; InferenceError
    checkpoint_from_geometry(geometry) -> Checkpoint                     _checkpoint; InferenceError
    Settings(accelerator, gpu_memory_budget, on_overcommit, ...)         _plan; InferenceError
    plan(services, topology, models, settings, used_by_others) -> Plan   here; refuses, does not raise
    inputs_digest(services, topology, models, settings) -> str           here; Plan.inputs_digest alone

``models`` maps a service's name to its Checkpoint.

``used_by_others`` maps a device id (GPU UUID, ``numa:K``) to the bytes that neither are free nor belong to
our services (``_others`` finds them); without it everything in use counts as others'.

A device is divided like this. Its *limit* is the budget, lowered (on_overcommit=clamp) to the highest sum of
shares with which every service on it starts, ``_room``. Every service first has what it needs:
weights, overheads, and cache for its ``max_model_len``, or for a modest context where that is ``fit``. The
rest is divided by ``memory_weight`` (default: bytes of weights on the device), in two rounds: in the first, a
``fit`` service stops at the share that holds its longest context, so that what it has no use for lengthens
the contexts of its neighbours; the second divides what is left. Shares are rounded down to four decimals.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from functools import lru_cache
from typing import Any

from .._errors import InferenceError
from .._gpu.topology import Gpu, Topology
from .._model.geometry import Geometry
from .._model.model import Checkpoint
from .._values import merged
from .calibration import Calibration
from .devices import Device, find_devices, resolve
from .division import Division, divide
from .layout import Service
from .nearest_fit import nearest_fit
from .placement import Choice, Effort, choose_devices
from .plan import Measured, Plan, PlannedDevice, PlannedService, Refusal, Settings
from .rope import rope_arguments
from .shares import SHARE_UNITS, highest_units, units_bytes
from .sizing import Sized, exact, gib, size_service, start_key
from .warnings import plan_warnings

# Refusals of one plan that get a nearest fit: each costs some dozens of plans, whose searches share one effort.
NEAREST_FITS = 8
NEAREST_EFFORT = 2_000
# Keys of a service from which no plan follows, or that are in the model (its geometry).
_UNPLANNED = ("geometry", "secret_environment", "watchdog")


def plan(
    services: Sequence[Service],
    topology: Topology,
    models: Mapping[str, Checkpoint],
    settings: Settings,
    used_by_others: Mapping[str, int] | None = None,
    *,
    records: Mapping[str, Measured] | None = None,
    suggest: bool = True,
) -> Plan:
    """Return the plan of one host; what cannot be is in its refusals, with the nearest change that fits.

    ``records`` are what starts on this host took, by calibration key. The search for the nearest changes plans some
    dozens of times; ``suggest=False`` spares it.
    """
    devices = find_devices(topology, settings.accelerator, used_by_others)
    digest = _digest(services, devices, models, settings)

    calibration = Calibration(records or {}, devices, topology, settings)
    sizes: dict[str, tuple[Service, Sized | Refusal]] = {}

    def size(service: Service) -> Sized | Refusal:
        """Size a service once, however often the search for a nearest fit plans with it unchanged."""
        if service.name not in sizes or sizes[service.name][0] is not service:
            model = models[service.name]
            key = calibration.key(service, model)
            measured = calibration.measured(key)
            sized = size_service(
                service,
                model,
                settings.accelerator,
                measured,
                key,
                links=topology.links,
                engine_version=settings.engine_version,
                cards=_cards(service, devices, topology) if settings.accelerator == "cuda" else (),
            )
            if any(service is item for item in services):
                sizes[service.name] = (service, sized)
            return sized
        return sizes[service.name][1]

    def attempt(changed: Sequence[Service], changed_settings: Settings) -> Plan:
        outcomes = [size(service) for service in changed]
        return _attempt(outcomes, devices, topology, changed_settings, effort=effort, digest=digest)

    effort = Effort()
    result = attempt(services, settings)
    if result.fits or not suggest:
        return result
    effort = Effort(NEAREST_EFFORT)
    suggested = tuple(
        replace(refusal, nearest_fit=nearest_fit(refusal, services, devices, settings, attempt))
        if place < NEAREST_FITS
        else refusal
        for place, refusal in enumerate(result.refusals)
    )
    return replace(result, refusals=suggested)


def _cards(service: Service, devices: Sequence[Device], topology: Topology) -> list[Gpu]:
    """Return the GPUs that a service may be placed on; names that are none of them are refused later."""
    found = [device.index for device in devices if device.problem is None]
    if service.gpus is not None:
        found = []
        for name in service.gpus:
            with contextlib.suppress(InferenceError):
                found.append(resolve(name, devices).index)
    return [gpu for gpu in topology.gpus if gpu.index in found]


def inputs_digest(
    services: Sequence[Service],
    topology: Topology,
    models: Mapping[str, Checkpoint],
    settings: Settings,
) -> str:
    """Return a digest of everything that user and hardware state, and of nothing that merely fluctuates.

    Two plans with one digest differ by memory of others or by calibration only; a deployed one may stay.
    Secret values take no part: no plan follows from them, and nobody may guess them from a digest.
    """
    return _digest(services, find_devices(topology, settings.accelerator), models, settings)


def longest_contexts(service: Service, model: Checkpoint, planned: Plan, users: Sequence[int]) -> dict[int, int]:
    """Return users -> the longest context in tokens that so many requests can have at the same time.

    Each holds blocks of its own in the cache that the plan has for the service, beside the pool's one null block. 0
    where the cache has not a block for each. KeyError where the plan does not have the service.
    """
    sized = size_service(service, model, planned.accelerator)
    if isinstance(sized, Refusal):
        return dict.fromkeys(users, 0)
    kv = sized.demand.kv
    blocks = (planned.service(service.name).memory["kv_cache"] - sized.demand.margin) // kv.block_bytes
    return {count: kv.longest(((blocks - 1) // count + 1) * kv.block_bytes, sized.most) for count in users}


def stated_inputs(
    services: Sequence[Service],
    topology: Topology,
    models: Mapping[str, Checkpoint],
    settings: Settings,
) -> dict[str, Any]:
    """Return what ``inputs_digest`` is a digest of: ``services``, ``models``, ``devices``, ``settings``."""
    return _stated(services, find_devices(topology, settings.accelerator), models, settings)


def _digest(
    services: Sequence[Service], devices: Sequence[Device], models: Mapping[str, Checkpoint], settings: Settings
) -> str:
    stated = _stated(services, devices, models, settings)
    return hashlib.sha256(json.dumps(stated, sort_keys=True, default=_fields).encode()).hexdigest()


def _stated(
    services: Sequence[Service], devices: Sequence[Device], models: Mapping[str, Checkpoint], settings: Settings
) -> dict[str, Any]:
    return {
        "services": [
            {key: value for key, value in vars(service).items() if key not in _UNPLANNED}
            | {"engine_args": merged(service.engine_args)}
            for service in services
        ],
        "models": {
            service.name: [_geometry_digest(models[service.name].geometry), models[service.name].fingerprint]
            for service in services
            if service.name in models
        },
        "devices": [[device.id, device.index, device.total_bytes, device.problem] for device in devices],
        "settings": settings,
    }


@lru_cache(maxsize=256)  # many services, and many hosts of one process, have the same model
def _geometry_digest(geometry: Geometry) -> str:
    return hashlib.sha256(json.dumps(geometry.to_dict(), sort_keys=True).encode()).hexdigest()


def _fields(value: object) -> object:
    """Return a dataclass as JSON takes it, without the deep copies of ``asdict``."""
    return vars(value) if is_dataclass(value) else str(value)


def _attempt(
    outcomes: Sequence[Sized | Refusal],
    devices: Sequence[Device],
    topology: Topology,
    settings: Settings,
    *,
    effort: Effort,
    digest: str,
) -> Plan:
    sized = [outcome for outcome in outcomes if isinstance(outcome, Sized)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    choices, without_devices = choose_devices(sized, devices, topology, settings, effort)
    division = divide(sized, choices, devices, settings)
    refusals += without_devices + division.refusals
    planned = _planned_services(sized, choices, division, settings)
    placed: dict[str, list[Sized]] = {device.id: [] for device in devices}
    for item in sized:
        for device in choices[item.name].devices if item.name in choices else ():
            placed[device.id].append(item)
    return Plan(
        accelerator=settings.accelerator,
        engine_version=settings.engine_version,
        gpu_memory_budget=settings.gpu_memory_budget,
        services=planned,
        devices=tuple(_planned_device(device, placed[device.id], division) for device in devices),
        warnings=tuple(division.warnings + plan_warnings(sized, choices, devices, topology, settings.engine_version)),
        refusals=tuple(refusals),
        inputs_digest=digest,
        notes=tuple(division.notes + [device.note for device in devices if device.note is not None]),
    )


def _planned_services(
    sized: Sequence[Sized], choices: Mapping[str, Choice], division: Division, settings: Settings
) -> tuple[PlannedService, ...]:
    """Return the services that have a share, in start order, each after its predecessor on every device."""
    result: list[PlannedService] = []
    last_on: dict[str, str] = {}
    for item in sorted(sized, key=start_key):
        if item.name not in division.units:
            continue
        devices = choices[item.name].devices
        after = tuple(sorted({last_on[device.id] for device in devices if device.id in last_on}))
        last_on.update((device.id, item.name) for device in devices)
        units = division.units[item.name]
        result.append(_planned_service(item, choices[item.name], units, settings, order=len(result), after=after))
    return tuple(result)


def _planned_service(
    sized: Sized, choice: Choice, units: int, settings: Settings, *, order: int, after: tuple[str, ...]
) -> PlannedService:
    service, demand = sized.service, sized.demand
    shares = {device.id: units_bytes(units, device.total_bytes) for device in choice.devices}
    cache = min(shares.values()) - demand.fixed_bytes
    usable = cache - demand.margin
    length = service.max_model_len or demand.kv.longest(usable, sized.most)
    return PlannedService(
        name=service.name,
        model=service.model,
        served_model_name=service.served_model_name,
        host=service.host,
        port=service.port,
        devices=tuple(device.id for device in choice.devices),
        device_indices=tuple(device.index for device in choice.devices),
        tensor_parallel_size=service.tensor_parallel_size,
        gpu_memory_utilization=units / SHARE_UNITS,
        max_model_len=length,
        kv_cache_tokens=demand.kv.tokens(cache, length),
        kv_cache_dtype=service.kv_cache_dtype,
        kv_block_bytes=demand.kv.block_bytes,
        max_num_seqs=service.max_num_seqs,
        max_num_batched_tokens=service.max_num_batched_tokens,
        start_order=order,
        start_after=after,
        memory={**demand.outside, **demand.fixed, "kv_cache": cache},
        memory_source=dict(demand.sources),
        required_free_bytes={
            device: size + sized.outside_bytes + sized.starting_bytes for device, size in shares.items()
        },
        rope_arguments=rope_arguments(sized.checkpoint.geometry, service.rope, settings.engine_version),
        fingerprint=sized.checkpoint.fingerprint,
        reason=choice.reason,
        length_reason=_length_reason(sized, length, usable),
        calibration_key=sized.calibration_key,
        pipeline_parallel_size=service.pipeline_parallel_size,
        nodes=service.multi_node.nodes if service.multi_node else 1,
        node_rank=service.multi_node.node_rank if service.multi_node else 0,
    )


def _length_reason(sized: Sized, length: int, cache: int) -> str:
    """Return why this context length: what the longest needs, and what there is."""
    needed = sized.demand.kv.request_bytes(sized.most)
    if length == sized.most:
        return f"{length} tokens fit: one request takes {gib(needed)} of {gib(cache)} of cache."
    return (
        f"{sized.most} tokens do not fit: one request would take {exact(needed)} of cache and the share has "
        f"{exact(cache)}; {length} is the longest that fits."
    )


def _planned_device(device: Device, placed: Sequence[Sized], division: Division) -> PlannedDevice:
    """Return the device as planned; ``placed`` are also those that were refused for lack of room."""
    account = division.room.at(device)
    units = [division.units[item.name] for item in account.services]
    committed = sum(units_bytes(share, device.total_bytes) for share in units) + account.outside_bytes
    others, reserve = device.used_by_others_bytes, division.room.settings.reserve_bytes
    capacity = account.capacity - sum(item.outside_bytes for item in placed)
    capacity -= max((item.starting_bytes for item in placed), default=0)
    return PlannedDevice(
        id=device.id,
        index=device.index,
        name=device.name,
        total_bytes=device.total_bytes,
        committed_bytes=committed,
        reserve_bytes=reserve,
        used_by_others_bytes=others,
        slack_bytes=device.total_bytes - committed - reserve - others,
        budget=division.room.limit(device) / SHARE_UNITS,
        committed_share=sum(units) / SHARE_UNITS,
        highest_share=highest_units(capacity, device.total_bytes, len(placed)) / SHARE_UNITS,
        services=tuple(item.name for item in account.services),
    )
