# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shares of services that have their devices: who is admitted, what each gets, what had to be clamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ._choice import Choice, by_device, names
from ._devices import Device
from ._plan import Refusal, Settings
from ._shares import UNITS, Claim, fill, to_units, units_bytes
from ._sizing import Sized, demand_text, exact, gib, highest_on, start_key


@dataclass
class Division:
    """Shares in units by service, limits in units by device, and what is to be said about them."""

    settings: Settings
    on: Mapping[str, Sequence[Sized]]  # device id -> services there, in start order
    units: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def budget(self) -> int:
        return to_units(self.settings.gpu_memory_budget)

    @property
    def clamps(self) -> bool:
        return self.settings.on_overcommit == "clamp"


def divide(
    services: Sequence[Sized], choices: Mapping[str, Choice], devices: Sequence[Device], settings: Settings
) -> Division:
    """Return the division of all devices among the services that were given some."""
    placed = [sized for sized in sorted(services, key=start_key) if sized.name in choices]
    result = Division(settings, by_device(choices, placed))
    shared = [device for device in devices if device.id in result.on]
    for device in shared:
        highest = highest_on(device, result.on[device.id], settings.reserve_bytes)
        result.highest[device.id] = highest
        result.limits[device.id] = min(result.budget, highest) if result.clamps else result.budget
        _refuse_stated(device, result)
    admitted = _admit(placed, choices, _stated_units(placed, choices, result), result)
    result.units = _grow(admitted, choices, result)
    for device in shared:
        if result.clamps:
            _warn_of_clamp(device, result)
        else:
            _refuse_overcommit(device, result)
    return result


def _refuse_stated(device: Device, result: Division) -> None:
    """Refuse stated shares whose sum is above the budget, whatever on_overcommit says."""
    stated = [
        (sized.name, to_units(share))
        for sized in result.on[device.id]
        if (share := sized.service.gpu_memory_utilization)
    ]
    total = sum(units for _, units in stated)
    if total <= result.budget:
        return
    terms = " + ".join(f"{name} {units / UNITS:g}" for name, units in stated)
    size = device.total_bytes
    result.refusals.append(
        Refusal(
            stated[-1][0],
            f"the shares stated for {names([device])} are above the budget {result.budget / UNITS:g}.",
            f"{terms} = {total / UNITS:g}; of {exact(size)} that is {exact(units_bytes(total, size))}, "
            f"and the budget is {exact(units_bytes(result.budget, size))}.",
        )
    )


def _stated_units(placed: Sequence[Sized], choices: Mapping[str, Choice], result: Division) -> dict[str, int]:
    """Return the shares that were stated, lowered together where their device does not start with them."""
    claims = {}
    for sized in placed:
        if sized.service.gpu_memory_utilization is not None:
            devices = choices[sized.name].devices
            most = to_units(sized.service.gpu_memory_utilization)
            ids = tuple(device.id for device in devices)
            claims[sized.name] = Claim(min(sized.need_units(devices), most), most, Fraction(most), ids)
    return fill(claims, result.limits)


def _admit(
    placed: Sequence[Sized], choices: Mapping[str, Choice], stated: Mapping[str, int], result: Division
) -> dict[str, Sized]:
    """Admit those whose need has room, the bigger need first; ``result.units`` are what they begin with."""
    admitted: dict[str, Sized] = {}
    refused = {refusal.service for refusal in result.refusals}
    left = dict(result.limits)
    for sized in placed:
        devices = choices[sized.name].devices
        need = sized.need_units(devices)
        units = stated.get(sized.name, need)
        full = [device for device in devices if left[device.id] < max(units, need)]
        if units < need and to_units(sized.service.gpu_memory_utilization or 0) < need:
            result.refusals.append(_share_too_small(sized, devices, units))
        elif full:
            result.refusals.append(_no_room(sized, full[0], max(units, need), result))
        elif sized.name not in refused:
            admitted[sized.name] = sized
            result.units[sized.name] = units
            for device in devices:
                left[device.id] -= units
    return admitted


def _share_too_small(sized: Sized, devices: Sequence[Device], units: int) -> Refusal:
    device = min(devices, key=lambda item: item.total_bytes)
    share = units_bytes(units, device.total_bytes)
    return Refusal(
        sized.name,
        f"gpu_memory_utilization {units / UNITS:g} of {names([device])} does not hold what it needs.",
        f"{units / UNITS:g} of {exact(device.total_bytes)} is {exact(share)}; {demand_text(sized)}, "
        f"{exact(sized.need_bytes - share)} more.",
    )


def _no_room(sized: Sized, device: Device, units: int, result: Division) -> Refusal:
    """Refuse a service for which what the admitted ones leave of a device is too little."""
    total, limit = device.total_bytes, result.limits[device.id]
    neighbours = [item.name for item in result.on[device.id] if item.name in result.units]
    held = sum(result.units[name] for name in neighbours)
    missing = units_bytes(held + units, total) - units_bytes(limit, total)
    if limit == result.budget:
        lines = [f"budget {limit / UNITS:g} of {exact(total)} is {exact(units_bytes(limit, total))}"]
    else:
        lines = [f"{_highest_text(device, result)}, a share of {limit / UNITS:g}"]
    lines.append(demand_text(sized))
    lines += [f"{name} has {exact(units_bytes(result.units[name], total))}" for name in neighbours]
    lines.append(f"{exact(missing)} are missing")
    company = f" beside {', '.join(neighbours)}" if neighbours else ""
    return Refusal(sized.name, f"{names([device])} has no room for it{company}.", "; ".join(lines) + ".")


def _highest_text(device: Device, result: Division) -> str:
    """Return what is left of a device for shares, as arithmetic."""
    here = result.on[device.id]
    reserve, others = result.settings.reserve_bytes, device.used_by_others_bytes
    outside = sum(sized.demand.outside_bytes for sized in here)
    terms = [f"{gib(outside)} outside the shares ({', '.join(sized.name for sized in here)})"]
    terms += [f"{gib(others)} used by others"] if others else []
    terms += [f"{gib(reserve)} reserve"] if reserve else []
    left = max(0, device.total_bytes - outside - others - reserve)
    return f"{exact(device.total_bytes)} - {' - '.join(terms)} = {exact(left)}"


def _grow(admitted: Mapping[str, Sized], choices: Mapping[str, Choice], result: Division) -> dict[str, int]:
    """Return name -> units after dividing what is left by weight, in the two rounds of ``_placement``."""
    free = {name: sized for name, sized in admitted.items() if sized.service.gpu_memory_utilization is None}
    longest = {
        name: UNITS if sized.service.max_model_len else sized.want_units(choices[name].devices)
        for name, sized in free.items()
    }
    units = result.units
    for most in (longest, dict.fromkeys(free, UNITS)):
        claims = {}
        for name, sized in admitted.items():
            weight = _weight(sized) if name in free else Fraction(0)
            ids = tuple(device.id for device in choices[name].devices)
            claims[name] = Claim(units[name], most.get(name, units[name]), weight, ids)
        units = fill(claims, result.limits)
    return units


def _weight(sized: Sized) -> Fraction:
    stated = sized.service.memory_weight
    return Fraction(sized.demand.fixed["weights"] or 1) if stated is None else Fraction(str(stated))


def _warn_of_clamp(device: Device, result: Division) -> None:
    """Say in bytes that the budget was lowered, where that changed anything."""
    here = [sized for sized in result.on[device.id] if sized.name in result.units]
    stated = {sized.name: sized.service.gpu_memory_utilization for sized in here}
    lowered = [
        f"{name} from {share:g} to {result.units[name] / UNITS:g}"
        for name, share in stated.items()
        if share is not None and to_units(share) > result.units[name]
    ]
    limit, total = result.limits[device.id], device.total_bytes
    if limit >= result.budget or not (lowered or None in stated.values()):
        return
    budget = exact(units_bytes(result.budget, total))
    result.warnings.append(
        f"{names([device])}: the budget {result.budget / UNITS:g} is {budget} and does not start: "
        f"{_highest_text(device, result)}. The shares are planned within {limit / UNITS:g}"
        f"{', lowering ' if lowered else ''}{', '.join(lowered)}."
    )


def _refuse_overcommit(device: Device, result: Division) -> None:
    """Refuse shares whose sum is within the budget and still above what starts."""
    here = [sized.name for sized in result.on[device.id] if sized.name in result.units]
    committed = sum(result.units[name] for name in here)
    known = {refusal.service for refusal in result.refusals}
    if committed <= result.highest[device.id] or here[-1] in known:
        return
    total = device.total_bytes
    result.refusals.append(
        Refusal(
            here[-1],
            f"the shares of {names([device])} sum to {committed / UNITS:g}; the highest sum with which all "
            f"its services start is {result.highest[device.id] / UNITS:g}.",
            f"{_highest_text(device, result)}; {committed / UNITS:g} of {exact(total)} is "
            f"{exact(units_bytes(committed, total))}.",
        )
    )
