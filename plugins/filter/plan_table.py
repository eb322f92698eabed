# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: plan_table
short_description: Show a plan as tables
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the RV(llmops.inference.vllm_plan#module:plan) into lines, the services with their memory first, then the
    devices, then refusals and warnings in words.
options:
  _input:
    description: The plan.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.plan | llmops.inference.plan_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

_SERVICES = (
    ("SERVICE", "name", "{}"),
    ("DEVICES", "device_indices", "{}"),
    ("SHARE", "gpu_memory_utilization", "{:.4f}"),
    ("CONTEXT", "max_model_len", "{}"),
    ("CACHE TOKENS", "kv_cache_tokens", "{}"),
    ("WEIGHTS", "weights", "{:.2f} GiB"),
    ("KV CACHE", "kv_cache", "{:.2f} GiB"),
    ("OTHER", "other", "{:.2f} GiB"),
    ("OUTSIDE SHARE", "outside", "{:.2f} GiB"),
    ("STARTS AFTER", "start_after", "{}"),
)
_DEVICES = (
    ("DEVICE", "index", "{}"),
    ("NAME", "name", "{}"),
    ("TOTAL", "total", "{:.2f} GiB"),
    ("OTHERS", "others", "{:.2f} GiB"),
    ("COMMITTED", "committed", "{:.2f} GiB"),
    ("SLACK", "slack", "{:.2f} GiB"),
    ("SHARES", "committed_share", "{:.4f}"),
    ("BUDGET", "budget", "{:.4f}"),
    ("HIGHEST", "highest_share", "{:.4f}"),
    ("SERVICES", "services", "{}"),
)


def plan_table(plan: Mapping[str, Any]) -> list[str]:
    """Lines of the services, of the devices, and of what was refused or warned of."""
    lines = table(_SERVICES, [_service_row(service) for service in plan["services"]])
    lines += ["", *table(_DEVICES, [_device_row(device) for device in plan["devices"]])]
    for refusal in plan["refusals"]:
        lines += ["", f"REFUSED {refusal['service']}: {refusal['reason']}", f"  {refusal['arithmetic']}"]
        if refusal["nearest_fit"]:
            lines.append(f"  Nearest fit: {refusal['nearest_fit']['text']}")
    if plan["warnings"]:
        lines += ["", *(f"WARNING {warning}" for warning in plan["warnings"])]
    if plan.get("notes"):  # plans of older generations have none
        lines += ["", *(f"NOTE {note}" for note in plan["notes"])]
    return lines


def _service_row(service: Mapping[str, Any]) -> dict[str, Any]:
    gib = {component: size / GIB for component, size in service["memory"].items()}
    inside = ("persistent", "transient", "graphs")
    return {
        **service,
        "weights": gib["weights"],
        "kv_cache": gib["kv_cache"],
        "other": sum(gib[component] for component in inside),
        "outside": gib["context"] + gib["nccl"],
    }


def _device_row(device: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {
        "total": "total_bytes",
        "others": "used_by_others_bytes",
        "committed": "committed_bytes",
        "slack": "slack_bytes",
    }
    return {**device, **{name: device[key] / GIB for name, key in sizes.items()}}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"plan_table": plan_table}
