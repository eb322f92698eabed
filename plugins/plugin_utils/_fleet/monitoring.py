# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom Prometheus scrapes, and where from: out of the inventory. Pure.

A host's address among those that measure each other is ``vllm_monitoring_address``, else ``ansible_host``, else its
name. Mistakes are InferenceErrors that name all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.gateway import EVERY_ADDRESS
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import layout_of
from ansible_collections.llmops.inference.plugins.plugin_utils._role_variables import default_of

Variables = Mapping[str, Mapping[str, Any]]


def addresses_of(hosts: Iterable[str], variables: Variables, kind: str = "hosts") -> list[str]:
    """Return the IP addresses that ``hosts`` connect from, or that their ``engines`` listen on beside loopback.

    Raises InferenceError for a host that connects from a name, because packets carry none.
    """
    if _checked(kind, ("hosts", "engines")) == "engines":
        return sorted({address for host in hosts for address in engine_addresses_of(variables[host])})
    found = {host: _address(host, variables[host]) for host in hosts}
    strange = {host: address for host, address in found.items() if not _is_ip(address)}
    if strange:
        listed = ", ".join(f"{host} ({address})" for host, address in strange.items())
        raise InferenceError(
            f"who may read metrics is decided by address, and these hosts have none: {listed}. State their "
            "vllm_monitoring_address, the IP address that they connect from."
        )
    return sorted(set(found.values()))


def targets_of(hosts: Iterable[str], variables: Variables, kind: str = "engines") -> list[dict[str, str]]:
    """Return ``host`` and ``target`` (address and port of its relay) of each engine host, or those of ``gateways``."""
    if _checked(kind, ("engines", "gateways")) == "gateways":
        return gateways_of(hosts, variables)
    found = []
    for host in hosts:
        port = _value(variables[host], "vllm_monitoring", "vllm_monitoring_relay_port")
        found.append({"host": host, "target": f"{_bracketed(_address(host, variables[host]))}:{port}"})
    return found


def gateways_of(hosts: Iterable[str], variables: Variables) -> list[dict[str, str]]:
    """Return ``host``, ``target`` (address and port of HAProxy's metrics) and ``health`` (an URL) of each gateway."""
    found = []
    for host in hosts:
        own = variables[host]
        bound = str(_value(own, "vllm_gateway", "vllm_gateway_address"))
        reached = _bracketed(_address(host, own) if bound in ("*", *EVERY_ADDRESS) else bound)
        scheme = "https" if _value(own, "vllm_gateway", "vllm_gateway_tls") else "http"
        port = _value(own, "vllm_gateway", "vllm_gateway_port")
        metrics_port = _value(own, "vllm_gateway", "vllm_gateway_metrics_port")
        found.append(
            {
                "host": host,
                "target": f"{_bracketed(_address(host, own))}:{metrics_port}",
                "health": f"{scheme}://{reached}:{port}/health",
            }
        )
    return found


def engine_addresses_of(variables: Mapping[str, Any]) -> list[str]:
    """Return the addresses beside loopback that the engines of a host with these variables listen on."""
    hosts = {str(service.get("host") or "") for service in layout_of(variables)}
    return sorted(host for host in hosts - {*EVERY_ADDRESS} if _is_ip(host) and not ip_address(host).is_loopback)


def _checked(kind: str, kinds: Sequence[str]) -> str:
    if kind not in kinds:
        raise InferenceError(f"kind is {kind!r:.80}; {' or '.join(kinds)} is expected.")
    return kind


def _value(variables: Mapping[str, Any], role: str, name: str) -> Any:
    """Return a variable of another host, which does not know the defaults of the roles that run there."""
    return variables[name] if name in variables else default_of(role, name)


def _address(host: str, variables: Mapping[str, Any]) -> str:
    candidates: Sequence[Any] = (variables.get("vllm_monitoring_address"), variables.get("ansible_host"), host)
    return str(next(address for address in candidates if address))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
