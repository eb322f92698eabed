# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A measurement of a host: what is asked for is checked first, then one run follows the other."""

from __future__ import annotations

import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable
from urllib.parse import urlsplit

from .._engine.api import generate
from .._errors import InferenceError, NotInstalledError
from .._generation.serving import Served, Serving, read_serving
from .._generation.store import GenerationStore
from .._gpu.nvml import meters, read_topology
from .._gpu.xid import pci_address
from .._host.job import OnStep
from .._host.systemd import RunCommand, Systemd
from .._incidents.history import episodes
from .._incidents.journal import Journal
from .._places import unit_name
from .._plan.plan import PlannedDevice
from .client import Client
from .command import Owner, Target
from .gauges import Gauges
from .load_unit import LoadUnit, remove_all
from .quality import probe
from .result import Environment, Quality, RunResult
from .run import REQUEST_SECONDS, Run, RunContext, RunningLoad, combine
from .scenarios import Asked, Scenario, asked_of, scenario

_POLL_SECONDS = 1.0
# After a load: an engine that is down is started again by systemd, and the journal has all of it.
_SETTLE_SECONDS = 2.0


class Measurement:
    """Measures services of the active generation, as a module's parameters say."""

    def __init__(self, store: GenerationStore, params: Mapping[str, Any], run: RunCommand) -> None:
        self._params = params
        self._run = run
        self._systemd = Systemd(run)
        self._journal = Journal(run)
        self._generation = store.current()
        self._serving: Serving = read_serving(store.in_force())
        self._services = self._serving.choose(params["services"])
        self._scenario: Scenario = scenario(params["scenario"], params["load"] or {})
        self._asked = {service.name: self._ask(service) for service in self._services}
        self._targets = {service.name: self._target(service) for service in self._services}
        self._owner = _owner(params["user"])

    def _ask(self, service: Served) -> Asked:
        return asked_of(service.name, service.planned.max_model_len, self._params["scenario"], self._scenario)

    def _target(self, service: Served) -> Target:
        common = (service.endpoint.model, service.tokenizer, service.trust_remote_code)
        gateway = self._params["gateway"]
        if gateway:
            address = gateway["address"]
            return Target(address.rstrip("/"), *common, gateway["validate_certs"], _addresses(address), "gateway")
        host = service.endpoint.host
        return Target(_direct_url(service), *common, peers=("localhost",) if _is_local(host) else ("localhost", host))

    def drive(self, report: OnStep) -> dict[str, Any]:
        """Make all runs; return them, and what there is to warn of."""
        groups = [self._services] if self._scenario.together else [(service,) for service in self._services]
        warnings: list[str] = []
        results = [self._measure(group, report, warnings.append) for group in groups]
        found: dict[str, Any] = {"changed": False, "results": [result.to_dict() for result in results]}
        return {**found, "warnings": warnings} if warnings else found

    def _measure(self, services: Sequence[Served], report: OnStep, warn: Callable[[str], None]) -> RunResult:
        names = {device for service in services for device in service.planned.devices}
        devices = [device for device in self._serving.plan.devices if device.id in names]
        with meters() as known:
            gauges = Gauges(self._serving.plan, devices, known)
            run = Run(
                [self._load(service) for service in services], gauges, self._serving.executable, self._seed, report
            )
            self._await_serving(services, report)
            run.warm_up()
            started = run.drive()
            try:
                found, energy = run.service_results(), run.energy()
            finally:
                run.remove()
            time.sleep(_SETTLE_SECONDS)
            try:
                self._await_serving(services, report)
            except InferenceError as error:
                warn(f"after its load, {error}")  # what was measured reports it
            addresses = self._gpu_addresses()
            happened = episodes(self._journal, [service.name for service in self._serving.services], addresses, started)
            qualities = {service.name: self._quality(service, gauges, report, warn) for service in services}
        for result in found:
            if result.load is not None and result.load.bottleneck:
                warn(f"{result.service}: {result.load.bottleneck}")
        host = RunContext(started, self._environment(devices), happened, gauges.memory(), energy)
        made = combine(found, qualities, host)
        return replace(made, side=self._params["side"], round=self._params["round"])

    @property
    def _seed(self) -> int:
        return int(self._params["seed"])

    def _load(self, service: Served) -> RunningLoad:
        gateway = self._params["gateway"]
        key = gateway["api_key"] if gateway else service.endpoint.api_key
        unit = LoadUnit(self._run, service.name, self._owner)
        return RunningLoad(service, self._asked[service.name], self._targets[service.name], key or None, unit)

    def _quality(self, service: Served, gauges: Gauges, report: OnStep, warn: Callable[[str], None]) -> Quality:
        if not self._params["quality"]:
            return Quality()
        report(service.name, "asking for greedy answers and for the perplexity of the reference text")
        used = gauges.used_bytes()
        free = [device.total_bytes - used[device.id] for device in gauges.devices if device.id in used]
        try:
            return probe(service, Client(service.endpoint, REQUEST_SECONDS), min(free, default=None), warn)
        except InferenceError as error:
            warn(f"{service.name}: the quality of its answers was not measured: {error}")
            return Quality()

    def _await_serving(self, services: Sequence[Served], report: OnStep) -> None:
        """Return when every service serves; InferenceError where one will not."""
        waiting = {service.name: service for service in services}
        patience = sum(service.ticket.start_timeout for service in services)
        deadline = time.monotonic() + patience
        said: set[str] = set()
        while waiting:
            for name, state in self._systemd.states(list(waiting)).items():
                if state.is_active:
                    self._ask_for_a_token(waiting.pop(name))
                elif state.active not in ("activating", "reloading", "deactivating") or time.monotonic() > deadline:
                    raise InferenceError(
                        f"service '{name}' does not serve ({unit_name(name)} is {state.active}, {state.sub}); its "
                        "journal says why, and vllm_deployment_info reads it",
                        service=name,
                    )
                elif name not in said:
                    said.add(name)
                    report(name, "waiting until it serves")
            if waiting:
                time.sleep(_POLL_SECONDS)

    def _ask_for_a_token(self, service: Served) -> None:
        try:
            generate(service.endpoint, tokens=1, deadline=float(self._params["gate_timeout"]))
        except InferenceError as error:
            raise InferenceError(
                f"service '{service.name}' cannot be measured: {error}", service=service.name
            ) from error

    def _gpu_addresses(self) -> dict[str, list[str]]:
        addresses = {gpu.uuid: pci_address(gpu.pci_bus_id) for gpu in read_topology().gpus if gpu.pci_bus_id}
        return {
            service.name: [addresses[device] for device in service.planned.devices if device in addresses]
            for service in self._serving.services
        }

    def _environment(self, devices: Sequence[PlannedDevice]) -> Environment:
        return Environment(
            host=self._params["host_name"] or socket.gethostname(),
            engine_version=self._serving.engine_version,
            accelerator=self._serving.plan.accelerator,
            profile=self._params["profile"],
            generation=self._generation,
            layout_digest=self._serving.plan.inputs_digest,
            devices=tuple(device.name for device in devices),
            driver_version=read_topology().driver_version,
        )


def clean_up(run: RunCommand) -> dict[str, Any]:
    """End what a measurement that was killed has left; there is nothing to report."""
    remove_all(run)
    return {}


def _owner(name: str) -> Owner:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise NotInstalledError(
            f"the user '{name}' does not exist on this host; the role llmops.inference.vllm_runtime creates it"
        ) from None
    return Owner(name, user.pw_uid, user.pw_gid)


def _direct_url(service: Served) -> str:
    """Return where a service answers, without a path; InferenceError where the load generator cannot reach it."""
    if service.endpoint.port is None:
        raise InferenceError(
            f"service '{service.name}' listens on a unix socket, which vllm bench serve cannot reach; give it a port, "
            "or measure it through the gateway",
            service=service.name,
        )
    return service.endpoint.address[: -len("/v1")]


def _is_local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host in ("::1", "0.0.0.0", "::")


def _addresses(url: str) -> tuple[str, ...]:
    """Return the addresses behind a URL; InferenceError where it is none of a web server or names nobody."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username:
        raise InferenceError(f"gateway.address is {url!r:.200}; a base URL such as https://10.0.0.5:8443 is expected.")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InferenceError(
            f"gateway.address names {parts.hostname}, which this host cannot resolve ({error})"
        ) from error
    return tuple(sorted({"localhost", *(str(entry[4][0]) for entry in found)}))
