# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan -> every file of its generation. Pure: same plan, layout and engine, same bytes."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import _engine, _units
from ._generation import File, Files
from ._layout import Service
from ._plan import Plan, PlannedService
from ._ticket import Ticket

PLAN_FILE = "plan.json"
TEMPLATE_FILE = "systemd/vllm@.service"
TARGET_FILE = "systemd/vllm.target"


def drop_in_directory(service: str) -> str:
    """The drop-in directory of a service, below a generation's ``systemd/`` and below systemd's own directory."""
    return f"{_units.unit_name(service)}.d"


@dataclass(frozen=True)
class Box:
    """What of the host goes into the files: the engine, the places, and the minor device number of GPUs by UUID."""

    engine: _engine.Engine
    paths: _units.Paths
    minors: Mapping[str, int]


def generation(plan: Plan, services: Sequence[Service], box: Box, guard_sources: Mapping[str, str]) -> dict[str, File]:
    """Every file of the generation, by its path below it.

    ``guard_sources`` is the code that the units run around the engine, by its path below ``lib/``.
    """
    files = {
        PLAN_FILE: File(json.dumps(plan.to_dict(), indent=1, sort_keys=True) + "\n"),
        TEMPLATE_FILE: File(_units.template(box.paths, box.engine.accelerator)),
        TARGET_FILE: File(_units.target([planned.name for planned in plan.services])),
    }
    files.update({f"lib/{name}": File(text) for name, text in guard_sources.items()})
    by_name = {service.name: service for service in services}
    for planned in plan.services:
        files.update(_service_files(planned, by_name[planned.name], _neighbours(planned, plan), box))
    return files


def _neighbours(planned: PlannedService, plan: Plan) -> int:
    """How many other services share a device with this one."""
    devices = set(planned.devices)
    return sum(bool(devices & set(other.devices)) for other in plan.services if other.name != planned.name)


def _service_files(planned: PlannedService, service: Service, neighbours: int, box: Box) -> Files:
    engine = box.engine
    drop_in = _units.drop_in(
        _units.Instance(
            planned=planned,
            executable=engine.executable,
            start_timeout=service.start_timeout,
            shutdown_timeout=service.shutdown_timeout,
            neighbours=neighbours,
            loopback_only=_is_loopback(service.host),
            memory_max=service.memory_max,
            memory_high=service.memory_high,
            device_minors=sorted(box.minors[device] for device in planned.devices if device in box.minors),
        ),
        box.paths,
    )
    base = f"services/{planned.name}"
    files = {
        f"{base}/engine.yaml": File(_engine.config_text(_engine.config(service, planned))),
        f"{base}/environment": File(_engine.environment_text(_engine.environment(service, planned, engine))),
    }
    if service.secret_environment:
        files[f"{base}/secrets"] = File(_engine.environment_text(service.secret_environment), secret=True)
    template = _units.template(box.paths, engine.accelerator)
    ticket = Ticket(
        service=planned.name,
        model=service.served_model_name,
        host=service.host,
        port=service.port,
        required_free_bytes=dict(planned.required_free_bytes),
        start_timeout=service.start_timeout,
        neighbours=neighbours,
        digest=_digest([*(file.text for _path, file in sorted(files.items())), template, _section_service(drop_in)]),
    )
    files[f"{base}/guard.json"] = File(ticket.to_json())
    files[f"systemd/{drop_in_directory(planned.name)}/10-plan.conf"] = File(drop_in)
    return files


def _section_service(drop_in: str) -> str:
    """Only ``[Service]`` acts on a running engine; the order of starts may change without restarting it."""
    return drop_in.partition("[Service]")[2]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
