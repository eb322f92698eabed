# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's own load generator as a transient unit: its command line, its sandbox, its environment. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .scenarios import Asked

RESULT_FILE = "result.json"
LOG_FILE = "log"
# What it prints when the load begins, and when the last answer is in.
BEGUN, ENDED = "Starting main benchmark run...", "Serving Benchmark Result"
# What it may take until the load begins: importing the engine, making prompts.
START_SECONDS = 300


@dataclass(frozen=True)
class Target:
    """What is measured, and through what.

    ``base_url`` has no path; ``tokenizer`` is a directory, or what the engine was told instead. ``peers`` are the
    addresses that the load generator may reach. ``through`` is ``direct`` or ``gateway``.
    """

    base_url: str
    model: str
    tokenizer: str
    trust_remote_code: bool = False
    validate_certs: bool = True
    peers: Sequence[str] = ("localhost",)
    through: str = "direct"


@dataclass(frozen=True)
class Order:
    """What the load generator is to do: ``requests`` of what is ``asked``.

    ``salt`` separates them from the same ones of another run in the engine's prefix cache.
    """

    target: Target
    asked: Asked
    requests: int
    seed: int
    salt: str


@dataclass(frozen=True)
class Owner:
    """As whom the load generator runs."""

    user: str
    user_id: int
    group_id: int


def bench_command(executable: str, order: Order) -> list[str]:
    """Return the command line of ``vllm bench serve``.

    Greedy, and to the last token whatever the model would say, so that both sides of a comparison work the same. It
    holds no key: the program takes that from its environment.
    """
    target, asked = order.target, order.asked
    line = [executable, "bench", "serve", "--backend", "openai", "--endpoint", "/v1/completions"]
    line += ["--base-url", target.base_url, "--model", target.model, "--tokenizer", target.tokenizer]
    line += ["--dataset-name", "random", "--random-input-len", str(asked.input_tokens)]
    line += ["--random-output-len", str(asked.output_tokens), "--random-range-ratio", "0"]
    line += ["--num-prompts", str(order.requests), "--seed", str(order.seed), "--temperature", "0", "--ignore-eos"]
    line += ["--extra-body", json.dumps({"cache_salt": order.salt}), "--disable-tqdm"]
    line += ["--request-rate", "inf" if asked.requests_per_second is None else f"{asked.requests_per_second:g}"]
    line += ["--max-concurrency", str(asked.concurrency)] if asked.concurrency else []
    line += ["--save-result", "--save-detailed", "--result-dir", ".", "--result-filename", RESULT_FILE]
    line += ["--trust-remote-code"] if target.trust_remote_code else []
    line += [] if target.validate_certs else ["--insecure"]
    return line


def bench_environment(directory: str) -> Mapping[str, str]:
    """Return the environment: nothing is fetched, and no device is taken from the services."""
    return {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HOME": f"{directory}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "HOME": directory,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_CACHE_ROOT": f"{directory}/cache",
        "VLLM_CONFIG_ROOT": f"{directory}/config",
        "VLLM_LOGGING_COLOR": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }


def bench_unit_name(service: str) -> str:
    """Return the name of the transient unit that measures a service."""
    return f"vllm-benchmark-{service}.service"


def properties(order: Order, directory: str, key_file: str | None, owner: Owner) -> list[str]:
    """Return the unit's properties. ``key_file`` is root's alone: systemd reads it, and shows nobody what it says."""
    found = [
        f"User={owner.user}",
        f"Group={owner.group_id}",
        f"WorkingDirectory={directory}",
        f"ReadWritePaths={directory}",
        f"StandardOutput=append:{directory}/{LOG_FILE}",
        f"StandardError=append:{directory}/{LOG_FILE}",
        f"RuntimeMaxSec={START_SECONDS + order.asked.limit_seconds}",
        "CPUAccounting=yes",
        "IPAddressDeny=any",
        *(f"IPAddressAllow={peer}" for peer in order.target.peers),
        "CapabilityBoundingSet=",
        "LimitNOFILE=65536",
        "LockPersonality=yes",
        "NoNewPrivileges=yes",
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "ProtectControlGroups=yes",
        "ProtectHome=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "ProtectSystem=strict",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RestrictSUIDSGID=yes",
        "UMask=0077",
        *(f"Environment={name}={value}" for name, value in bench_environment(directory).items()),
    ]
    return found + ([f"EnvironmentFile={key_file}"] if key_file else [])
