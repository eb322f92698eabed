# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that name their hosts: what of them one host plans and runs, and whether the hosts agree. Pure.

A service of a layout may have ``hosts``, names of the inventory. Each of them has the service in its own layout, which
a group's variables give to all at once; a host that is not named leaves it out. What is said there of the hosts
becomes ``multi_node``, in which one host knows its rank and everybody's address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.multi_node import EXECUTORS
from ansible_collections.llmops.inference.plugins.module_utils._values import as_integer, shown
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import layout_of

ADDRESS = "vllm_services_interconnect_address"
DEFAULT_MASTER_PORT = 29501
# What each host may have for itself; all else is the engine's, and the engines of a service are one.
PER_HOST = (
    "environment",
    "geometry",
    "gpu_memory_utilization",
    "gpus",
    "memory_high",
    "memory_max",
    "memory_weight",
    "min_pcie_generation",
    "model",
    "secret_environment",
)
_KEYS = ("hosts", "executor", "master_port")

HostLayout = Sequence[Mapping[str, Any]]


def part_of(layout: HostLayout, host: str, variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what ``host`` runs of its layout, in words of the modules.

    ``variables`` are those of every host of the inventory. Raises InferenceError with every mistake about hosts.
    """
    problems: list[str] = []
    found = []
    for service in layout:
        named = _Named(service, host, variables, problems)
        if "hosts" not in service:
            named.refuse_without_hosts()
            found.append(dict(service))
        elif host in named.hosts:
            found.append({**named.own, **({"multi_node": named.multi_node()} if len(named.hosts) > 1 else {})})
    _check_ports(found, problems)
    if problems:
        raise InferenceError(" ".join(problems), errors=problems)
    return found


class _Named:
    """A service and the hosts that it names; mistakes are added to ``problems``."""

    def __init__(
        self,
        service: Mapping[str, Any],
        host: str,
        variables: Mapping[str, Mapping[str, Any]],
        problems: list[str],
    ) -> None:
        self._service = service
        self._host = host
        self._variables = variables
        self._problems = problems
        self.own = {key: value for key, value in service.items() if key not in _KEYS}
        self.hosts = self._read_hosts() if "hosts" in service else ()

    def _add(self, text: str) -> None:
        self._problems.append(f"service {shown(self._service.get('name'))}: {text}")

    def refuse_without_hosts(self) -> None:
        strange = [key for key in _KEYS if key in self._service]
        if strange:
            self._add(f"{' and '.join(strange)} say how several hosts run it; name them as hosts.")

    def _read_hosts(self) -> Sequence[str]:
        named = self._service["hosts"]
        if not isinstance(named, (list, tuple)) or not named or not all(isinstance(name, str) for name in named):
            self._add(f"hosts must be a list of names of the inventory, not {shown(named)}.")
            return ()
        unknown = [name for name in named if name not in self._variables]
        if unknown:
            self._add(f"hosts names {', '.join(unknown)}, and the inventory has no such host.")
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            self._add(f"hosts names {', '.join(twice)} twice; each takes one part of the service.")
        return () if unknown or twice else named

    def multi_node(self) -> dict[str, Any]:
        """Return the place of this host among them."""
        for other in self.hosts:
            if other != self._host:
                self._compare(other)
        addresses = {name: str(self._variables[name].get(ADDRESS) or "") for name in self.hosts}
        silent = [name for name, address in addresses.items() if not address]
        if silent:
            self._add(f"no {ADDRESS} of {', '.join(silent)}: state the IP address at which the other hosts reach it.")
        executor = self._service.get("executor", "mp")
        if executor not in EXECUTORS:
            self._add(f"executor {shown(executor)} is none of {', '.join(EXECUTORS)}.")
        return {
            "node_rank": list(self.hosts).index(self._host),
            "addresses": list(addresses.values()),
            "master_port": self._service.get("master_port", DEFAULT_MASTER_PORT),
            "executor": executor,
        }

    def _compare(self, other: str) -> None:
        """Report a host whose layout does not say the same of the service."""
        service = self._service
        same = [item for item in layout_of(self._variables[other]) if item.get("name") == service.get("name")]
        if not same:
            self._add(f"it is to run on {other}, too, whose layout does not have it: add it there.")
            return
        keys = sorted({*service, *same[0]} - set(PER_HOST))
        different = [key for key in keys if service.get(key) != same[0].get(key)]
        if different:
            self._add(f"{', '.join(different)} differ between {self._host} and {other}; they run one engine.")


def _check_ports(layout: HostLayout, problems: list[str]) -> None:
    """Report two services whose ranks would meet on one port, or on the one where the other's hosts talk."""
    known: dict[int, Any] = {}
    for service in layout:
        group = service.get("multi_node")
        first = as_integer(group["master_port"]) if group else None
        for port in () if first is None else (first, first + 1):
            if port in known:
                problems.append(
                    f"service {shown(service.get('name'))}: port {port} is also that of the hosts of {known[port]}; "
                    "state another master_port. A service takes that port and the next."
                )
                break
            known[port] = shown(service.get("name"))


def group_conflicts(groups: Mapping[str, Sequence[str]], parts: Mapping[str, Any], forks: int) -> dict[str, list[str]]:
    """Return why the hosts of some services cannot change together, and which of these services all must restart.

    ``groups`` are the hosts of each service; ``parts`` what a deployment in check mode returned for each host that
    changes in this batch, empty where it failed; ``forks`` how many hosts of it work at a time. The result has
    ``problems`` and ``restart``, both empty where nothing changes.
    """
    problems: list[str] = []
    restart = []
    for name, members in groups.items():
        where = f"service {name!r} runs on {', '.join(members)}"
        present = [member for member in members if member in parts]
        if all(_is_kept(parts[member], name) for member in present):
            continue
        restart.append(name)
        missing = [member for member in members if not parts.get(member)]
        if missing:
            problems.append(
                f"{where}, and {', '.join(missing)} cannot change with it: it failed, or is not in this batch. Run all "
                "of them at once."
            )
            continue
        # Check mode on a host without an engine tells no plan.
        plans = {member: planned for member in members for planned in [_planned(parts[member], name)] if planned}
        for key, what in (("engine_version", "engines"), ("fingerprint", "model files"), ("max_model_len", "")):
            values = {member: planned.get(key) for member, planned in plans.items()}
            if len(set(values.values())) > 1:
                problems.append(_difference(where, key, what, values))
    waiting = {member for members in groups.values() for member in members} & set(parts)
    if restart and forks < len(waiting):
        problems.append(
            f"{len(waiting)} hosts of this batch wait for each other, and {forks} work at a time: run it with --forks "
            f"{len(waiting)} or more."
        )
    return {"problems": problems, "restart": restart}


def _difference(where: str, key: str, what: str, values: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{value} on {member}" for member, value in values.items())
    if key == "max_model_len":
        shortest = min(values.values())
        return f"{where}, and what fits differs: {listed}. State max_model_len: {shortest}, which fits on all."
    return f"{where}, and their {what} differ ({key}): {listed}. Give all of them the same."


def _planned(part: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return what a host's plan says of a service; None where there is none."""
    plan = part.get("plan") or {}
    for service in plan.get("services", ()):
        if service["name"] == name:
            return {**service, "engine_version": plan.get("engine_version")}
    return None


def _is_kept(part: Mapping[str, Any], name: str) -> bool:
    """Whether a host leaves a service as it runs."""
    return any(row["name"] == name and row["action"] == "kept" for row in part.get("services") or ())


def unparted(serial: Any, hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return ``serial``, what a play takes, as batches of ``hosts`` that part no group; itself where there is none."""
    groups = [
        service["hosts"]
        for host in hosts
        for service in layout_of(variables[host])
        if isinstance(service.get("hosts"), (list, tuple)) and len(service["hosts"]) > 1
    ]
    return batches(hosts, _sizes(serial, len(hosts)), groups) if groups else serial


def _sizes(serial: Any, count: int) -> list[int]:
    """Return what ``serial`` means for so many hosts, at least one each; the last size holds for all batches after."""
    sizes = []
    for size in serial if isinstance(serial, (list, tuple)) else [serial]:
        text = str(size).strip()
        number = as_integer(text[:-1] if text.endswith("%") else text)
        if number is None:
            raise InferenceError(f"serial {shown(size)} is neither a number of hosts nor a percentage.")
        sizes.append(max(1, count * number // 100 if text.endswith("%") else number or count))
    return sizes


def batches(hosts: Sequence[str], sizes: Sequence[int], groups: Sequence[Sequence[str]]) -> list[int]:
    """Return the sizes of batches of ``hosts``, in their order, none smaller than asked for, that part no group.

    A batch goes on until every group that has a host in it is in it whole; the last one may be smaller.
    """
    place = {host: number for number, host in enumerate(hosts)}
    until = list(range(len(hosts)))
    for group in groups:
        members = [place[host] for host in group if host in place]
        for member in members:
            until[member] = max(until[member], *members)
    result: list[int] = []
    begun = end = 0
    for here in range(len(hosts)):
        end = max(end, until[here])
        wanted = sizes[min(len(result), len(sizes) - 1)]
        if here >= end and here - begun + 1 >= wanted:
            result.append(here - begun + 1)
            begun = here + 1
    return [*result, len(hosts) - begun] if begun < len(hosts) else result
