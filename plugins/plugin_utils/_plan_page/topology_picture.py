# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of a host in their NUMA nodes, the paths between them as arcs, and all pairs as a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import box, element, label, picture, svg_text
from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.memory_bar import size_text
from markupsafe import Markup

LEVEL_WORDS = {
    "NVLINK": "NVLink",
    "PIX": "one PCIe switch",
    "PXB": "several PCIe switches",
    "PHB": "the host bridge",
    "NODE": "several host bridges",
    "SYS": "between NUMA nodes",
}
# Farther pairs are many and slow: the matrix has them.
_ARCS = ("NVLINK", "PIX", "PXB", "PHB")
_CHIP = 72.0
_STEP = 112.0


def topology_picture(topology: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the picture of a host with GPUs; without any, of its NUMA nodes."""
    gpus = sorted(topology["gpus"], key=lambda gpu: (gpu["numa_node"] or 0, gpu["index"]))
    if not gpus:
        return _nodes_only(topology["numa_nodes"])
    centre = {gpu["index"]: (place + 0.5) * _STEP for place, gpu in enumerate(gpus)}
    arcs = [link for link in topology["links"] if link["level"] in _ARCS]
    rise = max((abs(centre[link["a"]] - centre[link["b"]]) for link in arcs), default=0) * 0.2
    top = rise + 14
    by_device = _services_by_index(services)
    drawn = _numa_boxes(gpus, centre, top)
    drawn += [_arc(link, centre, top) for link in sorted(arcs, key=lambda link: -_ARCS.index(link["level"]))]
    drawn += [_chip(gpu, centre[gpu["index"]], top, by_device.get(gpu["index"], [])) for gpu in gpus]
    name = "the GPUs of the host and the paths between them"
    return picture(name, *drawn, width=len(gpus) * _STEP, height=top + _CHIP + 52)


def matrix(topology: Mapping[str, Any]) -> list[tuple[int, list[dict[str, str]]]]:
    """Return a row per GPU: its index and its path to each GPU; [] for a host with fewer than two.

    A path has ``shown``, ``level`` and ``hint``; a number after NV is the count of NVLinks.
    """
    gpus = [gpu["index"] for gpu in topology["gpus"]]
    links = {(link["a"], link["b"]): link for link in topology["links"]}
    if len(gpus) < 2:
        return []
    return [(a, [_path(links.get((min(a, b), max(a, b))), a == b) for b in gpus]) for a in gpus]


def levels_shown(topology: Mapping[str, Any]) -> dict[str, str]:
    """Return the levels that the host has, with their meaning."""
    present = {link["level"] for link in topology["links"]}
    return {level: meaning for level, meaning in LEVEL_WORDS.items() if level in present}


def _path(link: Mapping[str, Any] | None, same: bool) -> dict[str, str]:
    if same or link is None or link["level"] is None:
        return {"shown": "·" if same else "?", "level": "", "hint": ""}
    shown = f"NV{link['nvlink_count']}" if link["level"] == "NVLINK" and link["nvlink_count"] else link["level"]
    peer = f", peer access {link['p2p_read'].replace('_', ' ')}" if link["p2p_read"] else ""
    return {"shown": shown, "level": link["level"], "hint": f"over {LEVEL_WORDS[link['level']]}{peer}"}


def _services_by_index(services: Sequence[Mapping[str, Any]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for service in services:
        for index in service["device_indices"]:
            found.setdefault(index, []).append(service["name"])
    return found


def _arc(link: Mapping[str, Any], centre: Mapping[int, float], top: float) -> Markup:
    begin, end = sorted((centre[link["a"]], centre[link["b"]]))
    height = (end - begin) * 0.4  # of the control point: the curve rises to half of it
    path = f"M{begin:.1f} {top} Q{(begin + end) / 2:.1f} {top - height:.1f} {end:.1f} {top}"
    count = f" x{link['nvlink_count']}" if link["nvlink_count"] else ""
    hint = element("title", svg_text(f"GPU {link['a']} to {link['b']}: {link['level']}{count}"))
    return element("path", hint, d=path, class_=f"arc {link['level']}")


def _chip(gpu: Mapping[str, Any], x: float, top: float, names: Sequence[str]) -> Markup:
    side, health = _CHIP, gpu["health"]["status"]
    state = "failed" if health == "failed" or gpu["mig_enabled"] else health
    words = [f"GPU {gpu['index']}", gpu["name"], gpu["uuid"], *gpu["health"]["reasons"]]
    hint = element("title", svg_text(" · ".join(str(word) for word in words if word)))
    memory = size_text(gpu["memory_total_bytes"]).replace(".0 GiB", " GiB") if gpu["memory_total_bytes"] else "?"
    drawn = box(x - side / 2, top, side, side, hint, rx=9, class_=f"chip {state} {'busy' if names else 'idle'}")
    drawn += label(gpu["index"], x, top + side / 2 + 2, class_="chip-index")
    drawn += label(memory, x, top + side / 2 + 18, class_="chip-memory")
    said = ", ".join(names) or ("not usable" if state == "failed" else "idle")
    room = int(_STEP / 7)
    said = said if len(said) <= room else said[: room - 1] + "…"
    return drawn + label(said, x, top + side + 17, class_="chip-name")


def _numa_boxes(gpus: Sequence[Mapping[str, Any]], centre: Mapping[int, float], top: float) -> list[Markup]:
    members: dict[Any, list[float]] = {}
    for gpu in gpus:
        members.setdefault(gpu["numa_node"], []).append(centre[gpu["index"]])
    drawn = []
    for node, places in members.items():
        begin, end = min(places) - _STEP / 2 + 3, max(places) + _STEP / 2 - 3
        drawn.append(box(begin, top - 10, end - begin, _CHIP + 60, rx=14, class_="numa"))
        name = "" if node is None else f"NUMA node {node}"
        drawn.append(label(name, (begin + end) / 2, top + _CHIP + 40, class_="numa-name"))
    return drawn


def _nodes_only(nodes: Sequence[Mapping[str, Any]]) -> Markup:
    if not nodes:
        return Markup("")
    width, gap = 220.0, 16.0
    drawn = []
    for place, node in enumerate(nodes):
        x = place * (width + gap)
        drawn.append(box(x + 1, 8, width, 78, rx=14, class_="numa"))
        drawn.append(label(f"NUMA node {node['index']}", x + width / 2, 40, class_="chip-index"))
        said = f"{size_text(node['memory_total_bytes'])}, {len(node['cpus'])} CPUs"
        drawn.append(label(said, x + width / 2, 64, class_="chip-memory"))
    return picture("the NUMA nodes of the host", *drawn, width=len(nodes) * (width + gap), height=94)
