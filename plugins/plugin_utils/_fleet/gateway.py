# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway routes: from the layouts of hosts to services, backends and keys. Pure.

A service is one engine that the gateway reaches; a backend is one model name with every service that serves it; a
server is a service as HAProxy names it, ``HOST:SERVICE``. Mistakes are InferenceErrors that name all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import DEFAULT_MAX_NUM_SEQS
from ansible_collections.llmops.inference.plugins.module_utils._values import as_integer, is_loopback, shown
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import layout_of, leads

# What needs no quoting in HAProxy's configuration, in a URL's path or in JSON; names of models on hubs are of these.
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_ADDRESS = re.compile(r"[A-Za-z0-9:._%-]{1,255}")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# An engine's own key goes into a quoted string and an HTTP header.
_ENGINE_KEY = re.compile(r"[!#-&(-\[\]-~]{1,512}")
# What is left of a minute's sequences is computed with this times 60, in 64 bits; HAProxy keeps 32.
_MOST_PER_MINUTE = (1 << 31) - 1
# Of `openssl rand -hex 16`, 128 bits; a hash protects nothing that can be guessed.
SHORTEST_KEY = 32

EVERY_ADDRESS = ("0.0.0.0", "::")


def services_of(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], gateway: str) -> list[dict[str, Any]]:
    """Return every service of the layouts of ``hosts``, as ``gateway`` reaches it.

    ``variables`` are those of each host (``hostvars``). Raises InferenceError where a service listens on loopback on
    another host than the gateway's.
    """
    problems: list[str] = []
    found = [
        _service_of(host, service, variables[host], gateway, problems)
        for host in hosts
        for service in layout_of(variables[host])
        if leads(service, host)
    ]
    _raise(problems)
    return found


def model_of(service: Mapping[str, Any]) -> str:
    """Return the name by which clients ask for a service's model; services of one name are its replicas."""
    return str(service.get("served_model_name") or service.get("name"))


def _service_of(
    host: str, service: Mapping[str, Any], variables: Mapping[str, Any], gateway: str, problems: list[str]
) -> dict[str, Any]:
    address = str(service.get("host") or "127.0.0.1")
    if service.get("socket"):
        problems.append(
            f"service {service.get('name')} of {host} listens on its unix socket, and HAProxy, which shuts itself off "
            "from the file system, reaches none: give it a port instead of `socket: true`, or leave it out of "
            "vllm_gateway_services."
        )
    elif address in EVERY_ADDRESS:
        address = "127.0.0.1" if host == gateway else str(variables.get("ansible_host") or host)
    elif host != gateway and is_loopback(address):
        problems.append(
            f"service {service.get('name')} of {host} listens on {address}, which {gateway} cannot reach: state as its "
            "host an address of its machine, and as its allow_from that of the gateway."
        )
    accelerator = str(variables.get("vllm_services_accelerator") or variables.get("vllm_runtime_accelerator") or "cuda")
    secrets = service.get("secret_environment") or {}
    return {
        "host": host,
        "name": str(service.get("name")),
        "model": model_of(service),
        "address": address,
        "port": service.get("port"),
        "maxconn": service.get("max_num_seqs") or DEFAULT_MAX_NUM_SEQS.get(accelerator, DEFAULT_MAX_NUM_SEQS["cuda"]),
        "api_key": str(secrets.get("VLLM_API_KEY") or ""),
    }


def backends_of(services: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one backend per model, sorted by its name.

    Each has ``name``, ``model``, ``paths`` (of the model below ``/v1/models/``), ``api_key`` (the engines' own, empty
    where they ask for none) and ``servers``: ``name``, ``address``, ``port`` and ``maxconn`` (requests at a time).
    """
    problems: list[str] = []
    models: dict[str, list[Mapping[str, Any]]] = {}
    for service in services:
        _check_service(service, problems)
        models.setdefault(str(service.get("model")), []).append(service)
    names: dict[str, str] = {}
    found = []
    for model, group in sorted(models.items()):
        name = "model-" + re.sub(r"[^A-Za-z0-9_.-]", "-", model)
        if names.setdefault(name, model) != model:
            name += "-" + hashlib.sha256(model.encode()).hexdigest()[:8]
        keys = {str(service.get("api_key") or "") for service in group}
        if len(keys) > 1:
            where = ", ".join(f"{service.get('host')}:{service.get('name')}" for service in group)
            problems.append(f"model {shown(model)} has engines with different VLLM_API_KEYs ({where}): give them one.")
        servers = [_server(service) for service in group]
        known = [server["name"] for server in servers]
        repeated = sorted({server for server in known if known.count(server) > 1})
        if repeated:
            problems.append(f"model {shown(model)} has {', '.join(repeated)} more than once: name each service once.")
        paths = list(dict.fromkeys([model, quote(model, safe="")]))
        found.append({"name": name, "model": model, "paths": paths, "api_key": min(keys), "servers": servers})
    _raise(problems)
    return found


def _check_service(service: Mapping[str, Any], problems: list[str]) -> None:
    where = f"service {shown(service.get('name'))} of {shown(service.get('host'))}"
    for key, form in (("model", _MODEL), ("address", _ADDRESS), ("host", _ADDRESS), ("name", _ADDRESS)):
        if not form.fullmatch(str(service.get(key) or "")):
            problems.append(f"{where}: {key} {shown(service.get(key))} has other characters than {form.pattern}.")
    port, maxconn = as_integer(service.get("port")), as_integer(service.get("maxconn"))
    if port is None or not 1 <= port <= 65535:
        problems.append(f"{where}: port {shown(service.get('port'))} is no number from 1 to 65535.")
    if maxconn is None or not 1 <= maxconn <= 1 << 16:
        problems.append(f"{where}: maxconn {shown(service.get('maxconn'))} is no number of requests from 1 to 65536.")
    key = str(service.get("api_key") or "")
    if key and not _ENGINE_KEY.fullmatch(key):
        problems.append(f"{where}: its VLLM_API_KEY has spaces, quotes, backslashes or other than ASCII in it.")


def _server(service: Mapping[str, Any]) -> dict[str, Any]:
    address = str(service["address"]) if "address" in service else ""
    return {
        # A colon is in no name of a service, so the last one divides the two.
        "name": f"{service.get('host')}:{service.get('name')}",
        "host": address,
        "address": f"[{address}]" if ":" in address else address,
        "port": as_integer(service.get("port")),
        "maxconn": as_integer(service.get("maxconn")),
    }


def keys_of(
    keys: Iterable[Mapping[str, Any]], requests_per_minute: int, sequences_per_minute: int = 60_000
) -> list[dict[str, Any]]:
    """Return the clients' keys as the gateway keeps them: ``name``, ``sha256`` (hex) and their limits.

    The limits are ``requests_per_minute`` and ``sequences_per_minute``; a key that states none gets the two arguments.
    An item states ``sha256``, or ``key``, which is hashed here. No message shows either.
    """
    problems: list[str] = []
    found: list[dict[str, Any]] = []
    for place, item in enumerate(keys):
        name = str(item.get("name") or "")
        where = f"key {shown(name or place + 1)}"
        if not _KEY_NAME.fullmatch(name):
            problems.append(f"{where}: its name has other characters than {_KEY_NAME.pattern}.")
        if bool(item.get("key")) == bool(item.get("sha256")):
            problems.append(f"{where}: state either key or sha256.")
        key, digest = str(item.get("key") or ""), str(item.get("sha256") or "").lower()
        if key and len(key) < SHORTEST_KEY:
            problems.append(
                f"{where}: the key has {len(key)} characters, and {SHORTEST_KEY} are the least: a hash protects only "
                "what cannot be guessed. Make one with 'openssl rand -hex 32'."
            )
        digest = hashlib.sha256(key.encode()).hexdigest() if key else digest
        if not _SHA256.fullmatch(digest):
            problems.append(f"{where}: its sha256 is not 64 hexadecimal digits.")
        limits = {}
        for kind, default in (
            ("requests_per_minute", requests_per_minute),
            ("sequences_per_minute", sequences_per_minute),
        ):
            limits[kind] = limit = as_integer(item.get(kind) or default)
            if limit is None or not 1 <= limit <= _MOST_PER_MINUTE:
                problems.append(
                    f"{where}: {kind} {shown(item.get(kind) or default)} is no number from 1 to {_MOST_PER_MINUTE}."
                )
        for other in found:
            if name == other["name"] or digest == other["sha256"]:
                problems.append(f"{where} is there twice, by its name or by its value; keep one.")
        found.append({"name": name, "sha256": digest, **limits})
    _raise(problems)
    return found


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise InferenceError(" ".join(problems), errors=list(problems))
