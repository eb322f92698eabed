# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: load on some services at once, and everything that their host tells meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._engine.api import read_metrics
from .._engine.metrics import read_sums
from .._generation.serving import Served
from .._host.job import OnStep
from .._incidents.episodes import Episode
from .._values import GIB
from .bench_file import read_bench_file
from .client import Client, warm_up
from .command import Order, Target
from .engine_counters import Reading, count_between, grown, reading
from .gauges import Gauges
from .load_unit import LoadUnit
from .reference_text import reference_text
from .result import Environment, Memory, Quality, RunIncident, RunResult, ServiceResult
from .scenarios import Asked

_TICK_SECONDS = 1.0
_SAID_SECONDS = 5.0
_METRICS_SECONDS = 3.0
# A request of the warm-up or of the probe, which may compile something or read a long text.
REQUEST_SECONDS = 600.0


@dataclass
class RunningLoad:
    """One service under load, as the run goes on."""

    service: Served
    asked: Asked
    target: Target
    key: str | None
    unit: LoadUnit
    requests: int = 0
    readings: list[Reading] = field(default_factory=list)

    @property
    def finished(self) -> int:
        """Requests that the engine has finished since the load was started."""
        return round(grown(self.readings, "request_success_total") or 0.0)

    def read(self) -> None:
        """Take one reading of the engine's metrics, where it answers."""
        seen = reading(read_sums(read_metrics(self.service.endpoint, _METRICS_SECONDS)))
        if seen:
            self.readings.append(seen)

    def progress(self) -> str:
        """How far it is, for people."""
        if self.unit.begun is None:
            return "the load generator starts"
        last = self.readings[-1] if self.readings else {}
        at_work = (
            f"{last.get('num_requests_running', 0):.0f} at work, {last.get('num_requests_waiting', 0):.0f} waiting"
        )
        return f"{min(self.finished, self.requests)} of {self.requests} requests answered, {at_work}"


class Run:
    """Drives some loads at the same time and makes a result of what came of it."""

    def __init__(
        self, loads: Sequence[RunningLoad], gauges: Gauges, executable: str, seed: int, report: OnStep
    ) -> None:
        self._loads = loads
        self._gauges = gauges
        self._executable = executable
        self._seed = seed
        self._report = report

    def warm_up(self) -> None:
        """Warm every service up, and find out how many requests fit into the time."""
        for load in self._loads:
            self._report(load.service.name, f"warming up with {load.asked.warmup_requests} requests")
            client = Client(load.service.endpoint, REQUEST_SECONDS)
            text = client.tokens(reference_text(1024))
            load.requests = load.asked.within(warm_up(client, load.asked, text, os.urandom(8).hex()))

    def drive(self) -> float:
        """Start the loads and wait for their ends; return the Unix time at which the run began.

        Whatever happens, no load is left behind.
        """
        started, began = time.time(), time.monotonic()
        try:
            for load in self._loads:
                load.read()
                order = Order(load.target, load.asked, load.requests, self._seed, os.urandom(16).hex())
                load.unit.start(self._executable, order, load.key)
            said = 0.0
            while not all(load.unit.over for load in self._loads):
                time.sleep(_TICK_SECONDS)
                seconds = time.monotonic() - began
                self._tick(seconds)
                if seconds - said >= _SAID_SECONDS:
                    said = seconds
                    self._say()
        except BaseException:
            self.remove()
            raise
        return started

    def remove(self) -> None:
        """End all loads, and leave nothing of them."""
        for load in self._loads:
            load.unit.remove()

    def _tick(self, seconds: float) -> None:
        self._gauges.read(seconds)
        for load in self._loads:
            load.read()
            if not load.unit.over:
                load.unit.look(seconds)

    def _say(self) -> None:
        used = self._gauges.used_bytes()
        held = ", ".join(f"{device} holds {size / GIB:.1f} GiB" for device, size in used.items())
        for load in self._loads:
            if not load.unit.over:
                self._report(load.service.name, f"{load.progress()}; {held}" if held else load.progress())

    def energy(self) -> float | None:
        """Return the joules that the devices took between the first request and the last answer."""
        begun = [load.unit.begun for load in self._loads if load.unit.begun is not None]
        ended = [load.unit.ended for load in self._loads if load.unit.ended is not None]
        return self._gauges.energy(min(begun), max(ended)) if begun and len(ended) == len(self._loads) else None

    def service_results(self) -> list[ServiceResult]:
        """Return what the load generators and the engines tell."""
        return [self._service_result(load) for load in self._loads]

    def _service_result(self, load: RunningLoad) -> ServiceResult:
        where = f"the result of {load.service.name}"
        requests, sent, duration = read_bench_file(load.unit.result(), where)
        held_back = [text for text in (sent.bottleneck, load.unit.bottleneck()) if text]
        return ServiceResult(
            service=load.service.name,
            model=load.service.endpoint.model,
            scenario=load.asked.scenario,
            duration_seconds=duration,
            load=replace(
                sent,
                seed=self._seed,
                warmup_requests=load.asked.warmup_requests,
                through=load.target.through,
                bottleneck=" ".join(held_back) or None,
            ),
            requests=requests,
            engine=count_between(load.readings),
        )


@dataclass(frozen=True)
class RunContext:
    """What the host reports of a run: what went wrong, and what was measured where. ``started`` is Unix time."""

    started: float
    environment: Environment
    episodes: Sequence[Episode]
    memory: tuple[Memory, ...]
    energy: float | None


def combine(services: Sequence[ServiceResult], qualities: Mapping[str, Quality], host: RunContext) -> RunResult:
    """Return the run: its services, with what their host reports of them."""
    made = []
    for item in services:
        restarts = sum(one.restarts for one in host.episodes if one.service == item.service)
        made.append(replace(item, restarts=restarts, quality=qualities.get(item.service, Quality())))
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(host.started))
    return RunResult(
        started=f"{moment}.{int(host.started % 1 * 1000):03d}Z",
        environment=host.environment,
        services=tuple(made),
        memory=host.memory,
        incidents=tuple(
            RunIncident(one.kind, max(0.0, round(one.time - host.started, 3)), one.service, one.line or None)
            for one in host.episodes
        ),
        energy_joules=host.energy,
    )
