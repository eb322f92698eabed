# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of a plan in one sentence per service, as the page says it first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .memory_bar import size_text


def answers(plan: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a sentence per service, with the service's ``name``; without services, one that says so."""
    said = [{"name": refusal["service"], "text": _refused(refusal)} for refusal in plan["refusals"]]
    refused = {refusal["service"] for refusal in plan["refusals"]}
    said += [
        {"name": service["name"], "text": _fits(service, plan)}
        for service in plan["services"]
        if service["name"] not in refused
    ]
    return said or [{"name": "", "text": "The layout has no services."}]


def requests_at_once(service: Mapping[str, Any]) -> str:
    """Return how many requests of the longest context the KV cache holds, as text.

    The quotient that vLLM logs as "Maximum concurrency", and at most ``max_num_seqs``.
    """
    count = min(service["kv_cache_tokens"] / service["max_model_len"], service["max_num_seqs"])
    return f"{count:.1f}".removesuffix(".0") if count < 10 else f"{count:,.0f}"


def _fits(service: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    count = requests_at_once(service)
    such = "one such request" if count == "1" else f"about {count} such requests"
    return (
        f"{service['max_model_len']:,} tokens fit, {such} at once; "
        f"{service['gpu_memory_utilization']:.4f} of {_where(service, plan)}"
    )


def _where(service: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    indices = [str(index) for index in service["device_indices"]]
    if any(device.startswith("numa:") for device in service["devices"]):
        return f"NUMA node {' and '.join(indices)}"
    if len(plan["devices"]) == 1:
        return "the card"
    if len(indices) == 1:
        return f"GPU {indices[0]}"
    return f"each of GPUs {', '.join(indices[:-1])} and {indices[-1]}"


def _refused(refusal: Mapping[str, Any]) -> str:
    needed, available = refusal["needed_bytes"], refusal["available_bytes"]
    if needed is None or available is None or needed <= available:
        return "does not fit"
    return f"does not fit: {size_text(needed - available)} are missing on a device"
