# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory to whom Prometheus scrapes and who lets it in, and what an engine host needs for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.lookup.program_archive import archive
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.monitoring import (
    addresses_of,
    engine_addresses_of,
    gateways_of,
    targets_of,
)

ROLES = Path(__file__).resolve().parents[5] / "roles"


def test_a_monitoring_host_is_let_in_by_its_address() -> None:
    variables = {
        "m1": {"vllm_monitoring_address": "10.0.0.5", "ansible_host": "192.0.2.1"},
        "m2": {"ansible_host": "10.0.0.6"},
        "10.0.0.7": {},
    }
    assert addresses_of(["m1", "m2", "10.0.0.7"], variables) == ["10.0.0.5", "10.0.0.6", "10.0.0.7"]


def test_a_name_is_no_address_to_let_in() -> None:
    with pytest.raises(InferenceError, match=r"none: m \(m\)\. State their vllm_monitoring_address"):
        addresses_of(["m"], {"m": {}})


def test_an_engine_host_is_scraped_at_its_relay() -> None:
    variables: dict[str, dict[str, Any]] = {
        "gpu-1": {"ansible_host": "10.0.0.11"},
        "gpu-2": {"vllm_monitoring_address": "fd00::2", "vllm_monitoring_relay_port": 9200},
    }
    assert targets_of(["gpu-1", "gpu-2"], variables) == [
        {"host": "gpu-1", "target": "10.0.0.11:9138"},
        {"host": "gpu-2", "target": "[fd00::2]:9200"},
    ]


def test_a_gateway_is_scraped_and_asked_where_its_own_variables_say() -> None:
    variables: dict[str, dict[str, Any]] = {
        "edge": {"ansible_host": "10.0.0.9"},
        "inner": {"ansible_host": "10.0.0.8", "vllm_gateway_address": "10.1.0.8", "vllm_gateway_tls": False}
        | {"vllm_gateway_port": 8080, "vllm_gateway_metrics_port": 9000},
    }
    assert gateways_of(["edge", "inner"], variables) == [
        {"host": "edge", "target": "10.0.0.9:8406", "health": "https://10.0.0.9:8443/health"},
        {"host": "inner", "target": "10.0.0.8:9000", "health": "http://10.1.0.8:8080/health"},
    ]


def test_a_relay_may_talk_to_the_addresses_that_engines_listen_on() -> None:
    layout = [{"host": "10.0.0.11"}, {"host": "10.0.0.11"}, {"host": "0.0.0.0"}, {"socket": True}, {"host": "::1"}]
    assert engine_addresses_of({"vllm_services_layout": layout}) == ["10.0.0.11"]


def test_the_program_of_an_engine_host_runs_without_ansible(tmp_path: Path) -> None:
    program = tmp_path / "vllm_metrics"
    program.write_bytes(archive(ROLES / "vllm_monitoring" / "files" / program.name))
    ran = subprocess.run(
        [sys.executable, "-B", program, "relay", tmp_path / "absent.json"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FileNotFoundError" in ran.stderr, "all is imported before the settings are read"


def test_the_kind_says_whose_targets_and_addresses_are_listed() -> None:
    variables = {"10.0.0.7": {"vllm_services_layout": [{"name": "mini", "host": "10.0.0.11"}]}}
    assert addresses_of(variables, variables, "engines") == ["10.0.0.11"]
    assert targets_of(variables, variables, "gateways") == gateways_of(variables, variables)
    with pytest.raises(InferenceError, match="kind is 'relays'; engines or gateways is expected"):
        targets_of(variables, variables, "relays")
