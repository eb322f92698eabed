# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment that did not come about, as a finding: why, in the engine's or the plan's words, and in bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    Environment,
    NotStarted,
    RunResult,
    ServiceResult,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB

# By the gate of the engine that the plan foresaw.
_KINDS = {1: "memory_share_too_large", 2: "no_room_for_kv_cache"}
# The engine's own sentences that name what there is and what it takes, in GiB; the CPU's and the GPUs'.
_AVAILABLE_FIRST = re.compile(
    r"(?:Free memory on device|Available memory on node)[^(]*\(([\d.]+)/[\d.]+ GiB\).* less than .*?([\d.]+) GiB\)"
)
_NEEDED_FIRST = re.compile(r"\(([\d.]+) GiB KV cache is needed, .* available KV cache memory \(([\d.]+) GiB\)")


def is_finding(failure: Mapping[str, Any]) -> bool:
    """Tell whether a deployment failed because something does not start, and not for a mistake or a lost host."""
    return bool(failure.get("incident") or (failure.get("plan") or {}).get("refusals"))


def not_started(failure: Mapping[str, Any], scenarios: Iterable[str], **run: Any) -> dict[str, Any]:
    """Return the run that a failed deployment did not come to; InferenceError where that is no finding.

    ``run`` are ``started``, ``side``, ``round``, ``host`` and ``profile``. All services of a layout come into force
    together, so that none did.
    """
    if not is_finding(failure):
        raise InferenceError(f"The deployment did not fail for what does not start: {failure.get('msg', failure)}")
    plan = failure.get("plan") or {}
    causes = _refused(plan["refusals"]) if plan.get("refusals") else _failed(failure)
    first = next(iter(causes))
    models = {service["name"]: service["served_model_name"] for service in plan.get("services") or ()}
    every = {name: causes.get(name) or _beside(first, causes) for name in (*models, *causes)}
    services = [
        ServiceResult(name, models.get(name, name), scenario, 0.0, not_started=why)
        for name, why in every.items()
        for scenario in scenarios
    ]
    environment = Environment(
        host=run["host"],
        engine_version=plan.get("engine_version") or "unknown",
        accelerator=plan.get("accelerator") or "cuda",
        profile=run.get("profile"),
        devices=tuple(device["name"] for device in plan.get("devices") or () if device["services"]),
    )
    return RunResult(
        run["started"], environment, tuple(services), side=run.get("side"), round=run.get("round")
    ).to_dict()


def _refused(refusals: Iterable[Mapping[str, Any]]) -> dict[str, NotStarted]:
    found = {}
    for refusal in refusals:
        nearest = refusal.get("nearest_fit") or {}
        cause = " ".join(["refused by the plan:", refusal["reason"], *([nearest["text"]] if nearest else [])])
        kind = _KINDS.get(refusal.get("gate") or 0, "refused")
        found[refusal["service"]] = NotStarted(kind, cause, refusal.get("needed_bytes"), refusal.get("available_bytes"))
    return found


def _failed(failure: Mapping[str, Any]) -> dict[str, NotStarted]:
    incident = failure["incident"]
    needed, available = bytes_in(incident["line"])
    return {str(failure["service"]): NotStarted(incident["kind"], incident["line"], needed, available)}


def _beside(name: str, causes: Mapping[str, NotStarted]) -> NotStarted:
    why = causes[name]
    return NotStarted(why.kind, f"{name}, which is deployed together with it, did not start: {why.cause}")


def bytes_in(line: str) -> tuple[int | None, int | None]:
    """Return what an engine's line says it takes and what there is, in bytes; None where it does not say."""
    found = _AVAILABLE_FIRST.search(line)
    if found:
        return _bytes(found[2]), _bytes(found[1])
    found = _NEEDED_FIRST.search(line)
    return (_bytes(found[1]), _bytes(found[2])) if found else (None, None)


def _bytes(gib: str) -> int:
    return round(float(gib) * GIB)
