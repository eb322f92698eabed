# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan -> every file of its generation. Pure: same plan, layout and engine, same bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .. import _environment_file
from .._engine.installed import Engine
from .._generation.files import File, Files
from .._generation.needs import Needs
from .._places import (
    GROUP_FILE,
    NEEDS_FILE,
    PLAN_FILE,
    QUADLETS,
    RECOVER_FILE,
    TARGET_FILE,
    TEMPLATE_FILE,
    UNITS_DIRECTORY,
    WATCHDOG_FILE,
    Paths,
    container_name,
    drop_in_directory,
    timer_name,
)
from .._plan.layout import Service
from .._plan.multi_node import MultiNode
from .._plan.plan import Plan, PlannedService
from .._service.group import Group
from .._service.ticket import Ticket
from .._values import is_loopback
from . import engine_config, quadlet
from . import ray as ray_units
from . import units as unit_files


@dataclass(frozen=True)
class Box:
    """What of the host goes into the files.

    The engine, the places, the minor device number of GPUs by UUID, what their health means to a start, the key of the
    host's digests, its network interfaces by address, and where the engine is in an image, what containers are made of.
    """

    engine: Engine
    paths: Paths
    minors: Mapping[str, int]
    gpu_health: Mapping[str, str]
    digest_key: bytes
    interfaces: Mapping[str, str] = field(default_factory=dict)
    containers: quadlet.Containers | None = None


def generation(plan: Plan, services: Sequence[Service], box: Box, guard_sources: Mapping[str, str]) -> dict[str, File]:
    """Every file of the generation, by its path below it.

    ``guard_sources`` is the code that the units run around the engine, by its path below ``lib/``.
    """
    files = {
        PLAN_FILE: File(json.dumps(plan.to_dict(), indent=1, sort_keys=True) + "\n"),
        WATCHDOG_FILE: File(unit_files.watchdog_template(box.paths)),
        TARGET_FILE: File(unit_files.target([planned.name for planned in plan.services])),
        GROUP_FILE: File(unit_files.group_template(box.paths, _hosts(services))),
        RECOVER_FILE: File(unit_files.recover(box.paths)),
        NEEDS_FILE: File(_needs(plan, box).to_json()),
    }
    if box.containers is None:
        files[TEMPLATE_FILE] = File(unit_files.template(box.paths, box.engine.accelerator))
    files.update({f"lib/{name}": File(text) for name, text in guard_sources.items()})
    by_name = {service.name: service for service in services}
    for planned in plan.services:
        files.update(_service_files(planned, by_name[planned.name], _neighbours(planned, plan), box))
    return files


def _ray_unit(planned: PlannedService, nodes: MultiNode | None, box: Box) -> dict[str, str]:
    """The name and the text of Ray's unit, where Ray starts the ranks of a service; empty where it does not."""
    if nodes is None or nodes.executor != "ray":
        return {}
    accelerator = box.engine.accelerator
    start = ray_units.ray_command(nodes, box.engine.directory, len(planned.devices), accelerator)
    text = ray_units.ray_unit_text(
        planned.name, nodes, start, box.paths, accelerator=accelerator, device_minors=_minors(planned, box)
    )
    return {ray_units.unit_of(nodes): text}


def _minors(planned: PlannedService, box: Box) -> list[int]:
    return sorted(box.minors[device] for device in planned.devices if device in box.minors)


def _hosts(services: Sequence[Service]) -> list[str]:
    """The addresses of all hosts that any of these services is on, this one included."""
    return sorted({address for service in services if service.multi_node for address in service.multi_node.addresses})


def _needs(plan: Plan, box: Box) -> Needs:
    tools, engine = f"{box.paths.tools_dir}/bin/python", box.engine
    programs = (tools,) if engine.image else (engine.executable, tools)
    models = {planned.model: planned.fingerprint for planned in plan.services}
    return Needs(engine.version, programs, models, engine.image)


def _neighbours(planned: PlannedService, plan: Plan) -> int:
    """How many other services share a device with this one."""
    devices = set(planned.devices)
    return sum(bool(devices & set(other.devices)) for other in plan.services if other.name != planned.name)


def _service_files(planned: PlannedService, service: Service, neighbours: int, box: Box) -> Files:
    engine, nodes = box.engine, service.multi_node
    ray = _ray_unit(planned, nodes, box)
    values = engine_config.config(service, planned, engine)
    group = _group(service, engine_config.common_digest(values, engine))
    watchdog = service.watchdog if group is None or group.leads else replace(service.watchdog, enabled=False)
    instance = unit_files.Instance(
        planned=planned,
        executable=engine.executable,
        start_timeout=service.start_timeout,
        shutdown_timeout=service.shutdown_timeout,
        neighbours=neighbours,
        peers=_peers(service),
        memory_max=service.memory_max,
        memory_high=service.memory_high,
        device_minors=_minors(planned, box),
        on_socket=service.port is None,
        watched=watchdog.enabled,
        has_secrets=bool(service.secret_environment),
        grouped=group is not None,
        follows=group is not None and not group.leads,
        ray_unit=next(iter(ray), None),
        holds=bool(ray) and nodes is not None and not nodes.leads,
    )
    base = f"services/{planned.name}"
    variables = engine_config.engine_environment(service, planned, engine, box.interfaces)
    files = {
        f"{base}/engine.yaml": File(engine_config.config_text(values)),
        f"{base}/environment": File(_environment_file.to_text(variables)),
    }
    if service.secret_environment:
        files[f"{base}/secrets"] = File(_environment_file.to_text(service.secret_environment), secret=True)
    units, acting = _unit_files(instance, box)
    ticket = Ticket(
        service=planned.name,
        model=service.served_model_name,
        host=service.host,
        port=service.port,
        required_free_bytes=dict(planned.required_free_bytes),
        start_timeout=service.start_timeout,
        neighbours=neighbours,
        digest=_digest(box.digest_key, [*(file.text for _path, file in sorted(files.items())), *acting, *ray.values()]),
        gpu_health=dict(box.gpu_health),
        watchdog=watchdog,
        container=box.containers is not None,
        group=group,
    )
    files.update((f"systemd/{unit}", File(text)) for unit, text in ray.items())
    files[f"{base}/guard.json"] = File(ticket.to_json())
    files.update(units)
    files[f"{UNITS_DIRECTORY}/{timer_name(planned.name)}"] = File(unit_files.timer(planned.name, watchdog))
    return files


def _group(service: Service, digest: str) -> Group | None:
    nodes = service.multi_node
    if nodes is None:
        return None
    return Group(nodes.node_rank, nodes.addresses, nodes.master_port, nodes.group_port, digest)


def _unit_files(instance: unit_files.Instance, box: Box) -> tuple[Files, Sequence[str]]:
    """What makes the unit of a service, and of it the texts that act on a running engine.

    Those are what follows ``[Unit]``: the order of starts may change without restarting anything.
    """
    name, accelerator = instance.planned.name, box.engine.accelerator
    if box.containers:
        text = quadlet.container(instance, box.containers, box.paths, accelerator)
        return {f"{QUADLETS}/{container_name(name)}": File(text)}, [text.partition("[Container]")[2]]
    text = unit_files.drop_in(instance, box.paths)
    acting = [unit_files.template(box.paths, accelerator), text.partition("[Service]")[2]]
    return {f"{UNITS_DIRECTORY}/{drop_in_directory(name)}/10-plan.conf": File(text)}, acting


def _digest(key: bytes, texts: Sequence[str]) -> str:
    """Keyed: secrets are among the texts, and the digest is in files that the services' group may read."""
    return hmac.new(key, "\0".join(texts).encode(), hashlib.sha256).hexdigest()


def _peers(service: Service) -> Sequence[str] | None:
    """Who may reach a service beside loopback; its own address is there for the host's own checks of it."""
    nodes = service.multi_node
    if nodes:
        outside = nodes.leads and not is_loopback(service.host)  # which only who has said allow_from may have
        return list(dict.fromkeys([*nodes.addresses, *([service.host, *service.allow_from] if outside else [])]))
    if is_loopback(service.host):
        return []
    return [service.host, *service.allow_from] if service.allow_from else None
