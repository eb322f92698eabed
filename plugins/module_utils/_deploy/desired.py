# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shall become: a plan of its layout, or a generation that it keeps, as files."""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Sequence

from .._arguments import settings_from
from .._engine.installed import read_engine
from .._errors import InferenceError, NotInstalledError
from .._generation.serving import read_plan
from .._host.network import read_interfaces
from .._host.podman import refuse_undescribed
from .._model.access import refuse_unreadable
from .._plan.approval import approval, refuse_unapproved
from .._plan.layout import Service, parse_layout
from .._plan.plan import Plan
from .._plan.planner import inputs_digest, plan
from .._render import generation, mounts, quadlet
from .._render.engine_config import check_architecture, check_engine_args
from . import kept
from .active_plan import plan_that_stays
from .changes import Desired
from .host import Host
from .inputs import read_models, read_usable_topology, read_used_by_others
from .programs import sources


def desired(host: Host) -> Desired:
    """Plan the layout for this host and render it, having checked everything that can be known before a start."""
    params = host.params
    settings = settings_from(params)
    services = parse_layout(params["services"], settings.accelerator)
    engine = read_engine(params["engine_root"], settings.engine_version, settings.accelerator, params["image"])
    for service in services:
        check_engine_args(service, engine)
    models = read_models(services)
    for service in services:
        check_architecture(service, models[service.name].geometry.architecture, engine)
    _check_access(host, (service.model for service in services))
    topology = read_usable_topology(params, host.journal)[1]
    made = plan_that_stays(host.store, host.record, inputs_digest(services, topology, models, settings))
    if made is None:
        others = read_used_by_others(topology, settings.accelerator)
        made = plan(services, topology, models, settings, others, records=host.calibration().measured())
    if not made.fits:
        raise InferenceError(refusal_text(made), plan=made.to_dict())
    if params["approved_digest"] is not None:
        refuse_unapproved(params["approved_digest"], approval(made, services, topology, models, settings))
    minors = {gpu.uuid: gpu.minor_number for gpu in topology.gpus if gpu.uuid and gpu.minor_number is not None}
    interfaces = read_interfaces(host.run) if any(service.multi_node for service in services) else {}
    containers = _containers(host, engine.image, services, made) if engine.image else None
    key = host.store.digest_key()
    box = generation.Box(engine, host.paths, minors, params["gpu_health"], key, interfaces, containers)
    return Desired(made, generation.generation(made, services, box, sources()))


def kept_desired(host: Host, number: int | None) -> Desired:
    """A kept generation, by default the one that served before; refused where it cannot serve as it did."""
    base = host.deployment().base()
    chosen = kept.choose_generation(host.store, number, base)
    kept.refuse_unusable(host.store, chosen, host.podman.has_image)
    files = host.store.read(chosen)
    made = read_plan(files)
    _check_access(host, sorted({planned.model for planned in made.services}) if made else [])
    return Desired(made, files, chosen)


def _containers(host: Host, image: str, services: Sequence[Service], made: Plan) -> quadlet.Containers:
    """What the services' containers are made of, having checked that they can run."""
    grouped = [service.name for service in services if service.multi_node]
    if grouped:
        raise InferenceError(
            f"service '{grouped[0]}' is on several hosts, which services in containers cannot be; deploy it "
            "without an image (vllm_runtime_kind: venv), or on one host",
            service=grouped[0],
        )
    host.podman.refuse_missing(image)
    if made.accelerator == "cuda":
        refuse_undescribed(sorted({device for planned in made.services for device in planned.devices}))
    user = pwd.getpwnam(host.paths.user)
    read_only = {service.name: mounts.read_only(service) for service in services}
    return quadlet.Containers(image, user.pw_uid, user.pw_gid, read_only)


def _check_access(host: Host, models: Iterable[str]) -> None:
    try:
        user = pwd.getpwnam(host.params["user"])
    except KeyError:
        raise NotInstalledError(
            f"the user '{host.params['user']}' does not exist on this host; the role "
            "llmops.inference.vllm_runtime creates it"
        ) from None
    for model in models:
        refuse_unreadable(model, user.pw_name, user.pw_uid, user.pw_gid)


def refusal_text(refused: Plan) -> str:
    """All refusals of a plan as one text: reason, arithmetic and the nearest change that fits.

    On a host without devices its warnings come first: they say why there is none.
    """
    texts = [] if refused.devices else list(refused.warnings)
    for refusal in refused.refusals:
        way_out = f" Nearest fit: {refusal.nearest_fit['text']}" if refusal.nearest_fit else ""
        texts.append(f"{refusal.service}: {refusal.reason} {refusal.arithmetic}{way_out}")
    return "The layout does not fit this host, and nothing was changed. " + " ".join(texts)
