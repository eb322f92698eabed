# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of a Ray cluster that starts the ranks of a service on several hosts. Pure.

``vllm-ray-head.service`` on the first of its hosts and ``vllm-ray-worker.service`` on the others run for as long as a
service needs them. Ray starts whatever anybody who reaches it asks for, so that nobody but these hosts does.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._places import RAY_DIRECTORY, RAY_HEAD_UNIT, RAY_WORKER_UNIT, Paths
from .._plan.multi_node import MultiNode
from .units import DRIVER_NODES, STOP_MARGIN_SECONDS, engine_hardening, section

# The engine hands on results through queues of its own; this is the least that Ray is content with (bytes).
_OBJECT_STORE_BYTES = 256 << 20


def unit_of(nodes: MultiNode) -> str:
    """Which of the two units a host has."""
    return RAY_HEAD_UNIT if nodes.leads else RAY_WORKER_UNIT


def ray_command(nodes: MultiNode, engine_directory: str, devices: int, accelerator: str) -> list[str]:
    """The command that joins this host to the cluster, or begins it, with so many of its devices."""
    place = (
        ["--head", f"--port={nodes.master_port}"] if nodes.leads else [f"--address={nodes.leader}:{nodes.master_port}"]
    )
    return [
        f"{engine_directory}/bin/ray",
        "start",
        *place,
        f"--node-ip-address={nodes.address}",
        f"--num-gpus={devices if accelerator == 'cuda' else 0}",
        f"--object-store-memory={_OBJECT_STORE_BYTES}",
        f"--temp-dir={RAY_DIRECTORY}",
        "--disable-usage-stats",
        *(["--include-dashboard=false"] if nodes.leads else []),
        "--block",
    ]


def ray_unit_text(
    service: str,
    nodes: MultiNode,
    start: Sequence[str],
    paths: Paths,
    *,
    accelerator: str,
    device_minors: Sequence[int],
) -> str:
    """The unit of Ray on one host, for the ranks of one service; ``device_minors`` are of that service's GPUs here."""
    devices = [*DRIVER_NODES, *(f"/dev/nvidia{minor}" for minor in device_minors)] if device_minors else []
    sections = [
        section(
            "Unit",
            f"Description=Ray for the vLLM model endpoint {service}",
            "Documentation=https://docs.ray.io",
            "After=network-online.target",
            "Wants=network-online.target",
            "StopWhenUnneeded=yes",
        ),
        section(
            "Service",
            "Type=exec",
            f"User={paths.user}",
            f"Group={paths.group}",
            f"WorkingDirectory=/var/lib/vllm/services/{service}",
            f"StateDirectory=vllm/services/{service}",
            "StateDirectoryMode=0750",
            f"CacheDirectory=vllm/{service}",
            "CacheDirectoryMode=0750",
            "RuntimeDirectory=vllm/ray",
            "RuntimeDirectoryMode=0750",
            f"EnvironmentFile={paths.current}/services/{service}/environment",
            f"EnvironmentFile=-{paths.current}/services/{service}/secrets",
            f"ExecStart={' '.join(start)}",
            "Restart=always",
            "RestartSec=5",
            # What Ray answers SIGTERM with.
            "SuccessExitStatus=1",
            f"TimeoutStopSec={STOP_MARGIN_SECONDS}",
            "KillMode=mixed",
            "OOMPolicy=continue",
            "LimitNOFILE=65536",
            "LimitMEMLOCK=infinity",
            "SyslogIdentifier=vllm-ray",
            "IPAddressAllow=localhost",
            *(f"IPAddressAllow={address}" for address in nodes.addresses),
            "IPAddressDeny=any",
            *(f"DeviceAllow={node} rw" for node in devices),
        ),
        "\n".join(["# Hardening: it runs what the hosts of the service ask for.", *engine_hardening(accelerator)]),
    ]
    return "\n\n".join(sections) + "\n"
