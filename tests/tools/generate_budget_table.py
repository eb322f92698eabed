# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the planner's own numbers into docs/memory-budget.md, between its markers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import (
    Plan,
    PlannedDevice,
)
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import SHARE_UNITS, units_bytes
from ansible_collections.llmops.inference.tests.tools.generated_parts import rewritten
from ansible_collections.llmops.inference.tests.unit.scene import GIB, box, planned, reference_layout

# Components of a plan, as its columns show them.
OUTSIDE_SHARE = ("context", "nccl")
INSIDE_SHARE = ("weights", "persistent", "transient", "graphs", "kv_cache")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "memory-budget.md"
# GiB that CUDA has on cards that are sold as so many GB.
CARDS = {24: 23.99, 48: 47.99, 80: 79.65, 141: 140.40}
BUDGETS = (0.9999, 0.99)


def reference(card: int, **settings: Any) -> Plan:
    """Return the plan of the reference layout on three idle cards of a size."""
    return planned(reference_layout(), box(*[CARDS[card]] * 3), **settings)


def gib(size: float) -> str:
    """Return a size as the page writes it."""
    return f"{size / GIB:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, its columns aligned in the source, too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def reference_box() -> str:
    """Return what each service of the reference box has on each of its GPUs, on 80 GB cards."""
    plan = reference(80)
    rows = []
    for item in plan.services:
        where = " and ".join(str(index) for index in item.device_indices)
        parts = [gib(item.memory.get(name, 0)) for name in (*OUTSIDE_SHARE, *INSIDE_SHARE)]
        rows.append([item.name, where, *parts, f"{item.gpu_memory_utilization:.4f}", str(item.max_model_len)])
    titles = {"context": "CUDA", "nccl": "NCCL", "kv_cache": "KV cache"}
    names = [titles.get(name, name) for name in (*OUTSIDE_SHARE, *INSIDE_SHARE)]
    text = table(["service", "GPU", *names, "share", "max_model_len"], rows)
    return "\n\n".join([text, *(card_arithmetic(plan, device) for device in plan.devices if device.index != 1)])


def card_arithmetic(plan: Plan, device: PlannedDevice) -> str:
    """Return the third rule with a GPU's numbers."""
    here = [plan.service(name) for name in device.services]
    terms = []
    for item in here:
        outside = sum(item.memory[name] for name in OUTSIDE_SHARE)
        share = units_bytes(round(item.gpu_memory_utilization * SHARE_UNITS), device.total_bytes)
        terms.append(f"{item.name} {gib(outside)} + {gib(share)}")
    return (
        f"GPU {device.index}: {', '.join(terms)}; together {gib(device.committed_bytes)} of "
        f"{gib(device.total_bytes)} GiB. The shares sum to {device.committed_share:.4f}, "
        f"and {device.highest_share:.4f} is the most that starts."
    )


def cards() -> str:
    """Return what the two budgets do on cards of four sizes."""
    rows = [row for card in CARDS for budget in BUDGETS for row in card_rows(card, budget)]
    head = ["card", "budget", "left beside it", "taken as it is", "most for all", "shares planned", "max_model_len"]
    return table(head, rows)


def card_rows(card: int, budget: float) -> Iterator[list[str]]:
    """Yield the line of GPUs 0 and 1 and the line of GPU 2."""
    plan = reference(card, gpu_memory_budget=budget)
    literally = reference(card, gpu_memory_budget=budget, on_overcommit="refuse")
    refused = {item.service for item in plan.refusals}
    for index, names in ((0, ["medium"]), (2, ["mini", "micro"])):
        device = plan.devices[index]
        total = device.total_bytes
        left = total - units_bytes(round(budget * SHARE_UNITS), total)
        starts = not refused & set(names) and not {item.service for item in literally.refusals} & set(names)
        have = [name for name in names if name not in refused]
        shares = [f"{name} {plan.service(name).gpu_memory_utilization:.4f}" for name in have]
        lengths = [f"{name} {plan.service(name).max_model_len}" for name in have]
        absent = [f"{name} refused" for name in names if name in refused]
        yield [
            f"{card} GB" if index == 0 else "",
            f"{budget:g}" if index == 0 else "",
            f"GPU {'0, 1' if index == 0 else '2'}: {gib(left)} GiB",
            "starts" if starts else "refused",
            f"{device.highest_share:.4f}",
            ", ".join(shares + absent),
            ", ".join(lengths) or "none",
        ]


def refusals() -> str:
    """Return what the plan says where the reference layout does not fit."""
    lines = []
    for card in CARDS:
        for refusal in reference(card).refusals:
            nearest = refusal.nearest_fit
            way_out = nearest["text"] if nearest is not None else "No single change makes it fit."
            lines.append(f"- **{card} GB, {refusal.service}**: {refusal.reason} {refusal.arithmetic} *{way_out}*")
    return "\n".join(lines)


def literal() -> str:
    """Return what the plan says to 0.99 for each service instead of each GPU."""
    layout = [{**item, "gpu_memory_utilization": 0.99} for item in reference_layout()]
    plan = planned(layout, box(*[CARDS[80]] * 3))
    second = next(item for item in plan.refusals if item.service == "micro")
    return f"> **{second.service}**: {second.reason} {second.arithmetic}"


SECTIONS = {"reference-box": reference_box, "cards": cards, "refusals": refusals, "literal": literal}


def current(text: str) -> str:
    """Return a page with what its markers enclose written anew."""
    return rewritten(text, SECTIONS)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
