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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

UNITS = 10_000


def to_units(share: float) -> int:
    """Return a share in units, rounded down; a share of at most four decimals is not changed."""
    return math.floor(share * UNITS + 1e-6)


def units_bytes(units: int, total: int) -> int:
    """Return the bytes that the engine claims for a share, by the engine's own expression (gate 1)."""
    return math.ceil(total * (units / UNITS))


@lru_cache(maxsize=4096)
def units_for(size: int, total: int) -> int:
    """Return the smallest share that holds ``size`` bytes; above UNITS where the device is too small."""
    units = max(0, size * UNITS // total - 1)
    while units_bytes(units, total) < size:
        units += 1
    return units


def highest_units(capacity: int, total: int, services: int) -> int:
    """Return the highest sum of shares of so many services that takes at most ``capacity`` bytes.

    The engine rounds every share up to a byte, hence a byte less per service.
    """
    return max(0, min(UNITS, (capacity - services) * UNITS // total))


@dataclass(frozen=True)
class Claim:
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
    level = {name: Fraction(claim.units) for name, claim in claims.items()}
    room = {device: Fraction(limit) for device, limit in limits.items()}
    for claim in claims.values():
        for device in claim.devices:
            room[device] -= claim.units
    growing = {name for name, claim in claims.items() if claim.weight > 0}
    while True:
        growing = {
            name
            for name in growing
            if level[name] < claims[name].most and all(room[device] > 0 for device in claims[name].devices)
        }
        if not growing:
            return {name: math.floor(value) for name, value in level.items()}
        rates = _rates(claims, growing)
        step = min(
            *(room[device] / rate for device, rate in rates.items()),
            *((claims[name].most - level[name]) / claims[name].weight for name in growing),
        )
        for name in growing:
            level[name] += step * claims[name].weight
        for device, rate in rates.items():
            room[device] -= step * rate


def _rates(claims: Mapping[str, Claim], growing: Iterable[str]) -> dict[str, Fraction]:
    """Return by how much all growing claims together grow on each device."""
    rates: dict[str, Fraction] = {}
    for name in growing:
        for device in claims[name].devices:
            rates[device] = rates.get(device, Fraction(0)) + claims[name].weight
    return rates
