# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout: what a user wants served on one host, checked as far as that needs no host.

``parse_layout`` reads the list of services as it stands in an inventory and returns ``Service`` objects, or
raises one ``InferenceError`` that lists every mistake it found. Whether a GPU exists, whether heads divide
and whether anything fits is the planner's business (``_placement``).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from .._errors import InferenceError
from .._service.watchdog import Watchdog
from .._values import Fields, Problems, as_flag, as_integer, as_number, is_loopback, shown
from .engine_options import parse_engine_args, parse_environment
from .multi_node import MultiNode, parse_multi_node

MAX_SERVICES = 256  # on one host; a longer list is a mistake, and refusing it keeps the planner fast
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
NUMA = re.compile(r"numa:[0-9]{1,4}")
DEVICE = re.compile(r"[0-9]{1,4}|GPU-[0-9a-fA-F][0-9a-fA-F-]{0,35}|numa:[0-9]{1,4}")
MEMORY_LIMIT = re.compile(r"[1-9][0-9]{0,15}[KMGT]?|[1-9][0-9]?%|100%|infinity")
KV_CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
ROPE_TYPES = ("yarn",)
TENSOR_PARALLEL_SIZES = range(1, 65)
# Of the watchdog's numbers; seconds, and misses in a row.
WATCHDOG_LIMITS = {"interval": (5, 86400), "deadline": (1, 600), "misses": (1, 100), "stall": (1, 86400)}
LOWEST_PORT = 1024  # below, a service would need a capability that its hardened unit does not have

# Pinned, because the engine's own defaults follow the size of the card and move the memory it needs.
DEFAULT_MAX_NUM_SEQS = {"cuda": 256, "cpu": 32}
DEFAULT_MAX_NUM_BATCHED_TOKENS = {"cuda": 8192, "cpu": 2048}


@dataclass(frozen=True)
class Rope:
    """A rope scaling that replaces the checkpoint's. ``original`` None: the checkpoint's own length."""

    rope_type: str
    factor: float
    original_max_position_embeddings: int | None = None


@dataclass(frozen=True)
class Service:
    """One service of the layout, with every default filled in.

    ``gpus`` None means that the planner chooses ``local_ranks`` devices. ``max_model_len`` None
    means ``fit``. ``port`` None means that the engine listens on its unix socket instead. Secret values are left out
    of ``repr``.
    """

    name: str
    model: str
    port: int | None
    served_model_name: str
    host: str
    allow_from: tuple[str, ...]
    gpus: tuple[str, ...] | None
    tensor_parallel_size: int
    max_model_len: int | None
    memory_weight: float | None
    gpu_memory_utilization: float | None
    kv_cache_dtype: str
    max_num_seqs: int
    max_num_batched_tokens: int
    rope: Rope | None
    min_pcie_generation: int | None
    engine_args: Mapping[str, Any]
    environment: Mapping[str, str]
    geometry: Mapping[str, Any] | None
    shutdown_timeout: int
    start_timeout: int
    memory_max: str | None = None
    memory_high: str | None = None
    watchdog: Watchdog = field(default_factory=Watchdog)
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pipeline_parallel_size: int = 1
    multi_node: MultiNode | None = None

    @property
    def ranks(self) -> int:
        """Ranks of the service on all of its hosts."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def local_ranks(self) -> int:
        """Ranks on this host, each on a device of its own."""
        return self.ranks // (self.multi_node.nodes if self.multi_node else 1)


def parse_layout(services: Any, accelerator: str = "cuda") -> list[Service]:
    """Return the services in the layout's order; InferenceError lists every mistake, ``errors`` as data."""
    if not isinstance(services, (list, tuple)):
        raise InferenceError(f"services must be a list of services, not {shown(services)}.")
    if len(services) > MAX_SERVICES:
        raise InferenceError(
            f"The layout has {len(services)} services; one host takes at most {MAX_SERVICES}. "
            "Spread them over several hosts."
        )
    problems = Problems()
    parsed = [_parse_service(item, place, accelerator, problems) for place, item in enumerate(services)]
    complete = [service for service in parsed if service is not None]
    _check_together(complete, problems)
    if problems.texts:
        raise InferenceError(" ".join(problems.texts), errors=list(problems.texts))
    return complete


# Unknown keys of one service that are named.
MOST_UNKNOWN = 5
SERVICE_KEYS = frozenset(Service.__dataclass_fields__) | {"socket"}


def _parse_service(item: Any, place: int, accelerator: str, problems: Problems) -> Service | None:
    problems.where = f"service {place + 1}"
    if not isinstance(item, Mapping):
        problems.add(f"must be a dictionary, not {shown(item)}.")
        return None
    problems.where = f"service {shown(item.get('name', place + 1))}"
    for key in sorted(str(key) for key in item if key not in SERVICE_KEYS)[:MOST_UNKNOWN]:
        near = difflib.get_close_matches(key, SERVICE_KEYS, n=1)
        known = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(SERVICE_KEYS))}."
        problems.add(f"unknown key {shown(key)}; {known}")
    fields = Fields(item, problems)
    name = fields.text("name")
    if not NAME.fullmatch(name):
        problems.add(
            f"name {shown(name)} is no valid systemd instance here: use up to 64 of a-z, 0-9, '_', '.' and '-', "
            "beginning with a letter or digit."
        )
    model = fields.text("model")
    if not model.startswith("/") and not item.get("geometry"):
        problems.add(f"model must be an absolute path of a directory on the host, not {shown(model)}.")
    gpus, count = _parse_gpus(fields.values.get("gpus", "auto"), accelerator, problems)
    multi_node = parse_multi_node(item.get("multi_node"), problems)
    tensor_parallel_size, pipeline_parallel_size = _parse_ranks(fields, count, multi_node)
    host = fields.text("host", "127.0.0.1")
    if not _is_host(host):
        problems.add(f"host {shown(host)} is neither an IP address nor a host name.")
    allow_from = _parse_allow_from(fields, problems)
    if allow_from and _address(host) is None:
        problems.add(f"allow_from is enforced by address, so that host must be an IP address, too, not {shown(host)}.")
    max_num_seqs = fields.integer("max_num_seqs", DEFAULT_MAX_NUM_SEQS[accelerator], 1, 1 << 16)
    batched = max(DEFAULT_MAX_NUM_BATCHED_TOKENS[accelerator], max_num_seqs)
    max_num_batched_tokens = fields.integer("max_num_batched_tokens", batched, 1, 1 << 24)
    if max_num_batched_tokens < max_num_seqs:
        problems.add(
            f"max_num_batched_tokens {max_num_batched_tokens} is below max_num_seqs {max_num_seqs}; the "
            "engine refuses that. Raise the first or lower the second."
        )
    kv_cache_dtype = fields.text("kv_cache_dtype", "auto")
    if kv_cache_dtype not in KV_CACHE_DTYPES:
        problems.add(f"kv_cache_dtype {shown(kv_cache_dtype)} is none of {', '.join(KV_CACHE_DTYPES)}.")
    if multi_node is not None:
        _check_multi_node(fields, host, allow_from, problems)
    environment = parse_environment(fields, "environment", problems)
    secret_environment = parse_environment(fields, "secret_environment", problems)
    both = sorted(set(environment) & set(secret_environment))
    if both:
        problems.add(f"{_few(both)} is in environment and in secret_environment; keep one.")
    geometry = fields.mapping("geometry")
    return Service(
        name=name,
        model=model,
        port=None if fields.flag("socket") else fields.integer("port", 0, LOWEST_PORT, 65535),
        served_model_name=fields.text("served_model_name", name),
        host=host,
        allow_from=allow_from,
        gpus=gpus,
        tensor_parallel_size=tensor_parallel_size,
        max_model_len=_parse_length(fields.values.get("max_model_len", "fit"), problems),
        memory_weight=fields.number("memory_weight", lambda x: 0 < x <= 1e15, "a number above 0"),
        gpu_memory_utilization=_parse_share(fields),
        kv_cache_dtype=kv_cache_dtype,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        rope=_parse_rope(fields.values.get("rope"), problems),
        min_pcie_generation=fields.optional_integer("min_pcie_generation", 1, 8),
        engine_args=parse_engine_args(fields, problems),
        environment=environment,
        secret_environment=secret_environment,
        geometry=geometry or None,
        shutdown_timeout=fields.integer("shutdown_timeout", 30, 1, 3600),
        start_timeout=fields.integer("start_timeout", 900, 1, 86400),
        memory_max=_parse_memory_limit(fields, "memory_max"),
        memory_high=_parse_memory_limit(fields, "memory_high"),
        watchdog=_parse_watchdog(fields.values.get("watchdog"), problems),
        pipeline_parallel_size=pipeline_parallel_size,
        multi_node=multi_node,
    )


def _parse_ranks(fields: Fields, count: int | None, multi_node: MultiNode | None) -> tuple[int, int]:
    """Return tensor- and pipeline-parallel size; together they are the devices of all hosts, ``count`` on each."""
    nodes = multi_node.nodes if multi_node else 1
    pipeline = fields.integer("pipeline_parallel_size", 1, 1, TENSOR_PARALLEL_SIZES[-1])
    tensor = fields.integer(
        "tensor_parallel_size", max(1, (count or 1) * nodes // pipeline), 1, TENSOR_PARALLEL_SIZES[-1]
    )
    if pipeline == nodes == 1:
        if count is not None and tensor != count:
            fields.problems.add(
                f"tensor_parallel_size {tensor} must equal the number of gpus, which is {count}: "
                "change one of them, or leave tensor_parallel_size out."
            )
        return tensor, pipeline
    product = f"tensor_parallel_size {tensor} * pipeline_parallel_size {pipeline} = {tensor * pipeline} ranks"
    if tensor * pipeline % nodes:
        fields.problems.add(
            f"{product} cannot be divided over {nodes} hosts evenly, and the engine takes nothing else."
        )
    elif count is not None and tensor * pipeline != count * nodes:
        hosts = f" on each of {nodes} hosts" if nodes > 1 else ""
        fields.problems.add(f"{product}, and {count} gpus{hosts} are {count * nodes}: each rank takes one. Change one.")
    return tensor, pipeline


def _check_multi_node(fields: Fields, host: str, allow_from: tuple[str, ...], problems: Problems) -> None:
    """Report what a service on several hosts cannot have: its hosts talk to each other without any authentication."""
    if fields.flag("socket"):
        problems.add("a service on several hosts needs the network; state a port instead of `socket: true`.")
    if not allow_from and not is_loopback(host):
        problems.add(
            f"host {shown(host)} is reached by anybody, and so would be the ports over which its hosts trust each "
            "other: state who asks it as allow_from, or listen on 127.0.0.1."
        )
    flags = {name.lstrip("-").replace("_", "-") for name in fields.mapping("engine_args")}
    if "distributed-executor-backend" in flags:
        problems.add(
            "engine_args: distributed-executor-backend is decided by the plan: state `executor`, beside `hosts`."
        )


def _parse_gpus(value: Any, accelerator: str, problems: Problems) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the named devices (None: the planner chooses) and how many (None: tensor_parallel_size says)."""
    if value == "auto":
        return None, None
    if isinstance(value, Mapping):
        count = as_integer(value.get("count"))
        if set(value) == {"count"} and count in TENSOR_PARALLEL_SIZES:
            return None, count
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= TENSOR_PARALLEL_SIZES[-1]:
        problems.add(
            f"gpus must be a list of indices or UUIDs, auto, or {{count: N}} with N from 1 to 64, not {shown(value)}."
        )
        return None, None
    named = tuple(_device_name(item, problems) for item in value)
    twice = sorted({text for text in named if named.count(text) > 1})
    if twice:
        problems.add(f"gpus names {_few(twice)} twice; a tensor-parallel rank needs its own device.")
    if accelerator == "cpu" and not all(NUMA.fullmatch(text) for text in named):
        return None, None  # GPUs named where there are none to use: one layout serves both accelerators
    return named, len(named)


def _device_name(item: Any, problems: Problems) -> str:
    index = as_integer(item)
    text = item if index is None else str(index)
    if isinstance(text, str) and DEVICE.fullmatch(text):
        return text
    problems.add(f"gpus: {shown(item)} is neither an index, nor a UUID such as GPU-1a2b, nor numa:K.")
    return ""


def _parse_allow_from(fields: Fields, problems: Problems) -> tuple[str, ...]:
    """Return addresses and networks as systemd writes them, sorted: their order means nothing."""
    value = fields.values.get("allow_from", [])
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        problems.add(f"allow_from must be a list of IP addresses and networks, not {shown(value)}.")
        return ()
    found = []
    for item in value:
        try:
            found.append(str(ip_network(item)))
        except ValueError as error:
            problems.add(f"allow_from: {shown(item)} is no IP address and no network ({error}).")
    return tuple(sorted(set(found)))


def _parse_length(value: Any, problems: Problems) -> int | None:
    if value == "fit":
        return None
    length = as_integer(value)
    if length is None or not 1 <= length <= 1 << 30:
        problems.add(f"max_model_len must be 'fit' or a whole number of tokens from 1, not {shown(value)}.")
        return None
    return length


def _parse_share(fields: Fields) -> float | None:
    share = fields.number("gpu_memory_utilization", lambda x: 0 < x <= 1, "above 0 and at most 1")
    if share is not None and not math.isclose(share * 10000, round(share * 10000), abs_tol=1e-7):
        fields.problems.add(f"gpu_memory_utilization {share} has more than four decimals; round it down.")
    return share


def _parse_memory_limit(fields: Fields, key: str) -> str | None:
    """Return a limit as systemd writes it; None leaves the unit without one."""
    text = str(fields.values.get(key, ""))
    if text and not MEMORY_LIMIT.fullmatch(text):
        fields.problems.add(f"{key} {shown(text)} is no size such as 64G, no percentage and not infinity.")
        return None
    return text or None


def _parse_watchdog(value: Any, problems: Problems) -> Watchdog:
    """Return how the service is watched: as by default, not at all, or with the numbers that are stated."""
    if value is None or as_flag(value) is not None:
        return Watchdog(enabled=as_flag(value) is not False)
    if not isinstance(value, Mapping) or not set(value) <= set(WATCHDOG_LIMITS):
        problems.add(f"watchdog is false or takes {', '.join(sorted(WATCHDOG_LIMITS))}, not {shown(value)}.")
        return Watchdog()
    stated, defaults = Fields(value, problems), vars(Watchdog())

    def number(key: str) -> int:
        return stated.integer(key, defaults[key], *WATCHDOG_LIMITS[key])

    return Watchdog(True, number("interval"), number("deadline"), number("misses"), number("stall"))


def _parse_rope(value: Any, problems: Problems) -> Rope | None:
    if value is None or value == {}:
        return None
    keys = {"rope_type", "factor", "original_max_position_embeddings"}
    if not isinstance(value, Mapping) or not set(value) <= keys:
        problems.add(f"rope takes {', '.join(sorted(keys))}, not {shown(value)}.")
        return None
    if value.get("rope_type") not in ROPE_TYPES:
        problems.add(f"rope.rope_type must be one of {', '.join(ROPE_TYPES)}, not {shown(value.get('rope_type'))}.")
        return None
    factor = as_number(value.get("factor"))
    if factor is None or not 1 <= factor <= 1024:
        problems.add(f"rope.factor must be a number from 1 to 1024, not {shown(value.get('factor'))}.")
        return None
    original = value.get("original_max_position_embeddings")
    length = None if original is None else as_integer(original)
    if original is not None and (length is None or not 1 <= length <= 1 << 30):
        problems.add(f"rope.original_max_position_embeddings must be a whole number of tokens, not {shown(original)}.")
        return None
    return Rope("yarn", factor, length)


def _check_together(services: Iterable[Service], problems: Problems) -> None:
    """Report names and ports that two services claim."""
    names: dict[str, Service] = {}
    ports: dict[int | None, str] = {}
    of_ray: str | None = None
    for service in services:
        problems.where = f"service {service.name!r}"
        if service.name in names:
            problems.add("another service has this name; names must be unique on a host.")
        names[service.name] = service
        if service.port and service.port in ports:
            problems.add(f"port {service.port} is also that of service {ports[service.port]!r}; give each its own.")
        if service.multi_node and service.multi_node.executor == "ray":
            if of_ray is not None:
                problems.add(f"executor: ray is also that of service {of_ray!r}; a host takes part in one Ray cluster.")
            of_ray = service.name
        ports[service.port] = service.name


def _few(names: list[str]) -> str:
    """Return some names as a sentence lists them."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _is_host(text: str) -> bool:
    return _address(text) is not None or HOST_NAME.fullmatch(text) is not None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
