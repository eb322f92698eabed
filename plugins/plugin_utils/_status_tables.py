# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what serves on a host: the services, their memory, and their incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

_SERVICES = (
    ("SERVICE", "name", "{}"),
    ("ADDRESS", "address", "{}"),
    ("DEVICES", "device_indices", "{}"),
    ("SHARE", "gpu_memory_utilization", "{:.4f}"),
    ("CONTEXT", "max_model_len", "{} tokens"),
    ("FIRST TOKEN", "first_token_seconds", "{:.3f} s"),
    ("TOKENS/S", "tokens_per_second", "{:.1f}"),
    ("STATE", "state", "{}"),
)
_MEMORY = (
    ("SERVICE", "name", "{}"),
    ("CACHE TOKENS", "kv_cache_tokens", "{}"),
    ("KV CACHE", "kv_cache_bytes", "{}"),
    ("OFF BY", "off", "{:+.2%}"),
    ("WEIGHTS", "weights_bytes", "{}"),
    ("OUTSIDE SHARE", "outside_bytes", "{}"),
)
_RATES = (
    ("SERVICE", "service", "{}"),
    ("INCIDENTS", "incidents", "{}"),
    ("IN DAYS", "days", "{:.1f}"),
    ("PER DAY", "per_day", "{:.2f}"),
    ("REQUESTS", "requests", "{}"),
    ("PER 1000", "per_1000_requests", "{:.3f}"),
)
_INCIDENTS = (
    ("TIME", "time", "{}"),
    ("SERVICE", "service", "{}"),
    ("WHAT", "kind", "{}"),
    ("AWAY", "lost_seconds", "{:.0f} s"),
    ("LINE", "line", "{:.100}"),
)


def status_tables(found: Mapping[str, Any], latest: int = 10) -> dict[str, list[str]]:
    """Return the lines of ``endpoints``, ``memory`` and ``incidents``, of which the ``latest`` are shown.

    ``found`` is the result of vllm_deployment_info, or that of vllm_deployment, which has no incidents.
    """
    services = found["services"]
    incidents = [*table(_RATES, found.get("incident_rates") or ()), *(found.get("incident_gaps") or ())]
    if found.get("incidents"):
        incidents += table(_INCIDENTS, found["incidents"][-latest:])
    return {"endpoints": table(_SERVICES, services), "memory": memory_lines(services), "incidents": incidents}


def memory_lines(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per service; a cell is predicted / actual, with a dash for an unknown size."""
    return table(_MEMORY, [_memory_row(service) for service in services])


def _memory_row(service: Mapping[str, Any]) -> dict[str, Any]:
    predicted, actual = service.get("predicted") or {}, service.get("actual") or {}
    row: dict[str, Any] = {"name": service["name"]}
    for key in ("kv_cache_bytes", "weights_bytes", "outside_bytes"):
        row[key] = f"{_gib(predicted.get(key))} / {_gib(actual.get(key))} GiB"
    tokens = [values.get("kv_cache_tokens") for values in (predicted, actual)]
    row["kv_cache_tokens"] = " / ".join("-" if value is None else str(value) for value in tokens)
    row["off"] = tokens[0] / tokens[1] - 1 if tokens[0] is not None and tokens[1] else None
    return row


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / GIB:.2f}"
