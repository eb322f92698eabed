# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of hosts as one page that needs nothing but itself. The same plans give the same page."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._html.render import render

from .answer import answers, requests_at_once
from .memory_bar import Segment, memory_bar, segments, size_text
from .topology_picture import levels_shown, matrix, topology_picture

_TEMPLATES = Path(__file__).parent / "templates"


def page(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; a host has its ``plan`` and, where known, its ``topology``."""
    names = sorted(hosts)
    return str(
        render(
            "plan.html.j2",
            _TEMPLATES,
            title=f"Plan of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}",
            fitting=sum(hosts[name]["plan"]["fits"] for name in names),
            hosts=[_host(name, hosts[name]["plan"], hosts[name].get("topology")) for name in names],
        )
    )


def _host(name: str, plan: Mapping[str, Any], topology: Mapping[str, Any] | None) -> dict[str, Any]:
    facts = [
        f"accelerator {plan['accelerator']}",
        f"vLLM {plan['engine_version']}" if plan["engine_version"] else "",
        f"budget {plan['gpu_memory_budget']:g} of each device",
        f"driver {topology['driver_version']}" if topology and topology["driver_version"] else "",
    ]
    used = [device for device in plan["devices"] if device["services"] or device["used_by_others_bytes"]]
    return {
        "name": name,
        "plan": plan,
        "answers": answers(plan),
        "facts": " · ".join(fact for fact in facts if fact),
        "notes": plan.get("notes", ()),  # plans of older generations have none
        "devices": [_device(device, plan["services"], topology) for device in used],
        "idle": ", ".join(
            f"{_name(device)} ({size_text(device['total_bytes'])})" for device in plan["devices"] if device not in used
        ),
        "services": [_service(service) for service in plan["services"]],
        "topology": _topology(topology, plan) if topology else None,
    }


def _device(
    device: Mapping[str, Any], services: Sequence[Mapping[str, Any]], topology: Mapping[str, Any] | None
) -> dict[str, Any]:
    found = segments(device, services)
    holders = dict.fromkeys(part.service for part in found)
    return {
        "id": device["id"],
        "name": _name(device),
        "facts": " · ".join(_facts(device, topology)),
        "shares": f"shares {device['committed_share']:.4f} within {device['budget']:.4f}",
        "bar": memory_bar(device, services),
        "holders": [_holder(name, [part for part in found if part.service == name]) for name in holders],
    }


def _holder(name: str, parts: Sequence[Segment]) -> dict[str, Any]:
    """Return what a service holds of a device; a source that all its parts have is said once."""
    sources = {part.source for part in parts}
    common = sources.pop() if len(sources) == 1 else ""
    return {
        "name": name,
        "source": common,
        "parts": [
            {
                "kind": part.kind,
                "name": part.name,
                "size": size_text(part.size),
                "source": "" if common else part.source,
            }
            for part in parts
        ],
    }


def _name(device: Mapping[str, Any]) -> str:
    return str(device["name"]) if device["id"].startswith("numa:") else f"GPU {device['index']} · {device['name']}"


def _facts(device: Mapping[str, Any], topology: Mapping[str, Any] | None) -> Iterable[str]:
    yield f"{size_text(device['total_bytes'])} to divide"
    for gpu in topology["gpus"] if topology else ():
        if gpu["uuid"] != device["id"]:
            continue
        whole = gpu["memory_total_bytes"]
        if whole and whole > device["total_bytes"]:
            kept = size_text(whole - device["total_bytes"])
            yield f"{size_text(whole)} by nvidia-smi, {kept} of it kept by the driver"
        pcie = gpu["pcie"]
        if pcie["generation_max"] and pcie["width_max"]:
            yield f"PCIe {pcie['generation_max']}.0 x{pcie['width_max']}"
        if gpu["numa_node"] is not None:
            yield f"NUMA node {gpu['numa_node']}"
        if gpu["health"]["status"] != "ok":
            yield f"{gpu['health']['status']}: {', '.join(gpu['health']['reasons'])}"


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    after = f" Starts after {', '.join(service['start_after'])}." if service["start_after"] else ""
    return {
        "name": service["name"],
        "devices": ", ".join(str(index) for index in service["device_indices"]),
        "share": f"{service['gpu_memory_utilization']:.4f}",
        "context": f"{service['max_model_len']:,}",
        "cache": f"{service['kv_cache_tokens']:,}",
        "requests": requests_at_once(service),
        "why": f"{service['reason']} {service['length_reason']}{after}",
    }


def _topology(topology: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any] | None:
    drawn = topology_picture(topology, plan["services"])
    levels = "; ".join(f"{level}: {meaning}" for level, meaning in levels_shown(topology).items())
    divided = {device["id"]: device["total_bytes"] for device in plan["devices"]}
    kept = any((gpu["memory_total_bytes"] or 0) > divided.get(gpu["uuid"], sys.maxsize) for gpu in topology["gpus"])
    return {"picture": drawn, "rows": matrix(topology), "levels": levels, "kept": kept} if drawn else None
