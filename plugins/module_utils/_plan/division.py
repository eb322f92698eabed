# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shares of services that have their devices: who is admitted, what each gets, what had to be clamped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from .devices import Device
from .placement import Choice, device_names
from .plan import DEFAULT_BUDGET, Refusal, Settings
from .room import Room, claimed_units
from .shares import SHARE_UNITS, Claim, fill, to_units, units_bytes
from .sizing import Sized, demand_text, exact, gib, start_key


@dataclass
class Division:
    """Shares in units by service, in start order, and what is to be said about them."""

    room: Room  # with the admitted services
    units: dict[str, int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is as it should be


def divide(
    services: Iterable[Sized], choices: Mapping[str, Choice], devices: Sequence[Device], settings: Settings
) -> Division:
    """Return the division of all devices among the services that were given some."""
    result = Division(Room(settings))
    for sized in sorted(services, key=start_key):
        if sized.name in choices:
            _admit(sized, choices[sized.name].devices, result)
    accounts = result.room.accounts
    admitted = {sized.name: sized for account in accounts.values() for sized in account.services}
    limits = {device.id: result.room.limit(device) for device in devices if result.room.at(device).services}
    result.units = _grow(admitted, choices, limits)
    for device in devices:
        if device.id in limits and limits[device.id] < result.room.budget:
            _warn_of_clamp(device, result)
    return result


def _admit(sized: Sized, devices: Sequence[Device], result: Division) -> None:
    """Admit a service where it has room beside the bigger ones, or refuse it with the sum that says so."""
    room = result.room
    need, claim = sized.need_units(devices), claimed_units(sized, devices)
    full = [device for device in devices if not room.holds(sized, device, need, claim)]
    if claim < need:
        result.refusals.append(_share_too_small(sized, devices, claim))
    elif not full:
        room.put(sized, devices)
    elif not room.clamps and room.at(full[0]).claimed + claim <= room.budget:
        result.refusals.append(_overcommit(sized, full[0], room))
    else:
        result.refusals.append(_no_room(sized, full[0], claim, room))


def _share_too_small(sized: Sized, devices: Sequence[Device], units: int) -> Refusal:
    device = min(devices, key=lambda item: item.total_bytes)
    share = units_bytes(units, device.total_bytes)
    return Refusal(
        sized.name,
        f"gpu_memory_utilization {units / SHARE_UNITS:g} of {device_names([device])} does not hold what it needs.",
        f"{units / SHARE_UNITS:g} of {exact(device.total_bytes)} is {exact(share)}; {demand_text(sized)}, "
        f"{exact(sized.need_bytes - share)} more.",
        gate=2,
        needed_bytes=sized.need_bytes,
        available_bytes=share,
    )


def _overcommit(sized: Sized, device: Device, room: Room) -> Refusal:
    """Refuse a budget, or shares within it, with which the engine would not start."""
    total, highest = device.total_bytes, room.highest(device, sized)
    stated = sized.service.gpu_memory_utilization
    what, units = ("the budget", room.budget)
    if stated is not None:
        what, units = "shares that sum to", room.at(device).claimed + to_units(stated)
    return Refusal(
        sized.name,
        f"{device_names([device])} does not start with {what} {units / SHARE_UNITS:g}; "
        f"the highest is {highest / SHARE_UNITS:g}.",
        f"{units / SHARE_UNITS:g} of {exact(total)} is {exact(units_bytes(units, total))}; "
        f"{_left_text(device, [*room.at(device).services, sized], room.settings)}.",
        gate=1,
        needed_bytes=units_bytes(units, total),
        available_bytes=units_bytes(highest, total),
    )


def _no_room(sized: Sized, device: Device, claim: int, room: Room) -> Refusal:
    """Refuse a service for which what the admitted ones leave of a device is too little."""
    total = device.total_bytes
    account = room.at(device)
    here = account.services
    over_budget = account.claimed + claim > room.budget
    limit = room.budget if over_budget else room.limit(device, sized)
    held = account.claimed if over_budget else account.needed
    wanted = claim if over_budget else sized.need_units([device])
    needed, available = units_bytes(held + wanted, total), units_bytes(limit, total)
    if over_budget:
        lines = [f"budget {limit / SHARE_UNITS:g} of {exact(total)} is {exact(units_bytes(limit, total))}"]
    else:
        lines = [f"{_left_text(device, [*here, sized], room.settings)}, a share of {limit / SHARE_UNITS:g}"]
    lines.append(_claim_text(sized, device, stated=over_budget))
    lines += [_claim_text(other, device, stated=over_budget) for other in here]
    lines.append(f"{exact(needed - available)} are missing")
    company = f" beside {', '.join(other.name for other in here)}" if here else ""
    within = f" within the budget {limit / SHARE_UNITS:g}" if over_budget else ""
    reason = f"{device_names([device])} has no room for it{company}{within}."
    gate = _gate(sized, device, claim, room, over_budget)
    return Refusal(sized.name, reason, "; ".join(lines) + ".", None, gate, needed, available)


def _gate(sized: Sized, device: Device, claim: int, room: Room, over_budget: bool) -> int | None:
    """Return where the engine would stop a service for which there is no room."""
    if not over_budget or room.at(device).claimed + claim > room.highest(device, sized):
        return 1
    # Within its budget it would get a share that is too small; a share that it states itself, it would get.
    return 2 if sized.service.gpu_memory_utilization is None else None


def _claim_text(sized: Sized, device: Device, stated: bool) -> str:
    """Return what a service claims of a device, as arithmetic."""
    share = sized.service.gpu_memory_utilization
    if share is None or not stated:
        return demand_text(sized)
    return f"{sized.name} states {share:g}, {exact(units_bytes(to_units(share), device.total_bytes))}"


def _left_text(device: Device, here: Sequence[Sized], settings: Settings) -> str:
    """Return what is left of a device for shares, as arithmetic."""
    reserve, others = settings.reserve_bytes, device.used_by_others_bytes
    outside = sum(sized.outside_bytes for sized in here)
    terms = [f"{gib(outside)} outside the shares ({', '.join(sized.name for sized in here)})"]
    terms += [f"{gib(others)} used by others"] if others else []
    terms += [f"{gib(reserve)} reserve"] if reserve else []
    starting = max((sized.starting_bytes for sized in here), default=0)
    terms += [f"{gib(starting)} while one of them starts"] if starting else []
    left = max(0, device.total_bytes - outside - others - reserve - starting)
    return f"{exact(device.total_bytes)} - {' - '.join(terms)} = {exact(left)}"


def _grow(admitted: Mapping[str, Sized], choices: Mapping[str, Choice], limits: Mapping[str, int]) -> dict[str, int]:
    """Return name -> units: needs, then stated shares, then by weight in the rounds of ``_placement``."""
    units = {name: sized.need_units(choices[name].devices) for name, sized in admitted.items()}
    stated, longest, most = {}, {}, {}
    for name, sized in admitted.items():
        share = sized.service.gpu_memory_utilization
        if share is not None:
            stated[name] = to_units(share)
        else:
            fixed = sized.service.max_model_len is not None
            longest[name] = SHARE_UNITS if fixed else sized.want_units(choices[name].devices)
            most[name] = SHARE_UNITS
    weights = {name: _weight(sized) for name, sized in admitted.items()}
    ids = {name: tuple(device.id for device in choices[name].devices) for name in admitted}
    for wanted in (stated, longest, most):
        if wanted:
            claims = {name: Claim(units[name], wanted.get(name, units[name]), weights[name], ids[name]) for name in ids}
            units = fill(claims, limits)
    return units


def _weight(sized: Sized) -> Fraction:
    """Return the rate at which a service grows; stated shares grow in their own proportion."""
    share, weight = sized.service.gpu_memory_utilization, sized.service.memory_weight
    if share is not None or weight is not None:
        return Fraction(str(weight if share is None else share))
    return Fraction(sized.demand.fixed["weights"] or 1)


def _warn_of_clamp(device: Device, result: Division) -> None:
    """Say in bytes that the budget was lowered, where that changed anything.

    The default budget starts on no card below 170 GiB; that it is lowered there is nothing to be warned of.
    """
    room, total = result.room, device.total_bytes
    here = room.at(device).services
    lowered = [
        f"{sized.name} from {share:g} to {result.units[sized.name] / SHARE_UNITS:g}"
        for sized in here
        if (share := sized.service.gpu_memory_utilization) and to_units(share) > result.units[sized.name]
    ]
    if not lowered and all(sized.service.gpu_memory_utilization for sized in here):
        return
    budget = exact(units_bytes(room.budget, total))
    expected = not lowered and room.settings.gpu_memory_budget == DEFAULT_BUDGET
    (result.notes if expected else result.warnings).append(
        f"{device_names([device])}: the budget {room.budget / SHARE_UNITS:g} is {budget} and does not start: "
        f"{_left_text(device, here, room.settings)}. The shares are planned within "
        f"{room.limit(device) / SHARE_UNITS:g}{', lowering ' if lowered else ''}{', '.join(lowered)}."
    )
