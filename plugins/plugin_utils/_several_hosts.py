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
from ansible_collections.llmops.inference.plugins.module_utils._multi_node import EXECUTORS
from ansible_collections.llmops.inference.plugins.module_utils._values import as_integer, shown
from ansible_collections.llmops.inference.plugins.plugin_utils._gateway import layout_of as stated_layout

ADDRESS = "vllm_services_interconnect_address"
DEFAULT_MASTER_PORT = 29501
# What each host may have for itself; all else is the engine's, and the engines of a service are one.
PER_HOST = (
    "environment",
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

Layout = Sequence[Mapping[str, Any]]


def part_of(layout: Layout, host: str, variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what ``host`` runs of its layout, in words of the modules.

    ``variables`` are those of every host of the inventory. Raises InferenceError with every mistake about hosts.
    """
    problems: list[str] = []
    found = []
    for service in layout:
        where = f"service {shown(service.get('name'))}"
        if "hosts" not in service:
            strange = [key for key in _KEYS if key in service]
            if strange:
                problems.append(f"{where}: {' and '.join(strange)} say how several hosts run it; state them as hosts.")
            found.append(dict(service))
            continue
        named = _hosts_of(service, where, variables, problems)
        if host not in named:
            continue
        own = {key: value for key, value in service.items() if key not in _KEYS}
        if len(named) > 1:
            _check_stated(service, where, named, host, variables, problems)
            own["multi_node"] = _multi_node(service, where, named, host, variables, problems)
        found.append(own)
    _check_ports(found, problems)
    if problems:
        raise InferenceError(" ".join(problems), errors=problems)
    return found


def _hosts_of(
    service: Mapping[str, Any], where: str, variables: Mapping[str, Any], problems: list[str]
) -> Sequence[str]:
    named = service["hosts"]
    if not isinstance(named, (list, tuple)) or not named or not all(isinstance(name, str) for name in named):
        problems.append(f"{where}: hosts must be a list of names of the inventory, not {shown(named)}.")
        return ()
    unknown = [name for name in named if name not in variables]
    if unknown:
        problems.append(f"{where}: hosts names {', '.join(unknown)}, and the inventory has no such host.")
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        problems.append(f"{where}: hosts names {', '.join(twice)} twice; each takes one part of the service.")
    return () if unknown or twice else named


def _multi_node(
    service: Mapping[str, Any],
    where: str,
    named: Sequence[str],
    host: str,
    variables: Mapping[str, Mapping[str, Any]],
    problems: list[str],
) -> dict[str, Any]:
    addresses = {name: str(variables[name].get(ADDRESS) or "") for name in named}
    silent = [name for name, address in addresses.items() if not address]
    if silent:
        problems.append(
            f"{where}: no {ADDRESS} of {', '.join(silent)}: state the IP address at which the other hosts reach it."
        )
    executor = service.get("executor", "mp")
    if executor not in EXECUTORS:
        problems.append(f"{where}: executor {shown(executor)} is none of {', '.join(EXECUTORS)}.")
    return {
        "node_rank": list(named).index(host),
        "addresses": list(addresses.values()),
        "master_port": service.get("master_port", DEFAULT_MASTER_PORT),
        "executor": executor,
    }


def _check_stated(
    service: Mapping[str, Any],
    where: str,
    named: Sequence[str],
    host: str,
    variables: Mapping[str, Mapping[str, Any]],
    problems: list[str],
) -> None:
    """Report hosts whose layouts do not say the same of the service."""
    for other in named:
        if other == host:
            continue
        same = [item for item in stated_layout(variables[other]) if item.get("name") == service.get("name")]
        if not same:
            problems.append(f"{where} is to run on {other}, too, whose layout does not have it: add it there.")
            continue
        keys = sorted({*service, *same[0]} - set(PER_HOST))
        different = [key for key in keys if service.get(key) != same[0].get(key)]
        if different:
            problems.append(f"{where}: {', '.join(different)} differ between {host} and {other}; they run one engine.")


def _check_ports(layout: Layout, problems: list[str]) -> None:
    """Report two services whose ranks would meet on one port, or on the one where the other's hosts talk."""
    known: dict[int, Any] = {}
    for service in layout:
        group = service.get("multi_node")
        first = as_integer(group["master_port"]) if group else None
        for port in () if first is None else (first, first + 1):
            if port in known:
                problems.append(
                    f"service {shown(service.get('name'))}: port {port} is also that of the hosts of {known[port]}; state "
                    "another master_port. A service takes that port and the next."
                )
                break
            known[port] = shown(service.get("name"))


def disagreements(
    layout: Layout, named: Mapping[str, Sequence[str]], host: str, previews: Mapping[str, Any], forks: int
) -> list[str]:
    """Return why the hosts of a host's services cannot change together; empty where they can, or need not.

    ``layout`` is what ``part_of`` gave for ``host``; ``named`` are the hosts of each of its services; ``previews``
    what a deployment in check mode returned for each host that changes in this batch, and ``forks`` how many hosts of
    it work at a time.
    """
    problems: list[str] = []
    waiting = {member for members in named.values() if len(members) > 1 for member in members}
    for service in layout:
        if not service.get("multi_node"):
            continue
        name = str(service["name"])
        members = named[name]
        where = f"service {name!r} runs on {', '.join(members)}"
        plans = {member: _planned(previews.get(member), name) for member in members}
        if all(_is_kept(previews.get(member), name) for member in members if member in previews):
            continue
        missing = [member for member in members if plans[member] is None]
        if missing:
            problems.append(
                f"{where}, and {', '.join(missing)} cannot change with it: it failed, or is not in this batch. Run it "
                "for all of them at once."
            )
            continue
        for key, what in (("engine_version", "engine"), ("fingerprint", "files of the model"), ("max_model_len", "")):
            values = {member: plans[member][key] for member in members if plans[member]}
            if len(set(values.values())) > 1:
                problems.append(_difference(where, key, what, values))
    if problems or not waiting & set(previews):
        return problems
    together = len(waiting & set(previews))
    if forks < together:
        problems.append(
            f"{together} hosts of this batch wait for each other, and forks is {forks}: run it with --forks {together}."
        )
    return problems


def _difference(where: str, key: str, what: str, values: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{value} on {member}" for member, value in values.items())
    if key == "max_model_len":
        shortest = min(values.values())
        return f"{where}, and what fits differs: {listed}. State max_model_len: {shortest}, which fits on all."
    return f"{where}, and their {what} differ ({key}): {listed}. Give all of them the same."


def _planned(preview: Any, name: str) -> dict[str, Any] | None:
    """Return what a preview says of a service's plan; None where there is none."""
    plan = (preview or {}).get("plan") or {}
    for service in plan.get("services", ()):
        if service["name"] == name:
            return {**service, "engine_version": plan.get("engine_version")}
    return None


def _is_kept(preview: Any, name: str) -> bool:
    rows = (preview or {}).get("services") or ()
    return any(row["name"] == name and row["action"] == "kept" for row in rows)


def restarts(layout: Layout, named: Mapping[str, Sequence[str]], previews: Mapping[str, Any]) -> list[str]:
    """Return the services that a host has to start again because another of their hosts does."""
    return [
        str(service["name"])
        for service in layout
        if service.get("multi_node")
        and not all(_is_kept(previews.get(member), str(service["name"])) for member in named[str(service["name"])])
    ]


def batches(hosts: Sequence[str], size: int, groups: Sequence[Sequence[str]]) -> list[int]:
    """Return the sizes of batches of at least ``size`` hosts, in their order, that part no group.

    A batch goes on until every group that has a host in it is in it whole.
    """
    last = {host: place for place, host in enumerate(hosts)}
    until = dict(last)
    for group in groups:
        places = [last[host] for host in group if host in last]
        for host in group:
            if host in last:
                until[host] = max(until[host], *places)
    sizes, begun, end = [], 0, 0
    for place, host in enumerate(hosts):
        end = max(end, until[host])
        if place - begun + 1 >= size and place >= end:
            sizes.append(place - begun + 1)
            begun = place + 1
    if begun < len(hosts):
        sizes.append(len(hosts) - begun)
    return sizes
