# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nearest change of a layout with which a refused service fits.

Each kind of change is tried in turn, from what a user notices least: the budget, stated shares, a shorter
context, other devices, another number of ranks. A change counts when the plan made with it no longer refuses
the service and refuses nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable

from .devices import Device
from .layout import Service
from .plan import Plan, Refusal, Settings
from .sizing import FIT_LEAST_TOKENS

PlanServices = Callable[[Sequence[Service], Settings], Plan]

USEFUL_TOKENS = FIT_LEAST_TOKENS  # a context below is proposed only where nothing else helps


@dataclass(frozen=True)
class _Change:
    text: str
    services: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


def nearest_fit(
    refusal: Refusal,
    services: Sequence[Service],
    devices: Sequence[Device],
    settings: Settings,
    attempt: PlanServices,
) -> Mapping[str, Any] | None:
    """Return the change as ``Refusal.nearest_fit`` describes it; None where none of the kinds tried helps."""
    before = {item.service for item in attempt(services, settings).refusals}

    def helps(change: _Change) -> bool:
        after = {item.service for item in _apply(change, services, settings, attempt).refusals}
        return after < before and refusal.service not in after

    service = next(item for item in services if item.name == refusal.service)
    short: _Change | None = None
    for change in _changes(service, services, devices, settings, attempt):
        length = change.services.get(service.name, {}).get("max_model_len")
        if not helps(change):
            continue
        if length is not None and length < USEFUL_TOKENS:
            short = change
            continue
        return _described(change)
    return _described(short) if short is not None else None


def _changes(
    service: Service,
    services: Sequence[Service],
    devices: Sequence[Device],
    settings: Settings,
    attempt: PlanServices,
) -> Iterator[_Change]:
    yield from _lower_budget(services, settings, attempt)
    yield from _planned_shares(services, settings, attempt)
    yield from _shorter_context(service, services, settings, attempt)
    yield from _other_devices(service, devices)
    yield from _other_ranks(service, len(devices))


def _other_devices(service: Service, devices: Sequence[Device]) -> Iterator[_Change]:
    if service.local_ranks > 1:
        keys = {"gpus": {"count": service.local_ranks}}
        yield _Change(f"leave the choice of devices for {service.name} to the plan", {service.name: keys}, {})
        return
    for device in devices:
        node = device.id.startswith("numa:")
        where = device.name if node else f"GPU {device.index}"
        named = [device.id if node else device.index]
        yield _Change(f"move {service.name} to {where}", {service.name: {"gpus": named}}, {})


def _other_ranks(service: Service, devices: int) -> Iterator[_Change]:
    if service.multi_node or service.pipeline_parallel_size > 1:
        return  # the other hosts would change, too
    now = service.tensor_parallel_size
    more = [ranks for ranks in (2, 4, 8) if now < ranks <= devices]
    fewer = [ranks for ranks in (8, 4, 2, 1) if ranks < now and ranks <= devices]
    for ranks in more + fewer:
        keys = {"gpus": {"count": ranks}, "tensor_parallel_size": ranks}
        text = f"set tensor_parallel_size of {service.name} to {ranks}, on devices that the plan chooses"
        yield _Change(text, {service.name: keys}, {})


def _lower_budget(services: Sequence[Service], settings: Settings, attempt: PlanServices) -> Iterator[_Change]:
    """Propose the highest budget that starts on every device in use."""
    if settings.on_overcommit == "clamp":
        return
    planned = attempt(services, replace(settings, on_overcommit="clamp"))
    highest = min((device.budget for device in planned.devices if device.services), default=0)
    if 0 < highest < settings.gpu_memory_budget:
        yield _Change(f"lower gpu_memory_budget to {highest:g}", {}, {"gpu_memory_budget": highest})


def _planned_shares(services: Sequence[Service], settings: Settings, attempt: PlanServices) -> Iterator[_Change]:
    """Propose the shares that the plan would choose for those that were stated."""
    stated = [item for item in services if item.gpu_memory_utilization is not None]
    if not stated:
        return
    free = [replace(item, gpu_memory_utilization=None) for item in services]
    planned = attempt(free, replace(settings, on_overcommit="clamp"))
    shares = {item.name: item.gpu_memory_utilization for item in planned.services}
    keys = {item.name: {"gpu_memory_utilization": shares[item.name]} for item in stated if item.name in shares}
    terms = ", ".join(f"{name} {value['gpu_memory_utilization']:g}" for name, value in keys.items())
    yield _Change(f"set gpu_memory_utilization to what fits: {terms}", keys, {})


def _shorter_context(
    service: Service, services: Sequence[Service], settings: Settings, attempt: PlanServices
) -> Iterator[_Change]:
    """Propose the longest context with which the service is not refused, in steps of 256 tokens."""
    step = 256

    def change(length: int) -> _Change:
        text = f"lower max_model_len of {service.name} to {length}"
        return _Change(text, {service.name: {"max_model_len": length}}, {})

    def refused(length: int) -> bool:
        plan = _apply(change(length), services, settings, attempt)
        return any(item.service == service.name for item in plan.refusals)

    low, high = 0, ((service.max_model_len or FIT_LEAST_TOKENS) - 1) // step
    while low < high:
        middle = (low + high + 1) // 2
        if refused(middle * step):
            high = middle - 1
        else:
            low = middle
    if low:
        yield change(low * step)


def _apply(change: _Change, services: Sequence[Service], settings: Settings, attempt: PlanServices) -> Plan:
    changed = [_changed(service, change.services.get(service.name, {})) for service in services]
    return attempt(changed, replace(settings, **change.settings))


def _changed(service: Service, keys: Mapping[str, Any]) -> Service:
    if not keys:
        return service
    values = dict(keys)
    if "gpus" in values:
        gpus = values["gpus"]
        values["gpus"] = None if isinstance(gpus, Mapping) else tuple(str(item) for item in gpus)
    return replace(service, **values)


def _described(change: _Change) -> Mapping[str, Any]:
    text = change.text[:1].upper() + change.text[1:] + "."
    services = {name: dict(keys) for name, keys in change.services.items()}
    return {"text": text, "services": services, "settings": dict(change.settings)}
