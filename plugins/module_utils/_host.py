# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to files and back: the shell around planner, renderer and transaction."""

from __future__ import annotations

import grp
import json
import pwd
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from . import _kept, _mounts, _quadlet, _render
from ._access import refuse_unreadable
from ._active_plan import plan_that_stays
from ._approval import approval, refuse_unapproved
from ._arguments import settings_from
from ._calibration_store import CalibrationStore
from ._changes import Changes, Observed
from ._deployment import MEASURED_TOKENS, Deployment, Report, endpoints, tickets
from ._engine import check_engine_args
from ._errors import InferenceError, NotInstalledError
from ._generation import File, GenerationStore
from ._gpu_health import judged_by
from ._guard_bundle import sources
from ._health import generate
from ._history import history, window
from ._interfaces import read_interfaces
from ._job import holder
from ._journal import Journal
from ._layout import Service, parse_layout
from ._nvml import import_from, read_topology
from ._placement import inputs_digest, plan
from ._places import PLAN_FILE, Paths
from ._plan import Plan, PlannedService
from ._podman import Podman, refuse_undescribed
from ._ports import listen_problem
from ._rows import service_row
from ._runtime import read_engine
from ._served import read_plan
from ._survey import read_models, read_used_by_others
from ._systemd import RunCommand, Systemd
from ._transaction import TransactionRecord
from ._unit_links import UnitLinks
from ._usage import Gauge, Recorder, actual, predicted
from ._xid import pci_address, with_xids


@dataclass(frozen=True)
class Wanted:
    """What a host shall become: the plan, and the files of the generation that carries it out.

    ``number`` is that of a generation that is kept, whose plan is None where another version of the collection made it.
    """

    plan: Plan | None
    files: Mapping[str, File]
    number: int | None = None

    @property
    def order(self) -> list[str]:
        """Its services in start order."""
        return [planned.name for planned in self.plan.services] if self.plan else sorted(tickets(self.files))


class Host:
    """This host, as a module's parameters describe it. Every method raises InferenceError for what cannot be."""

    def __init__(self, params: Mapping[str, Any], run_command: RunCommand) -> None:
        import_from(params["tools_dir"])
        self._params = params
        self._run = run_command
        self._systemd = Systemd(run_command)
        self._journal = Journal(run_command)
        self.podman = Podman(run_command)
        self.paths = Paths(tools_dir=params["tools_dir"], user=params["user"], group=params["group"])
        self.store = GenerationStore(self.paths.config_root, _group_id(params["group"]))
        self.record = TransactionRecord(self.paths.transaction)

    def deployment(self, report: Report = lambda service, text: None) -> Deployment:
        """The transaction of this host, to look with, or to return with from one that was interrupted."""
        links, seconds = UnitLinks(self.paths), self._params["gate_timeout"]
        return Deployment(self.store, self.record, self._systemd, links, seconds, report=report)

    def served(self) -> Mapping[str, File]:
        """The files of the last generation that served."""
        return self.store.read(self.deployment().base())

    def transaction(self, wanted: Wanted, report: Report) -> Deployment:
        """The transaction that applies ``wanted``; ``report(service, text)`` is told every step.

        What the started services use is recorded for plans to come.
        """
        links, seconds, by = UnitLinks(self.paths), self._params["gate_timeout"], self._params["requested_by"]
        return Deployment(
            self.store,
            self.record,
            self._systemd,
            links,
            seconds,
            report=report,
            serving=self._recorder(wanted, report),
            by=by or "somebody",
        )

    def _recorder(self, wanted: Wanted, report: Report) -> Callable[[str], None]:
        if wanted.plan is None:
            return lambda service: None
        gauge = Gauge(wanted.plan, self._systemd, endpoints(wanted.files))
        return Recorder(wanted.plan, gauge, self._calibration(), report).record

    def _calibration(self) -> CalibrationStore:
        return CalibrationStore(group_id=_group_id(self._params["group"]))

    def wanted(self) -> Wanted:
        """Plan the layout for this host and render it, having checked everything that can be known before a start."""
        params = self._params
        settings = settings_from(params)
        services = parse_layout(params["services"], settings.accelerator)
        engine = read_engine(params["engine_root"], settings.engine_version, settings.accelerator, params["image"])
        for service in services:
            check_engine_args(service, engine)
        models = read_models(services)
        self._check_access(service.model for service in services)
        topology = judged_by(params["gpu_health"], with_xids(read_topology(), self._journal.xids_since_boot()))
        made = plan_that_stays(self.store, self.record, inputs_digest(services, topology, models, settings))
        if made is None:
            others = read_used_by_others(topology, settings.accelerator)
            made = plan(services, topology, models, settings, others, records=self._calibration().measured())
        if not made.fits:
            raise InferenceError(refusal_text(made), plan=made.to_dict())
        if params["approved_digest"] is not None:
            refuse_unapproved(params["approved_digest"], approval(made, services, topology, models, settings))
        minors = {gpu.uuid: gpu.minor_number for gpu in topology.gpus if gpu.uuid and gpu.minor_number is not None}
        interfaces = read_interfaces(self._run) if any(service.multi_node for service in services) else {}
        containers = self._containers(engine.image, services, made) if engine.image else None
        key = self.store.digest_key()
        box = _render.Box(engine, self.paths, minors, params["gpu_health"], key, interfaces, containers)
        return Wanted(made, _render.generation(made, services, box, sources()))

    def _containers(self, image: str, services: Sequence[Service], made: Plan) -> _quadlet.Containers:
        """What the services' containers are made of, having checked that they can run."""
        grouped = [service.name for service in services if service.multi_node]
        if grouped:
            raise InferenceError(
                f"service '{grouped[0]}' is on several hosts, which services in containers cannot be; deploy it "
                "without an image (vllm_runtime_kind: venv), or on one host",
                service=grouped[0],
            )
        self.podman.refuse_missing(image)
        if made.accelerator == "cuda":
            refuse_undescribed(sorted({device for planned in made.services for device in planned.devices}))
        user = pwd.getpwnam(self.paths.user)
        mounts = {service.name: _mounts.read_only(service) for service in services}
        return _quadlet.Containers(image, user.pw_uid, user.pw_gid, mounts)

    def kept(self, number: int | None) -> Wanted:
        """A kept generation, by default the one that served before; refused where it cannot serve as it did."""
        base = self.deployment().base()
        chosen = _kept.choose(self.store, number, base)
        _kept.refuse_unusable(self.store, chosen, self.podman.has_image)
        files = self.store.read(chosen)
        made = read_plan(files)
        self._check_access(sorted({planned.model for planned in made.services}) if made else [])
        return Wanted(made, files, chosen)

    def _check_access(self, models: Iterable[str]) -> None:
        try:
            user = pwd.getpwnam(self._params["user"])
        except KeyError:
            raise NotInstalledError(
                f"the user '{self._params['user']}' does not exist on this host; the role "
                "llmops.inference.vllm_runtime creates it"
            ) from None
        for model in models:
            refuse_unreadable(model, user.pw_name, user.pw_uid, user.pw_gid)

    def refuse_unfit(self, changes: Changes, wanted: Wanted) -> None:
        """Refuse what would be found only after something has stopped: a port that is taken, a unit that is none."""
        self._refuse_taken_ports(changes, wanted)
        if changes.any:
            self.podman.refuse_quadlets(wanted.files)

    def _refuse_taken_ports(self, changes: Changes, wanted: Wanted) -> None:
        """Refuse a port that somebody else holds; those of our own services are about to be freed."""
        known = [tickets(files) for files in (self.served(), self.store.in_force())]
        running = self._systemd.states(sorted({name for found in known for name in found}))
        ours = {ticket.port for found in known for name, ticket in found.items() if running[name].main_pid}
        for name, ticket in tickets(wanted.files).items():
            problem = listen_problem(ticket.host, ticket.port) if name in changes.touched else None
            if problem and ticket.answers and ticket.port not in ours:
                raise InferenceError(f"service '{name}' {problem}", service=name)

    def describe(self, measure: bool, since: str) -> dict[str, Any]:
        """What is deployed, how it is and what went wrong ``since``, as vllm_deployment_info returns it."""
        files = self.store.in_force()
        made = files.get(PLAN_FILE)
        interrupted = self.record.read()
        observed = self.deployment().observe(files, ask=False)
        in_force = read_plan(files)
        planned = {item.name: item for item in in_force.services} if in_force else {}
        # In start order, and behind them whatever the plan does not know.
        names = [*planned, *(name for name in observed if name not in planned)]
        services = [self._describe_one(name, observed[name], planned.get(name), files, measure) for name in names]
        return {
            "generation": self.store.current(),
            "generations": _kept.describe(self.store, interrupted, self.podman.has_image),
            "transaction": None if interrupted is None else {**vars(interrupted), "holder": holder()},
            "plan": json.loads(made.text) if made else None,
            "services": [
                {**service, **self._memory(service, planned.get(service["name"]), in_force, files)}
                for service in services
            ],
            **history(self._journal, names, self._gpu_addresses(planned), window(since)),
        }

    @staticmethod
    def _gpu_addresses(planned: Mapping[str, PlannedService]) -> dict[str, list[str]]:
        """The PCI addresses of every service's GPUs, as the kernel writes them."""
        addresses = {gpu.uuid: pci_address(gpu.pci_bus_id) for gpu in read_topology().gpus if gpu.pci_bus_id}
        return {name: [addresses[d] for d in item.devices if d in addresses] for name, item in planned.items()}

    def _memory(
        self,
        service: Mapping[str, Any],
        planned: PlannedService | None,
        made: Plan | None,
        files: Mapping[str, File],
    ) -> dict[str, Any]:
        """What the plan expected a service to use, and what it uses since it started."""
        if made is None or planned is None:
            return {"predicted": None, "actual": None}
        if service["active"] != "active" or not service["as_configured"]:
            return {"predicted": predicted(planned), "actual": None}
        start = Gauge(made, self._systemd, endpoints(files)).read(planned.name, just_started=False)
        recorded = self._calibration().starts(planned.calibration_key) if planned.calibration_key else []
        return {"predicted": predicted(planned), "actual": actual(start, recorded[-1] if recorded else None)}

    def _describe_one(
        self, name: str, found: Observed, planned: PlannedService | None, files: Mapping[str, File], measure: bool
    ) -> dict[str, Any]:
        ticket = tickets(files).get(name)
        address = endpoints(files).get(name)
        brought, problem = None, found.problem
        # Active means that the first of its hosts has generated a token; asking is that host's.
        serves_elsewhere = ticket is not None and not ticket.answers and found.state.is_active
        if measure and address is not None:
            try:
                brought = generate(address, MEASURED_TOKENS, self._params["gate_timeout"])
            except InferenceError as error:
                problem = str(error)
        return {
            **service_row(name, planned, address, brought),
            "state": "serving" if brought or serves_elsewhere else found.state.active,
            "active": found.state.active,
            "restarts": found.state.restarts,
            "main_pid": found.state.main_pid,
            "as_configured": ticket is not None and found.digest == ticket.digest,
            "healthy": brought is not None or serves_elsewhere if measure else None,
            "problem": problem,
        }

    def diff(self, changes: Changes, wanted: Wanted) -> list[dict[str, str]]:
        """What changes on disk, before and after, without secrets and without the code that units run."""
        base = self.deployment().base()
        before, damage = self.store.read(base), self.store.damage(base)
        shown = [path for path in changes.files if not path.startswith("lib/")]
        files = [
            _difference(f"{self.paths.current}/{path}", *_shown(path, before, wanted.files, damage)) for path in shown
        ]
        links = [_difference(link, _shown_link(now), _shown_link(to)) for link, (now, to) in changes.links.items()]
        return files + links


def refusal_text(refused: Plan) -> str:
    """All refusals of a plan as one text: reason, arithmetic and the nearest change that fits.

    On a host without devices its warnings come first: they say why there is none.
    """
    texts = [] if refused.devices else list(refused.warnings)
    for refusal in refused.refusals:
        way_out = f" Nearest fit: {refusal.nearest_fit['text']}" if refusal.nearest_fit else ""
        texts.append(f"{refusal.service}: {refusal.reason} {refusal.arithmetic}{way_out}")
    return "The layout does not fit this host, and nothing was changed. " + " ".join(texts)


def _difference(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def _shown(
    path: str, before: Mapping[str, File], after: Mapping[str, File], damage: Mapping[str, str]
) -> tuple[str, str]:
    """A file before and after; where only a hand at its mode or owner is to be undone, that is what is shown."""
    texts = (_text(before.get(path)), _text(after.get(path)))
    if texts[0] == texts[1] and path in damage:
        return f"(it {damage[path]})\n", "(as it was written)\n"
    return texts


def _text(file: File | None) -> str:
    if file is None:
        return ""
    return "(secret values are not shown)\n" if file.secret else file.text


def _shown_link(to: str | None) -> str:
    return f"-> {to}\n" if to else ""


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotInstalledError(
            f"the group '{group}' does not exist on this host; the role llmops.inference.vllm_runtime creates it"
        ) from None
