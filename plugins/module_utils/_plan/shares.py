# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dividing devices into shares.

A share is the engine's ``gpu_memory_utilization``: a fraction of a device's *total* memory. It is counted
here in units of 1/10000, because the plan states four decimals; whole numbers keep the division exact and
the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

SHARE_UNITS = 10_000


def to_units(share: float) -> int:
    """Return a share in units, rounded down; a share of at most four decimals is not changed."""
    return math.floor(share * SHARE_UNITS + 1e-6)


def units_bytes(units: int, total: int) -> int:
    """Return the bytes that the engine claims for a share, by the engine's own expression (gate 1)."""
    return math.ceil(total * (units / SHARE_UNITS))


@lru_cache(maxsize=4096)
def units_for(size: int, total: int) -> int:
    """Return the smallest share that holds ``size`` bytes; above UNITS where the device is too small."""
    if size > total:
        return -(-size * SHARE_UNITS // total)
    units = max(0, size * SHARE_UNITS // total - 1)
    while units_bytes(units, total) < size:
        units += 1
    return units


def highest_units(capacity: int, total: int, services: int) -> int:
    """Return the highest sum of shares of so many services that takes at most ``capacity`` bytes of ``total``.

    The engine rounds every share up to a byte, hence a byte less per service.
    """
    return max(0, min(SHARE_UNITS, (capacity - services) * SHARE_UNITS // total)) if total else 0


class Claim(NamedTuple):
    """A service's claim: it has ``units`` on each of ``devices``, wants ``most``, and grows by ``weight``."""

    units: int
    most: int
    weight: Fraction
    devices: tuple[str, ...]


def fill(claims: Mapping[str, Claim], limits: Mapping[str, int]) -> dict[str, int]:
    """Grow all claims at rates by weight until each has its most or a device of it is full.

    This is weighted max-min fairness: a service on several devices stops where the tightest of them is full,
    and what it leaves on the others goes to its neighbours there. Results are rounded down.
    """
    result = {name: claim.units for name, claim in claims.items()}
    room = dict(limits)
    for claim in claims.values():
        for device in claim.devices:
            room[device] -= claim.units
    growing = {
        name: claim
        for name, claim in claims.items()
        if claim.weight > 0 and claim.units < claim.most and all(room[device] > 0 for device in claim.devices)
    }
    for together in _neighbourhoods(growing):
        result.update(_grow({name: growing[name] for name in together}, room))
    return result


def _neighbourhoods(claims: Mapping[str, Claim]) -> list[list[str]]:
    """Return the names in groups that share no device: they grow without regard to each other."""
    groups: list[tuple[set[str], list[str]]] = []  # devices, names
    for name, claim in claims.items():
        devices, names = set(claim.devices), [name]
        apart = []
        for group in groups:
            if devices.isdisjoint(group[0]):
                apart.append(group)
            else:
                devices |= group[0]
                names += group[1]
        groups = [*apart, (devices, names)]
    return [names for _devices, names in groups]


def _grow(claims: dict[str, Claim], room: Mapping[str, int]) -> dict[str, int]:
    """Return the units of claims that all grow from time 0 on, by weight times time; ``room``: beyond them."""
    if all(
        sum(claim.most - claim.units for claim in claims.values() if device in claim.devices) <= room[device]
        for device in {device for claim in claims.values() for device in claim.devices}
    ):
        return {name: claim.most for name, claim in claims.items()}
    if len(claims) == 1:
        ((name, claim),) = claims.items()
        return {name: min(claim.most, claim.units + min(room[device] for device in claim.devices))}
    scale = math.lcm(*(claim.weight.denominator for claim in claims.values()))
    weights = {name: int(claim.weight * scale) for name, claim in claims.items()}
    result = {}
    left: dict[str, Fraction | int] = {device: room[device] for claim in claims.values() for device in claim.devices}
    while claims:
        rates: dict[str, int] = {}
        for name, claim in claims.items():
            for device in claim.devices:
                rates[device] = rates.get(device, 0) + weights[name]
        full = {device: Fraction(left[device], rate) for device, rate in rates.items()}
        ends = {name: Fraction(claim.most - claim.units, weights[name]) for name, claim in claims.items()}
        time = min(*full.values(), *ends.values())
        for name, claim in list(claims.items()):
            grown = claim.most - claim.units if ends[name] == time else weights[name] * time
            if ends[name] == time or any(full[device] == time for device in claim.devices):
                result[name] = claim.units + math.floor(grown)
                for device in claim.devices:
                    if full[device] != time:
                        left[device] -= grown
                del claims[name]
    return result
