# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service goes to which devices.

Services that name their devices have them. The others choose in turn, the biggest need first, from the sets
of devices that have room for them *and* leave room for all that follow; among those each takes the one with
the lowest cost. The result is the lexicographically best of all placements, found by depth-first search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from operator import itemgetter
from typing import NamedTuple

from ._devices import Device, resolve
from ._errors import InferenceError
from ._plan import Refusal, Settings
from ._room import Account, Room
from ._shares import UNITS, to_units, units_for
from ._sizing import Sized, gib, start_key
from ._topology import LEVELS, Link, Topology, distance

# Placements looked at before the search settles for the first that it can extend; a host with 8 GPUs and a
# dozen services needs far fewer.
SEARCH_LIMIT = 20_000
SETS_LIMIT = 500

Cost = tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """The devices of a service and, in one sentence, why these."""

    devices: tuple[Device, ...]
    reason: str


class _Set(NamedTuple):
    """Some devices that a service could have, and what of their cost no service changes."""

    devices: tuple[Device, ...]
    path: tuple[int, ...]  # the worst and the sum of the links, those without P2P, NUMA nodes
    degraded: int
    alike: bool  # all have the same memory


class _Offer(NamedTuple):
    """What one device has for one service."""

    holds: bool  # what it needs
    roomy: bool  # its longest context
    free_bytes: int


@dataclass
class _State:
    """The state of a search: who is on which device, and which states are known to lead nowhere."""

    devices: Sequence[Device]
    links: Mapping[tuple[int, int], Link]
    room: Room
    looked_at: int = 0
    dead: set[tuple[object, ...]] = field(default_factory=set)
    sets: dict[int, list[_Set]] = field(default_factory=dict)

    def holds(self, sized: Sized, units: int, devices: Sequence[Device]) -> bool:
        """Whether each of the devices has room for a share of so many units, or for the one that is stated."""
        stated = sized.service.gpu_memory_utilization
        claim = units if stated is None else max(units, to_units(stated))
        return all(self.room.holds(sized, device, units, claim) for device in devices)

    def sets_of(self, count: int) -> list[_Set]:
        """Return the sets of so many devices, by index."""
        if count not in self.sets:
            self.sets[count] = [_set(devices, self.links) for devices in _sets(self.devices, count)]
        return self.sets[count]


def choose(
    services: Sequence[Sized], devices: Sequence[Device], topology: Topology, settings: Settings
) -> tuple[dict[str, Choice], list[Refusal]]:
    """Return name -> choice, and the services that have none."""
    chosen: dict[str, Choice] = {}
    refusals: list[Refusal] = []
    usable = [device for device in devices if device.problem is None]
    links = {(link.a, link.b): link for link in topology.links}
    state = _State(usable, links, Room(settings))
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
            reason = f"{names(named)}: named in the layout{_path(named, links)}."
            chosen[sized.name] = Choice(named, reason)
    placeable = []
    for sized in waiting:
        if sized.service.tensor_parallel_size > len(usable):
            refusals.append(_too_few(sized, devices, usable))
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
    wanted = sized.service.tensor_parallel_size
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
    if state.looked_at > SEARCH_LIMIT or (state.dead and _key(state, services, place) in state.dead):
        return None
    sized = services[place]
    candidates = _candidates(sized, state)
    for cost, devices in candidates:
        state.looked_at += 1
        state.room.put(sized, devices)
        rest = _search(services, state, place + 1)
        state.room.take(sized, devices)
        if rest is not None:
            return [Choice(devices, _reason(sized, devices, cost, len(candidates), state)), *rest]
    state.dead.add(_key(state, services, place))
    return None


def _key(state: _State, services: Sequence[Sized], place: int) -> tuple[object, ...]:
    """Return what decides whether the services from ``place`` on have room; a device itself where links matter."""
    linked = any(sized.service.tensor_parallel_size > 1 for sized in services[place:])
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
    for option in state.sets_of(sized.service.tensor_parallel_size):
        offer = offers[option.devices[0].id]
        if len(option.devices) > 1:
            offer = _joint(sized, option, [offers[device.id] for device in option.devices], state)
        if offer.holds or anywhere:
            found.append((_cost(option, state, not offer.roomy, offer.free_bytes), option.devices))
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
    account, highest = room.at(device), room.highest(device, sized)
    need, want = units_for(sized.need_bytes, total), units_for(sized.want_bytes, total)
    stated = sized.service.gpu_memory_utilization
    claim = need if stated is None else to_units(stated)
    return _Offer(
        holds=room.admits(sized, account, highest, need, claim),
        roomy=room.admits(sized, account, highest, want, max(want, claim)),
        free_bytes=total * (min(room.budget, highest) - account.needed),
    )


def _joint(sized: Sized, option: _Set, offers: Sequence[_Offer], state: _State) -> _Offer:
    """Return what several devices have for a service: what the tightest of them has."""
    holds, roomy = all([offer.holds for offer in offers]), all([offer.roomy for offer in offers])
    if not option.alike:  # then the share, a fraction, is that of the smallest
        holds = holds and state.holds(sized, sized.need_units(option.devices), option.devices)
        roomy = roomy and state.holds(sized, sized.want_units(option.devices), option.devices)
    return _Offer(holds, roomy, min([offer.free_bytes for offer in offers]))


def _set(devices: tuple[Device, ...], links: Mapping[tuple[int, int], Link]) -> _Set:
    path: tuple[int, ...] = ()
    if len(devices) > 1:
        between = [_link(a, b, links) for a, b in combinations(devices, 2)]
        distances = [distance(link.level) for link in between]
        without_p2p = len([link for link in between if link.p2p_read not in (None, "ok")])
        path = (max(distances), sum(distances), without_p2p, len({device.numa_node for device in devices}))
    alike = len({device.total_bytes for device in devices}) == 1
    return _Set(devices, path, sum([device.degraded for device in devices]), alike)


def _cost(option: _Set, state: _State, cramped: bool, free: int) -> Cost:
    """Return what placing a service there costs, the weightiest first.

    Several devices: whether the longest context has room, neighbours, the worst and the sum of the links,
    missing P2P, NUMA nodes, degraded devices, and then the most free memory. One device: whether the longest
    context has room, ranks of bigger services there, degraded, and then the least memory left over.
    """
    devices, room = option.devices, state.room
    if len(devices) == 1:
        sharded = sum(other.service.tensor_parallel_size > 1 for other in room.at(devices[0]).services)
        return (cramped, sharded, option.degraded, -free if cramped else free)
    neighbours = sum(len(room.at(device).services) for device in devices)
    return (cramped, neighbours, *option.path, option.degraded, -free)


def _reason(sized: Sized, devices: tuple[Device, ...], cost: Cost, candidates: int, state: _State) -> str:
    where = names(devices)
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
    return f"{where}: of {candidates} with room the one with the least left over, {gib(total * units // UNITS)}."


def names(devices: Sequence[Device]) -> str:
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
