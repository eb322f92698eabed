# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a device has room for one more service: the rule by which services are placed and admitted.

A set of services has room on a device where each states no less than it needs and

    what they state, or need where they state nothing, is within the budget, and
    clamp     what they need is within the highest sum of shares that starts there
    refuse    what they state is within it, and the budget is, where the plan decides a share

All of it only gets easier with fewer services and with more memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ._devices import Device
from ._plan import Settings
from ._shares import to_units
from ._sizing import Sized, highest_on


@dataclass
class Room:
    """Who is on which device. Units are those of ``_shares``, keys are device ids."""

    settings: Settings
    on: dict[str, list[Sized]] = field(default_factory=dict)
    needed: dict[str, int] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)  # stated, or needed where nothing is stated

    @property
    def budget(self) -> int:
        return to_units(self.settings.gpu_memory_budget)

    @property
    def clamps(self) -> bool:
        return self.settings.on_overcommit == "clamp"

    def put(self, sized: Sized, devices: Sequence[Device]) -> None:
        """Add a service to its devices, whether there is room or not."""
        self._count(sized, devices, 1)
        for device in devices:
            self.on.setdefault(device.id, []).append(sized)

    def take(self, sized: Sized, devices: Sequence[Device]) -> None:
        """Undo ``put``."""
        self._count(sized, devices, -1)
        for device in devices:
            self.on[device.id].remove(sized)

    def _count(self, sized: Sized, devices: Sequence[Device], sign: int) -> None:
        need, claim = sized.need_units(devices), claimed_units(sized, devices)
        for device in devices:
            self.needed[device.id] = self.needed.get(device.id, 0) + sign * need
            self.claimed[device.id] = self.claimed.get(device.id, 0) + sign * claim

    def highest(self, device: Device, more: Iterable[Sized] = ()) -> int:
        """Return the highest sum of shares that starts there, with ``more`` services."""
        return highest_on(device, [*self.on.get(device.id, ()), *more], self.settings.reserve_bytes)

    def limit(self, device: Device, more: Iterable[Sized] = ()) -> int:
        """Return what the shares may sum to after a clamp."""
        return min(self.budget, self.highest(device, more)) if self.clamps else self.budget

    def free(self, device: Device, more: Iterable[Sized] = ()) -> int:
        """Return what is left for shares beyond what is needed; negative where nothing is."""
        return min(self.budget, self.highest(device, more)) - self.needed.get(device.id, 0)

    def holds(self, sized: Sized, device: Device, need: int, claim: int) -> bool:
        """Whether there is room for a service that needs and claims so much there."""
        claimed = self.claimed.get(device.id, 0) + claim
        if claim < need or claimed > self.budget:
            return False
        highest = self.highest(device, [sized])
        if self.clamps:
            return self.needed.get(device.id, 0) + need <= highest
        everyone = [*self.on.get(device.id, ()), sized]
        decides = any(item.service.gpu_memory_utilization is None for item in everyone)
        return max(claimed, self.budget if decides else 0) <= highest


def claimed_units(sized: Sized, devices: Sequence[Device]) -> int:
    """Return the share that a service states, or needs where it states none."""
    stated = sized.service.gpu_memory_utilization
    return sized.need_units(devices) if stated is None else to_units(stated)
