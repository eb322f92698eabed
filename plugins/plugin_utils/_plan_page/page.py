# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of hosts as one page that needs nothing but itself. The same plans give the same page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._html.document import document
from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import box, element, svg_text
from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.memory_bar import (
    COMPONENTS,
    LEGEND,
    memory_bar,
    segments,
    size_text,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.topology_picture import (
    levels_shown,
    matrix,
    topology_picture,
)


def page(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; a host has its ``plan`` and, where known, its ``topology``."""
    names = sorted(hosts)
    fitting = sum(hosts[name]["plan"]["fits"] for name in names)
    whole = f"{len(names)} hosts, {fitting} of them fit" if len(names) > 1 else "How its memory is divided, and why."
    return document(
        f"Plan of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}",
        element("h1", "Plan of vLLM services"),
        element("div", svg_text(whole), class_="quiet"),
        *(_host(name, hosts[name]["plan"], hosts[name].get("topology")) for name in names),
    )


def _host(name: str, plan: Mapping[str, Any], topology: Mapping[str, Any] | None) -> str:
    verdict = "fits" if plan["fits"] else "refused"
    said = "fits" if plan["fits"] else f"{len(plan['refusals'])} refused"
    facts = [
        f"accelerator {plan['accelerator']}",
        f"vLLM {plan['engine_version']}" if plan["engine_version"] else "",
        f"budget {plan['gpu_memory_budget']:g} of each device",
        f"driver {topology['driver_version']}" if topology and topology["driver_version"] else "",
    ]
    header = element(
        "header",
        element("h2", svg_text(name)),
        element("span", said, class_=f"verdict {verdict}"),
        element("span", svg_text(" · ".join(fact for fact in facts if fact)), class_="quiet"),
    )
    used = [device for device in plan["devices"] if device["services"] or device["used_by_others_bytes"]]
    idle = [device for device in plan["devices"] if device not in used]
    return element(
        "section",
        header,
        *(_refusal(refusal) for refusal in plan["refusals"]),
        *(_device(device, plan["services"], topology) for device in used),
        _idle(idle),
        _legend(plan),
        _services(plan["services"]),
        _topology(topology, plan["services"]) if topology else "",
        *(element("div", element("p", svg_text(warning)), class_="card warn") for warning in plan["warnings"]),
        *(element("p", svg_text(note)) for note in plan.get("notes", ())),
        class_="host",
    )


def _refusal(refusal: Mapping[str, Any]) -> str:
    nearest = refusal["nearest_fit"]
    return element(
        "div",
        element("h3", svg_text(f"{refusal['service']}: {refusal['reason']}")),
        element("p", svg_text(refusal["arithmetic"]), class_="arithmetic") if refusal["arithmetic"] else "",
        element("p", element("strong", "What fits: "), svg_text(nearest["text"])) if nearest else "",
        class_="card bad",
    )


def _device(
    device: Mapping[str, Any], services: Sequence[Mapping[str, Any]], topology: Mapping[str, Any] | None
) -> str:
    shares = f"shares {device['committed_share']:.4f} within {device['budget']:.4f}"
    header = element(
        "header",
        element(
            "div",
            element("h3", svg_text(_name(device)), title=device["id"]),
            element("span", svg_text(" · ".join(_facts(device, topology))), class_="quiet"),
        ),
        element("span", svg_text(shares), class_="quiet"),
    )
    return element("div", header, memory_bar(device, services), class_="card device", data_device=device["id"])


def _name(device: Mapping[str, Any]) -> str:
    return str(device["name"]) if device["id"].startswith("numa:") else f"GPU {device['index']} · {device['name']}"


def _facts(device: Mapping[str, Any], topology: Mapping[str, Any] | None) -> Iterable[str]:
    yield f"{size_text(device['total_bytes'])} to divide"
    for gpu in topology["gpus"] if topology else ():
        if gpu["uuid"] != device["id"]:
            continue
        pcie = gpu["pcie"]
        if pcie["generation_max"] and pcie["width_max"]:
            yield f"PCIe {pcie['generation_max']}.0 x{pcie['width_max']}"
        if gpu["numa_node"] is not None:
            yield f"NUMA node {gpu['numa_node']}"
        if gpu["health"]["status"] != "ok":
            yield f"{gpu['health']['status']}: {', '.join(gpu['health']['reasons'])}"


def _idle(devices: Sequence[Mapping[str, Any]]) -> str:
    if not devices:
        return ""
    names = ", ".join(f"{_name(device)} ({size_text(device['total_bytes'])})" for device in devices)
    return element("div", element("span", svg_text(f"Nothing is planned on {names}."), class_="quiet"), class_="card")


def _legend(plan: Mapping[str, Any]) -> str:
    present = {part.kind for device in plan["devices"] for part in segments(device, plan["services"])}
    items = [
        element("li", element("svg", box(0, 0, 12, 12, class_=kind, rx=3), viewBox="0 0 12 12"), svg_text(name))
        for kind, name in LEGEND.items()
        if kind in present
    ]
    return element("ul", *items, class_="legend") if items else ""


def _services(services: Sequence[Mapping[str, Any]]) -> str:
    if not services:
        return ""
    kinds = [kind for kind in COMPONENTS if any(service["memory"][kind] for service in services)]
    heads = ["service", "devices", "share", "max. length", "cache tokens", *(COMPONENTS[kind] for kind in kinds)]
    rows = [element("tr", *(element("th", svg_text(head), scope="col") for head in heads))]
    rows += [_service(service, kinds) for service in services]
    whys = [_why(service) for service in services]
    tables = element("div", element("table", *rows), class_="table"), element("table", *whys)
    return "".join(element("div", table, class_="card") for table in tables)


def _service(service: Mapping[str, Any], kinds: Sequence[str]) -> str:
    cells = [
        service["name"],
        ", ".join(str(index) for index in service["device_indices"]),
        f"{service['gpu_memory_utilization']:.4f}",
        f"{service['max_model_len']:,}",
        f"{service['kv_cache_tokens']:,}",
    ]
    drawn = [element("td", svg_text(cell)) for cell in cells]
    for kind in kinds:
        size, source = service["memory"][kind], service["memory_source"].get(kind, "")
        said = element("div", svg_text(source), class_="source") if size else ""
        drawn.append(element("td", svg_text(size_text(size) if size else "–"), said))
    return element("tr", *drawn)


def _why(service: Mapping[str, Any]) -> str:
    after = f" Starts after {', '.join(service['start_after'])}." if service["start_after"] else ""
    said = f"{service['reason']} {service['length_reason']}{after}"
    return element(
        "tr", element("th", svg_text(service["name"]), scope="row"), element("td", svg_text(said), class_="why")
    )


def _topology(topology: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> str:
    drawn = topology_picture(topology, services)
    if not drawn:
        return ""
    levels = levels_shown(topology)
    meaning = "; ".join(f"{level}: {meaning}" for level, meaning in levels.items())
    key = element("p", svg_text(f"Paths between GPUs, nearest first. {meaning}."), class_="quiet") if levels else ""
    pairs = matrix(topology)
    table = element("div", pairs, class_="table") if pairs else ""
    return element("div", element("header", element("h3", "Topology")), drawn, table, key, class_="card")
