# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the active generation serves, as a measurement needs to know it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._engine.endpoint import Endpoint
from .._errors import InferenceError
from .._places import NEEDS_FILE, PLAN_FILE
from .._plan.plan import Plan, PlannedService
from .._service.ticket import Ticket
from .files import File, endpoints, tickets, variables
from .needs import Needs


@dataclass(frozen=True)
class Served:
    """One service: what was planned, how it is guarded, where it answers, and what it was started with."""

    planned: PlannedService
    ticket: Ticket
    endpoint: Endpoint
    tokenizer: str
    trust_remote_code: bool
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name."""
        return self.planned.name


@dataclass(frozen=True)
class Serving:
    """A generation that serves: ``services`` in start order, ``executable`` is the engine's program."""

    plan: Plan
    engine_version: str
    executable: str
    services: tuple[Served, ...]

    def choose(self, names: Sequence[str]) -> tuple[Served, ...]:
        """Return the services of these names in start order, all without any; InferenceError for an unknown one."""
        known = [service.name for service in self.services]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InferenceError(
                f"the active generation has no service {', '.join(unknown)}; it has {', '.join(known)}",
                service=unknown[0],
            )
        return tuple(service for service in self.services if not names or service.name in names)


def read_plan(files: Mapping[str, File]) -> Plan | None:
    """Return the plan of a generation's files; None where another version of the collection wrote it, or a hand did."""
    text = files.get(PLAN_FILE)
    try:
        return Plan.from_dict(json.loads(text.text)) if text else None
    except (ValueError, InferenceError):
        return None


def read_serving(files: Mapping[str, File]) -> Serving:
    """Return what a generation's files serve; InferenceError where they do not tell."""
    if not files:
        raise InferenceError(
            "nothing is deployed on this host; deploy a layout first, with the playbook llmops.inference.site"
        )
    made = read_plan(files)
    if made is None or NEEDS_FILE not in files:
        raise InferenceError(
            "the active generation was written by another version of this collection, or by hand; deploy it again, "
            "so that its plan can be read"
        )
    needs = Needs.from_json(files[NEEDS_FILE].text)
    if needs.image:
        raise InferenceError(
            "the load is that of an installed engine's own generator, and this host runs its engines in containers; "
            "deploy them without an image (vllm_runtime_kind: venv) to measure"
        )
    known, addresses = tickets(files), endpoints(files)
    services = [
        _served(planned, known[planned.name], addresses[planned.name], files)
        for planned in made.services
        if planned.name in known
    ]
    return Serving(made, needs.engine_version, needs.programs[0], tuple(services))


def _served(planned: PlannedService, ticket: Ticket, address: Endpoint, files: Mapping[str, File]) -> Served:
    flags = _engine_flags(files[f"services/{planned.name}/engine.yaml"].text)
    return Served(
        planned=planned,
        ticket=ticket,
        endpoint=address,
        tokenizer=str(flags.get("tokenizer") or planned.model),
        trust_remote_code=flags.get("trust-remote-code") is True,
        environment=variables(files.get(f"services/{planned.name}/environment")),
    )


def _engine_flags(text: str) -> dict[str, Any]:
    """Read the engine's configuration, in which every value is written as JSON."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.partition(": ")
        if separator and not name.startswith("#"):
            try:
                found[name] = json.loads(value)
            except ValueError:
                found[name] = value  # edited by hand
    return found
