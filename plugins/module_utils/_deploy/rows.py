# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wants to see of a service, in the words that every module and table here uses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._engine.api import Completion
from .._engine.endpoint import Endpoint
from .._plan.plan import Plan, PlannedService
from .changes import Changes


def service_row(
    name: str, planned: PlannedService | None, endpoint: Endpoint | None, brought: Completion | None
) -> dict[str, Any]:
    """A service as planned and as it answered; None for what there is no plan, no address or no answer of."""
    return {
        "name": name,
        "address": endpoint.address if endpoint else None,
        "model": endpoint.model if endpoint else None,
        "devices": list(planned.devices) if planned else None,
        "device_indices": list(planned.device_indices) if planned else None,
        "gpu_memory_utilization": planned.gpu_memory_utilization if planned else None,
        "max_model_len": planned.max_model_len if planned else None,
        "first_token_seconds": brought.first_token_seconds if brought else None,
        "tokens_per_second": brought.tokens_per_second if brought else None,
    }


def deployed_rows(
    made: Plan | None, changes: Changes, measured: Mapping[str, Completion] | None, endpoints: Mapping[str, Endpoint]
) -> list[dict[str, Any]]:
    """Every service of a deployment, in start order where there is a plan that says it, and what was done with it.

    ``measured`` is None of one that is only looked at; afterwards all serve, and those that answer here are in it.
    """
    planned = {service.name: service for service in made.services} if made else {}
    return [
        {
            **service_row(name, planned.get(name), endpoints.get(name), (measured or {}).get(name)),
            "state": "planned" if measured is None else "serving",
            "action": _action(name, changes),
        }
        for name in planned or endpoints
    ]


def _action(name: str, changes: Changes) -> str:
    if name in changes.start:
        return "started"
    return f"restarted: {changes.restart[name]}" if name in changes.restart else "kept"
