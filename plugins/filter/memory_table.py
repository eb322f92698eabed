# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services were expected to use of their devices against what they use, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: memory_table
short_description: Show predicted against actual memory of services as a table
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the C(services) that M(llmops.inference.vllm_deployment_info) returns into lines of a table, what the plan
    expected before what the engine used, and how far the KV cache is off.
options:
  _input:
    description: The list C(services) of M(llmops.inference.vllm_deployment_info).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how good the plan was
  ansible.builtin.debug:
    msg: "{{ found.services | llmops.inference.memory_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, its heading first.
  type: list
  elements: str
"""

_COLUMNS = (
    ("SERVICE", "name", "{}"),
    ("CACHE TOKENS", "kv_cache_tokens", "{}"),
    ("KV CACHE", "kv_cache_bytes", "{}"),
    ("OFF BY", "off", "{:+.2%}"),
    ("WEIGHTS", "weights_bytes", "{}"),
    ("OUTSIDE SHARE", "outside_bytes", "{}"),
)


def memory_table(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per service; each cell is predicted / actual, a dash where nothing told."""
    return table(_COLUMNS, [_row(service) for service in services])


def _row(service: Mapping[str, Any]) -> dict[str, Any]:
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


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"memory_table": memory_table}
