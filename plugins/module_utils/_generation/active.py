# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The active generation as a member of the services' group may read it: no secret is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .._errors import InferenceError
from .._places import PLAN_FILE, Paths
from .._plan.plan import Plan
from .._service.ticket import Ticket


@dataclass(frozen=True)
class InForce:
    """A generation: its number, its plan, and the ticket of each service.

    ``number`` is None where nothing is deployed, ``plan`` None where another version of the collection wrote it.
    """

    number: int | None = None
    plan: Plan | None = None
    tickets: Mapping[str, Ticket] = field(default_factory=dict)


def read_in_force(paths: Paths) -> InForce:
    """Return the active generation; the link is followed once, so that all of it is of one generation."""
    try:
        directory = Path(paths.current).resolve(strict=True)
        found = sorted((directory / "services").glob("*/guard.json"))
        tickets = [Ticket.from_json(path.read_text(encoding="utf-8")) for path in found]
    except (OSError, InferenceError):
        return InForce()
    number = int(directory.name) if directory.name.isdigit() else None
    return InForce(number, _read_plan(directory / PLAN_FILE), {ticket.service: ticket for ticket in tickets})


def _read_plan(path: Path) -> Plan | None:
    try:
        return Plan.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, InferenceError):
        return None
