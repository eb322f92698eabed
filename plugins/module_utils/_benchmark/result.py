# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of one measurement run: what was asked of which service, how it answered, and what the host did meanwhile.

Times are seconds, sizes are bytes. What was not measured is None, never 0. The published description of the same
data is docs/schemas/result.schema.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from .._errors import InferenceError
from .._plan.plan import ACCELERATORS
from .._records import Record

RESULT_SCHEMA_VERSION = 1
SCENARIO_NAMES = ("standard", "long_context", "burst", "soak", "mixed")
SIDES = ("before", "after")
MODES = ("closed", "open")
# ``failed``: no token came. ``aborted``: the stream broke after the first. ``cancelled``: the load generator itself
# ended it with the measurement, which says nothing about the service.
STATUSES = ("completed", "failed", "aborted", "cancelled")
STARTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class Request:
    """One request. ``start_seconds`` counts from the start of the service's measurement.

    ``inter_token_seconds`` is the mean between the tokens of this request after its first one, ``longest_gap_seconds``
    the longest wait among them. ``client_queue_seconds`` is what it waited in an open loop before it was sent;
    no latency includes it. ``error`` is one line.
    """

    start_seconds: float
    status: str
    tokens_in: int
    tokens_out: int
    ttft_seconds: float | None = None
    inter_token_seconds: float | None = None
    longest_gap_seconds: float | None = None
    end_to_end_seconds: float | None = None
    client_queue_seconds: float | None = None
    error: str | None = None

    @classmethod
    def read(cls, record: Record) -> Request:
        """Return the request of a mapping."""
        return cls(
            start_seconds=record.required_number("start_seconds"),
            status=record.required_choice("status", STATUSES),
            tokens_in=record.required_integer("tokens_in"),
            tokens_out=record.required_integer("tokens_out"),
            ttft_seconds=record.number("ttft_seconds"),
            inter_token_seconds=record.number("inter_token_seconds"),
            longest_gap_seconds=record.number("longest_gap_seconds"),
            end_to_end_seconds=record.number("end_to_end_seconds"),
            client_queue_seconds=record.number("client_queue_seconds"),
            error=record.text("error"),
        )


@dataclass(frozen=True)
class LoadShape:
    """How requests were sent: ``closed`` keeps ``concurrency`` in flight, ``open`` sends ``requests_per_second``.

    ``bottleneck`` says how the load generator itself held the measurement back; None where it did not.
    """

    driver: str
    mode: str
    concurrency: int | None = None
    requests_per_second: float | None = None
    seed: int | None = None
    warmup_requests: int | None = None
    through: str | None = None
    bottleneck: str | None = None

    @classmethod
    def read(cls, record: Record) -> LoadShape:
        """Return the load of a mapping."""
        return cls(
            driver=record.required_text("driver"),
            mode=record.required_choice("mode", MODES),
            concurrency=record.integer("concurrency", 1),
            requests_per_second=record.number("requests_per_second"),
            seed=record.integer("seed"),
            warmup_requests=record.integer("warmup_requests"),
            through=record.text("through"),
            bottleneck=record.text("bottleneck"),
        )


@dataclass(frozen=True)
class EngineCounters:
    """What the engine's own ``/metrics`` counted during the measurement."""

    preemptions: int | None = None
    prompt_tokens: int | None = None
    generation_tokens: int | None = None
    waiting_max: int | None = None
    queue_mean_seconds: float | None = None
    ttft_mean_seconds: float | None = None
    inter_token_mean_seconds: float | None = None
    kv_cache_usage_max: float | None = None

    @classmethod
    def read(cls, record: Record) -> EngineCounters:
        """Return the counters of a mapping."""
        return cls(
            preemptions=record.integer("preemptions"),
            prompt_tokens=record.integer("prompt_tokens"),
            generation_tokens=record.integer("generation_tokens"),
            waiting_max=record.integer("waiting_max"),
            queue_mean_seconds=record.number("queue_mean_seconds"),
            ttft_mean_seconds=record.number("ttft_mean_seconds"),
            inter_token_mean_seconds=record.number("inter_token_mean_seconds"),
            kv_cache_usage_max=record.number("kv_cache_usage_max"),
        )


@dataclass(frozen=True)
class Quality:
    """Perplexity of a reference text at two lengths, and the share of greedy tokens that equal the other side's.

    ``greedy_tokens`` are those of the answers to fixed prompts, in their order.
    """

    perplexity_short: float | None = None
    perplexity_long: float | None = None
    tokens_short: int | None = None
    tokens_long: int | None = None
    greedy_agreement: float | None = None
    greedy_tokens: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def read(cls, record: Record) -> Quality:
        """Return the quality of a mapping."""
        return cls(
            perplexity_short=record.number("perplexity_short", 1.0),
            perplexity_long=record.number("perplexity_long", 1.0),
            tokens_short=record.integer("tokens_short", 1),
            tokens_long=record.integer("tokens_long", 1),
            greedy_agreement=record.number("greedy_agreement"),
            greedy_tokens=record.integer_lists("greedy_tokens"),
        )


@dataclass(frozen=True)
class NotStarted:
    """Why a service could not start: ``kind`` of the incident taxonomy, the line that proves it, and the bytes."""

    kind: str
    cause: str
    needed_bytes: int | None = None
    available_bytes: int | None = None

    @property
    def missing_bytes(self) -> int | None:
        """How many bytes more it would have taken."""
        if self.needed_bytes is None or self.available_bytes is None:
            return None
        return max(0, self.needed_bytes - self.available_bytes)

    @classmethod
    def read(cls, record: Record) -> NotStarted:
        """Return the cause of a mapping."""
        return cls(
            kind=record.required_text("kind"),
            cause=record.required_text("cause"),
            needed_bytes=record.integer("needed_bytes"),
            available_bytes=record.integer("available_bytes"),
        )


@dataclass(frozen=True)
class ServiceResult:
    """One service under one scenario. ``not_started`` is why there are no requests, where it could not start."""

    service: str
    model: str
    scenario: str
    duration_seconds: float
    load: LoadShape | None = None
    requests: tuple[Request, ...] = ()
    engine: EngineCounters = EngineCounters()
    quality: Quality = Quality()
    restarts: int = 0
    not_started: NotStarted | None = None

    @classmethod
    def read(cls, record: Record) -> ServiceResult:
        """Return the service of a mapping."""
        not_started = record.optional_record("not_started", field_names(NotStarted))
        load = record.optional_record("load", field_names(LoadShape))
        if (load is None) == (not_started is None):
            raise InferenceError(f"{record.where} must have either load or not_started.", where=record.where)
        return cls(
            service=record.required_text("service"),
            model=record.required_text("model"),
            scenario=record.required_choice("scenario", SCENARIO_NAMES),
            duration_seconds=record.required_number("duration_seconds"),
            load=None if load is None else LoadShape.read(load),
            requests=tuple(Request.read(item) for item in record.records("requests", field_names(Request))),
            engine=EngineCounters.read(record.record("engine", field_names(EngineCounters))),
            quality=Quality.read(record.record("quality", field_names(Quality))),
            restarts=record.integer("restarts") or 0,
            not_started=None if not_started is None else NotStarted.read(not_started),
        )


@dataclass(frozen=True)
class Memory:
    """Bytes in use on a device over time: pairs of seconds since the start of the run and bytes.

    ``budget_bytes`` is the part of ``total_bytes`` that the plan divides among services.
    """

    device: str
    name: str
    total_bytes: int
    budget_bytes: int | None
    samples: tuple[tuple[float, int], ...]

    @property
    def peak_bytes(self) -> int | None:
        """The most that a sample saw; None without samples."""
        return max((size for _seconds, size in self.samples), default=None)

    @classmethod
    def read(cls, record: Record) -> Memory:
        """Return the memory of a mapping."""
        return cls(
            device=record.required_text("device"),
            name=record.required_text("name"),
            total_bytes=record.required_integer("total_bytes", 1),
            budget_bytes=record.integer("budget_bytes", 1),
            samples=tuple((seconds, int(size)) for seconds, size in record.pairs("samples")),
        )


@dataclass(frozen=True)
class RunIncident:
    """Something that went wrong during the run; ``kind`` is of the incident taxonomy, ``service`` None for the host."""

    kind: str
    at_seconds: float
    service: str | None = None
    line: str | None = None

    @classmethod
    def read(cls, record: Record) -> RunIncident:
        """Return the incident of a mapping."""
        return cls(
            kind=record.required_text("kind"),
            at_seconds=record.required_number("at_seconds"),
            service=record.text("service"),
            line=record.text("line"),
        )


@dataclass(frozen=True)
class Environment:
    """What was measured: the host and everything on it that a difference could come from."""

    host: str
    engine_version: str
    accelerator: str
    profile: str | None = None
    generation: int | None = None
    layout_digest: str | None = None
    devices: tuple[str, ...] = ()
    driver_version: str | None = None

    @classmethod
    def read(cls, record: Record) -> Environment:
        """Return the environment of a mapping."""
        return cls(
            host=record.required_text("host"),
            engine_version=record.required_text("engine_version"),
            accelerator=record.required_choice("accelerator", ACCELERATORS),
            profile=record.text("profile"),
            generation=record.integer("generation"),
            layout_digest=record.text("layout_digest"),
            devices=record.texts("devices"),
            driver_version=record.text("driver_version"),
        )


@dataclass(frozen=True)
class RunResult:
    """One run. ``started`` is ISO 8601 in UTC, such as 2026-11-23T23:06:00Z.

    In a comparison ``side`` says what was deployed, and the two runs with the same ``round`` were made one after the
    other. ``energy_joules`` is what all devices took during the run.
    """

    started: str
    environment: Environment
    services: tuple[ServiceResult, ...]
    memory: tuple[Memory, ...] = ()
    incidents: tuple[RunIncident, ...] = ()
    energy_joules: float | None = None
    side: str | None = None
    round: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON has it."""
        return {"schema_version": RESULT_SCHEMA_VERSION, **plain(self)}


def read_result(value: object, where: str = "result") -> RunResult:
    """Return the run that :meth:`RunResult.to_dict` made; InferenceError names the first place that is wrong."""
    record = Record(value, where, ("schema_version", *field_names(RunResult)))
    version = record.required_integer("schema_version")
    if version != RESULT_SCHEMA_VERSION:
        raise InferenceError(
            f"{where} is of schema version {version}, and this collection reads {RESULT_SCHEMA_VERSION}; "
            "read it with the release of the collection that wrote it.",
            where=where,
        )
    started = record.required_text("started")
    if not STARTED.fullmatch(started):
        raise InferenceError(
            f"{where}.started is {started!r:.80}; a time in UTC such as 2026-11-23T23:06:00Z is expected.", where=where
        )
    return RunResult(
        started=started,
        environment=Environment.read(record.record("environment", field_names(Environment))),
        services=tuple(ServiceResult.read(item) for item in record.records("services", field_names(ServiceResult))),
        memory=tuple(Memory.read(item) for item in record.records("memory", field_names(Memory))),
        incidents=tuple(RunIncident.read(item) for item in record.records("incidents", field_names(RunIncident))),
        energy_joules=record.number("energy_joules"),
        side=record.choice("side", SIDES),
        round=record.integer("round"),
    )


def field_names(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))


def plain(value: Any) -> Any:
    """Return a dataclass of this file, or what lies in it, as JSON has it."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
