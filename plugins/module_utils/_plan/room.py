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

from collections.abc import Sequence
from dataclasses import dataclass, field

from .devices import Device
from .plan import Settings
from .shares import highest_units, to_units
from .sizing import Sized


@dataclass
class Account:
    """What the services on one device have together. Shares are in the units of ``_shares``."""

    device: Device
    capacity: int  # bytes for shares and what lies outside them
    services: list[Sized] = field(default_factory=list)
    needed: int = 0
    claimed: int = 0  # stated, or needed where nothing is stated
    outside_bytes: int = 0
    starting: list[int] = field(default_factory=list)  # after each of the services: the most that a start needs
    unstated: int = 0  # services whose share the plan decides

    def highest(self, more: Sized | None = None) -> int:
        """Return the highest sum of shares that starts there, with one service ``more``."""
        left, count = self.capacity - self.outside_bytes, len(self.services)
        starting = self.starting[-1] if self.starting else 0
        if more is not None:
            left, count = left - more.outside_bytes, count + 1
            starting = max(starting, more.starting_bytes)
        return highest_units(left - starting, self.device.total_bytes, count)


class Room:
    """Who is on which device, by device id; kept as sums, so that one more service is weighed in no time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts: dict[str, Account] = {}
        self.budget = to_units(settings.gpu_memory_budget)
        self.clamps = settings.on_overcommit == "clamp"

    def at(self, device: Device) -> Account:
        """Return the account of a device."""
        account = self.accounts.get(device.id)
        if account is None:
            capacity = device.total_bytes - device.used_by_others_bytes - self.settings.reserve_bytes
            account = self.accounts[device.id] = Account(device, capacity)
        return account

    def put(self, sized: Sized, devices: Sequence[Device]) -> None:
        """Add a service to its devices, whether there is room or not."""
        self._count(sized, devices, 1)
        for device in devices:
            account = self.accounts[device.id]
            account.services.append(sized)
            account.starting.append(max(sized.starting_bytes, account.starting[-1] if account.starting else 0))

    def take(self, sized: Sized, devices: Sequence[Device]) -> None:
        """Undo the last ``put``."""
        self._count(sized, devices, -1)
        for device in devices:
            self.accounts[device.id].services.pop()
            self.accounts[device.id].starting.pop()

    def _count(self, sized: Sized, devices: Sequence[Device], sign: int) -> None:
        need, claim = sized.need_units(devices), claimed_units(sized, devices)
        for device in devices:
            account = self.at(device)
            account.needed += sign * need
            account.claimed += sign * claim
            account.outside_bytes += sign * sized.outside_bytes
            account.unstated += sign * (sized.service.gpu_memory_utilization is None)

    def highest(self, device: Device, more: Sized | None = None) -> int:
        """Return the highest sum of shares that starts there, with one service ``more``."""
        return self.at(device).highest(more)

    def limit(self, device: Device, more: Sized | None = None) -> int:
        """Return what the shares may sum to after a clamp."""
        return min(self.budget, self.highest(device, more)) if self.clamps else self.budget

    def free(self, device: Device, more: Sized | None = None) -> int:
        """Return what is left for shares beyond what is needed; negative where nothing is."""
        return min(self.budget, self.highest(device, more)) - self.at(device).needed

    def holds(self, sized: Sized, device: Device, need: int, claim: int) -> bool:
        """Whether there is room for a service that needs and claims so much there."""
        return self.admits(sized, self.at(device), self.highest(device, sized), need, claim)

    def admits(self, sized: Sized, account: Account, highest: int, need: int, claim: int) -> bool:
        """Do the same for a device whose ``highest`` with this service is known."""
        claimed = account.claimed + claim
        if claim < need or claimed > self.budget:
            return False
        if self.clamps:
            return account.needed + need <= highest
        decides = account.unstated or sized.service.gpu_memory_utilization is None
        return max(claimed, self.budget if decides else 0) <= highest


def claimed_units(sized: Sized, devices: Sequence[Device]) -> int:
    """Return the share that a service states, or needs where it states none."""
    stated = sized.service.gpu_memory_utilization
    return sized.need_units(devices) if stated is None else to_units(stated)
