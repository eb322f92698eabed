# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service goes to which devices: the objective, and the search that meets it.

Services that name their devices have them. The others take theirs in the order of ``_sizing.start_key``, the
biggest need first. A *placement* gives each as many devices as it has ranks; it is *admissible* where every
device has room (``_room``) for all that are on it. GPUs that have failed, are partitioned or do not tell their
memory are no devices. Of all admissible placements the best is the one whose first service has the least cost,
among those the one whose second has, and so on; of equal costs, the lower indices. A service's cost counts
those placed before it, named ones included, and is compared item by item:

Several devices, the best connected:
 1. 1 where its longest context has no room, else 0
 2. bigger services on them
 3. the worst link: NVLINK, PIX, PXB, PHB, NODE, SYS, unknown
 4. the sum of the links
 5. the NVLinks of the pair that has the fewest of them; more are better
 6. pairs that cannot read each other's memory
 7. NUMA nodes
 8. degraded devices
 9. free memory, in shares beyond what is needed, where it is least; more is better

One device, the least waste:
 1. 1 where its longest context has no room, else 0
 2. services of several ranks on it
 3. 1 where it is degraded
 4. where there is room, the memory that its longest context would leave over; where there is none, the free
    memory, and more is better

A depth-first search finds that best placement: it tries each service's sets by cost, and turns back where those
that follow have no room. Where there is no admissible placement, or none is found with the effort allowed, each
takes what costs it least, and the division of the devices refuses what has no room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from operator import itemgetter
from typing import NamedTuple

from .._errors import InferenceError
from .._gpu.topology import LEVELS, Link, Topology, distance
from .devices import Device, resolve
from .plan import Refusal, Settings
from .room import Account, Room
from .shares import SHARE_UNITS, to_units, units_for
from .sizing import Sized, gib, start_key

# Placements of one service that a search looks at before it settles for the greedy one; a host with 8 GPUs
# and a dozen services that have room takes a dozen. Counted, not timed: a plan is the same on every machine.
SEARCH_LIMIT = 10_000
SETS_LIMIT = 500

Cost = tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """The devices of a service and, in one sentence, why these."""

    devices: tuple[Device, ...]
    reason: str


class _Set(NamedTuple):
    """Some devices that a service could have, and what of their cost no service changes."""

    devices: tuple[Device, ...]
    path: tuple[int, ...]  # items 3 to 8 of its cost
    degraded: int
    alike: bool  # all have the same memory


class _Offer(NamedTuple):
    """What one device has for one service."""

    holds: bool  # what it needs
    roomy: bool  # its longest context
    free: int  # memory beyond what is needed there, in bytes by units
    left: int  # and beyond what its longest context needs


@dataclass
class Effort:
    """How many more placements may be looked at."""

    left: int = SEARCH_LIMIT


@dataclass
class _State:
    """The state of a search: who is on which device, and which states are known to lead nowhere."""

    devices: Sequence[Device]
    links: Mapping[tuple[int, int], Link]
    room: Room
    effort: Effort
    dead: set[tuple[object, ...]] = field(default_factory=set)
    sets: dict[tuple[int, frozenset[int]], list[_Set]] = field(default_factory=dict)

    def holds(self, sized: Sized, units: int, devices: Sequence[Device]) -> bool:
        """Whether each of the devices has room for a share of so many units, or for the one that is stated."""
        stated = sized.service.gpu_memory_utilization
        claim = units if stated is None else max(units, to_units(stated))
        return all(self.room.holds(sized, device, units, claim) for device in devices)

    def sets_of(self, sized: Sized) -> list[_Set]:
        """Return the sets of as many devices as the service has ranks, by index, without those unable to run it."""
        key = sized.service.local_ranks, sized.unable
        if key not in self.sets:
            able = [device for device in self.devices if device.index not in sized.unable]
            self.sets[key] = [_set(devices, self.links) for devices in _sets(able, key[0])]
        return self.sets[key]


def choose_devices(
    services: Sequence[Sized], devices: Sequence[Device], topology: Topology, settings: Settings, effort: Effort
) -> tuple[dict[str, Choice], list[Refusal]]:
    """Return name -> choice, and the services that have none."""
    chosen: dict[str, Choice] = {}
    refusals: list[Refusal] = []
    usable = [device for device in devices if device.problem is None]
    links = {(link.a, link.b): link for link in topology.links}
    state = _State(usable, links, Room(settings), effort)
    waiting = []
    for sized in sorted(services, key=start_key):
        if sized.service.gpus is None:
            waiting.append(sized)
            continue
        named = _named(sized, devices)
        if isinstance(named, Refusal):
            refusals.append(named)
        else:
            state.room.put(sized, named)
            reason = f"{device_names(named)}: named in the layout{_path(named, links)}."
            chosen[sized.name] = Choice(named, reason)
    placeable = []
    for sized in waiting:
        able = [device for device in usable if device.index not in sized.unable]
        if sized.service.local_ranks > len(able):
            refusals.append(_too_few(sized, devices, able))
        else:
            placeable.append(sized)
    found = _search(placeable, state)
    choices = _greedy(placeable, state) if found is None else found
    chosen.update((sized.name, choice) for sized, choice in zip(placeable, choices))
    return chosen, refusals


def _named(sized: Sized, devices: Sequence[Device]) -> tuple[Device, ...] | Refusal:
    found = []
    for name in sized.service.gpus or ():
        try:
            device = resolve(name, devices)
        except InferenceError as error:
            return Refusal(sized.name, f"gpus: {error}.", "")
        if device.problem is not None:
            return Refusal(sized.name, f"{device.problem}.", "")
        if device in found:
            return Refusal(sized.name, f"gpus names device {device.index} ({device.id}) twice.", "")
        found.append(device)
    return tuple(found)


def _too_few(sized: Sized, devices: Sequence[Device], usable: Sequence[Device]) -> Refusal:
    wanted = sized.service.local_ranks
    problems = [device.problem for device in devices if device.problem is not None]
    return Refusal(
        sized.name,
        f"it takes {wanted} devices, and {len(usable)} of this host can be used.",
        "; ".join([f"{len(devices)} found, {len(problems)} left out", *problems]) + ".",
    )


def _search(services: Sequence[Sized], state: _State, place: int = 0) -> list[Choice] | None:
    """Return the choices for ``services`` from ``place`` on, or None where not all of them have room."""
    if place == len(services):
        return []
    # Only a search that has failed somewhere can come to a state that it knows.
    if state.effort.left <= 0 or (state.dead and _key(state, services, place) in state.dead):
        return None
    sized = services[place]
    candidates = _candidates(sized, state) if _is_enough(state, services[place:]) else []
    for cost, devices in candidates:
        state.effort.left -= 1
        state.room.put(sized, devices)
        rest = _search(services, state, place + 1)
        state.room.take(sized, devices)
        if rest is not None:
            return [Choice(devices, _reason(sized, devices, cost, len(candidates), state)), *rest]
    state.dead.add(_key(state, services, place))
    return None


def _is_enough(state: _State, rest: Sequence[Sized]) -> bool:
    """Whether what all devices have left is enough, were it one piece: where it is not, no search helps."""
    needed = sum([item.service.local_ranks * (item.need_bytes + item.outside_bytes) for item in rest])
    left = 0
    for device in state.devices:
        account = state.room.at(device)
        share = device.total_bytes * account.needed // SHARE_UNITS
        left += max(0, account.capacity - account.outside_bytes - share + len(rest))  # a share may round up by a byte
    return needed <= left


def _key(state: _State, services: Sequence[Sized], place: int) -> tuple[object, ...]:
    """Return what decides whether the services from ``place`` on have room; a device itself where links matter."""
    linked = any(sized.service.local_ranks > 1 for sized in services[place:])
    return (place, *sorted(_signature(state.room.at(device), device, linked) for device in state.devices))


def _signature(account: Account, device: Device, linked: bool) -> tuple[object, ...]:
    held = (account.needed, account.claimed, len(account.services), account.unstated > 0)
    which = device.id if linked else ""
    return (which, device.total_bytes, device.used_by_others_bytes, account.outside_bytes, *held)


def _greedy(services: Sequence[Sized], state: _State) -> list[Choice]:
    """Place services that have not all room where they cost least; the division refuses with arithmetic."""
    result = []
    for sized in services:
        candidates = _candidates(sized, state) or _candidates(sized, state, anywhere=True)
        cost, devices = candidates[0]
        result.append(Choice(devices, _reason(sized, devices, cost, len(candidates), state)))
        state.room.put(sized, devices)
    return result


def _candidates(sized: Sized, state: _State, anywhere: bool = False) -> list[tuple[Cost, tuple[Device, ...]]]:
    """Return the sets of devices with room for a service, the lowest cost first."""
    offers = {device.id: _offer(sized, device, state) for device in state.devices}
    found = []
    for option in state.sets_of(sized):
        offer = offers[option.devices[0].id]
        if len(option.devices) > 1:
            offer = _joint(sized, option, [offers[device.id] for device in option.devices], state)
        if offer.holds or anywhere:
            found.append((_cost(sized, option, offer, state), option.devices))
    return sorted(found, key=itemgetter(0))  # equal ones stay in the order of their indices


def _sets(devices: Sequence[Device], count: int) -> list[tuple[Device, ...]]:
    """Return the sets of so many devices that are worth a look: all, up to 8 devices and some way beyond."""
    if devices[0].id.startswith("numa:"):
        # The engine runs where its CPUs are; a node other than the first is the layout's to name.
        return [tuple(devices[:count])]
    if math.comb(len(devices), count) <= SETS_LIMIT:
        return list(combinations(devices, count))
    return [tuple(devices[first : first + count]) for first in range(len(devices) - count + 1)]


def _offer(sized: Sized, device: Device, state: _State) -> _Offer:
    room, total = state.room, device.total_bytes
    account = room.at(device)
    highest = account.highest(sized)
    free = min(room.budget, highest) - account.needed
    need, want = units_for(sized.need_bytes, total), units_for(sized.want_bytes, total)
    stated = sized.service.gpu_memory_utilization
    claim = need if stated is None else to_units(stated)
    return _Offer(
        holds=room.admits(sized, account, highest, need, claim),
        roomy=room.admits(sized, account, highest, want, max(want, claim)),
        free=total * free,
        left=total * (free - want),
    )


def _joint(sized: Sized, option: _Set, offers: Sequence[_Offer], state: _State) -> _Offer:
    """Return what several devices have for a service: what the tightest of them has."""
    holds, roomy = all(offer.holds for offer in offers), all(offer.roomy for offer in offers)
    if not option.alike:  # then the share, a fraction, is that of the smallest
        holds = holds and state.holds(sized, sized.need_units(option.devices), option.devices)
        roomy = roomy and state.holds(sized, sized.want_units(option.devices), option.devices)
    return _Offer(holds, roomy, min([offer.free for offer in offers]), min([offer.left for offer in offers]))


def _set(devices: tuple[Device, ...], links: Mapping[tuple[int, int], Link]) -> _Set:
    degraded = sum([device.degraded for device in devices])
    path: tuple[int, ...] = ()
    if len(devices) > 1:
        between = [_link(a, b, links) for a, b in combinations(devices, 2)]
        distances = [distance(link.level) for link in between]
        fewest = min([link.nvlink_count for link in between])
        without_p2p = len([link for link in between if link.p2p_read not in (None, "ok")])
        nodes = len({device.numa_node for device in devices})
        path = (max(distances), sum(distances), -fewest, without_p2p, nodes, degraded)
    return _Set(devices, path, degraded, len({device.total_bytes for device in devices}) == 1)


def _cost(sized: Sized, option: _Set, offer: _Offer, state: _State) -> Cost:
    """Return what placing a service there costs, in the items of the table above."""
    cramped = not offer.roomy
    if len(option.devices) == 1:
        others = state.room.at(option.devices[0]).services
        sharded = len([other for other in others if other.service.local_ranks > 1])
        return (cramped, sharded, option.degraded, -offer.free if cramped else offer.left)
    mine = start_key(sized)
    bigger = [other for device in option.devices for other in state.room.at(device).services if start_key(other) < mine]
    return (cramped, len(bigger), *option.path, -offer.free)


def _reason(sized: Sized, devices: tuple[Device, ...], cost: Cost, candidates: int, state: _State) -> str:
    where = device_names(devices)
    if devices[0].id.startswith("numa:"):
        return f"{where}: where the engine's CPUs are."
    several = len(devices) > 1
    noun = ("pair" if len(devices) == 2 else "set") if several else "one"
    if candidates == 1:
        return f"{where}: the only {noun} with room{_path(devices, state.links)}."
    if several:
        return f"{where}: the best {noun} of {candidates} with room{_path(devices, state.links)}."
    if cost[0]:
        return f"{where}: of {candidates} with room the one with the most memory left."
    total = devices[0].total_bytes
    units = state.room.free(devices[0], sized) - sized.want_units(devices)
    return f"{where}: of {candidates} with room the one with the least left over, {gib(total * units // SHARE_UNITS)}."


def device_names(devices: Sequence[Device]) -> str:
    """Return devices as a sentence calls them."""
    kind = "NUMA node" if devices[0].id.startswith("numa:") else "GPU"
    *others, last = [str(device.index) for device in devices]
    return f"{kind}s {', '.join(others)} and {last}" if others else f"{kind} {last}"


def _link(a: Device, b: Device, links: Mapping[tuple[int, int], Link]) -> Link:
    """Return the link between two devices; one of unknown level where the topology has none."""
    ends = (a.index, b.index) if a.index < b.index else (b.index, a.index)
    return links.get(ends) or Link(*ends)


def _path(devices: Sequence[Device], links: Mapping[tuple[int, int], Link]) -> str:
    """Return the worst link of a set as the end of a sentence; empty for one device or unknown links."""
    worst = max((distance(_link(a, b, links).level) for a, b in combinations(devices, 2)), default=0)
    return f", {LEVELS[worst - 1]} at worst between them" if 0 < worst <= len(LEVELS) else ""
