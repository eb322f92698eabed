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

from ._devices import Device, resolve
from ._errors import InferenceError
from ._plan import Refusal, Settings
from ._room import Room, claimed_units
from ._shares import UNITS
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


@dataclass
class _State:
    """The state of a search: who is on which device, and which states are known to lead nowhere."""

    devices: Sequence[Device]
    links: Mapping[tuple[int, int], Link]
    room: Room
    looked_at: int = 0
    dead: set[tuple[object, ...]] = field(default_factory=set)

    def has_room(self, sized: Sized, devices: Sequence[Device], need: int, claim: int) -> bool:
        return all(self.room.holds(sized, device, need, claim) for device in devices)


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
    key = (place, tuple(sorted(_signature(state, device, services[place:]) for device in state.devices)))
    if key in state.dead or state.looked_at > SEARCH_LIMIT:
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
    state.dead.add(key)
    return None


def _signature(state: _State, device: Device, rest: Sequence[Sized]) -> tuple[object, ...]:
    """Return what decides whether the rest has room; the device itself only where links matter."""
    which = device.id if any(sized.service.tensor_parallel_size > 1 for sized in rest) else ""
    here = state.room.on.get(device.id, [])
    outside = sum(sized.demand.outside_bytes for sized in here)
    decides = any(sized.service.gpu_memory_utilization is None for sized in here)
    held = (state.room.needed.get(device.id, 0), state.room.claimed.get(device.id, 0), len(here), decides)
    return (which, device.total_bytes, device.used_by_others_bytes, outside, *held)


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
    found = []
    for devices in _sets(state.devices, sized.service.tensor_parallel_size):
        need, claim = sized.need_units(devices), claimed_units(sized, devices)
        if anywhere or state.has_room(sized, devices, need, claim):
            found.append((_cost(sized, devices, state), devices))
    return sorted(found, key=lambda item: (item[0], [device.index for device in item[1]]))


def _sets(devices: Sequence[Device], count: int) -> list[tuple[Device, ...]]:
    """Return the sets of so many devices that are worth a look: all, up to 8 devices and some way beyond."""
    if devices[0].id.startswith("numa:"):
        # The engine runs where its CPUs are; a node other than the first is the layout's to name.
        return [tuple(devices[:count])]
    if math.comb(len(devices), count) <= SETS_LIMIT:
        return list(combinations(devices, count))
    return [tuple(devices[first : first + count]) for first in range(len(devices) - count + 1)]


def _cost(sized: Sized, devices: tuple[Device, ...], state: _State) -> Cost:
    """Return what placing a service there costs, the weightiest first.

    Several devices: whether the longest context has room, neighbours, the worst and the sum of the links,
    missing P2P, NUMA nodes, degraded devices, and then the most free memory. One device: whether the longest
    context has room, ranks of bigger services there, degraded, and then the least memory left over.
    """
    want = sized.want_units(devices)
    cramped = not state.has_room(sized, devices, want, max(want, claimed_units(sized, devices)))
    degraded = sum(device.degraded for device in devices)
    room = min(device.total_bytes * state.room.free(device, [sized]) for device in devices)
    if len(devices) == 1:
        sharded = sum(other.service.tensor_parallel_size > 1 for other in state.room.on.get(devices[0].id, ()))
        return (cramped, sharded, degraded, -room if cramped else room)
    links = [_link(a, b, state.links) for a, b in combinations(devices, 2)]
    distances = [distance(link.level) for link in links]
    neighbours = sum(len(state.room.on.get(device.id, ())) for device in devices)
    without_p2p = sum(link.p2p_read not in (None, "ok") for link in links)
    nodes = len({device.numa_node for device in devices})
    return (cramped, neighbours, max(distances), sum(distances), without_p2p, nodes, degraded, -room)


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
    units = state.room.free(devices[0], [sized]) - sized.want_units(devices)
    return f"{where}: of {candidates} with room the one with the least left over, {gib(total * units // UNITS)}."


def names(devices: Sequence[Device]) -> str:
    """Return devices as a sentence calls them."""
    kind = "NUMA node" if devices[0].id.startswith("numa:") else "GPU"
    *others, last = [str(device.index) for device in devices]
    return f"{kind}s {', '.join(others)} and {last}" if others else f"{kind} {last}"


def _link(a: Device, b: Device, links: Mapping[tuple[int, int], Link]) -> Link:
    """Return the link between two devices; one of unknown level where the topology has none."""
    ends = (min(a.index, b.index), max(a.index, b.index))
    return links.get(ends) or Link(*ends)


def _path(devices: Sequence[Device], links: Mapping[tuple[int, int], Link]) -> str:
    """Return the worst link of a set as the end of a sentence; empty for one device or unknown links."""
    worst = max((distance(_link(a, b, links).level) for a, b in combinations(devices, 2)), default=0)
    return f", {LEVELS[worst - 1]} at worst between them" if 0 < worst <= len(LEVELS) else ""
