# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a deployment keeps things on a host, and what they are called. Pure."""

from __future__ import annotations

from dataclasses import dataclass

TARGET_UNIT = "vllm.target"
RECOVER_UNIT = "vllm-recover.service"

# Files of a generation, by their path below it.
PLAN_FILE = "plan.json"
NEEDS_FILE = "needs.json"
TEMPLATE_FILE = "systemd/vllm@.service"
WATCHDOG_FILE = "systemd/vllm-watchdog@.service"
GROUP_FILE = "systemd/vllm-group@.service"
RAY_DIRECTORY = "/run/vllm/ray"
RAY_HEAD_UNIT = "vllm-ray-head.service"
RAY_WORKER_UNIT = "vllm-ray-worker.service"
RAY_UNITS = (RAY_HEAD_UNIT, RAY_WORKER_UNIT)
TARGET_FILE = f"systemd/{TARGET_UNIT}"
RECOVER_FILE = f"systemd/{RECOVER_UNIT}"
# Below it: what systemd reads, and what podman's generator makes units of.
UNITS_DIRECTORY = "systemd"
QUADLETS = "containers"


@dataclass(frozen=True)
class Paths:
    """Where things are on the host; every unit and every generation is written against one of these."""

    config_root: str = "/etc/vllm"
    unit_directory: str = "/etc/systemd/system"
    quadlet_directory: str = "/etc/containers/systemd"
    tools_dir: str = "/opt/vllm/tools"
    user: str = "vllm"
    group: str = "vllm"

    @property
    def current(self) -> str:
        """The link to the active generation."""
        return f"{self.config_root}/current"

    @property
    def transaction(self) -> str:
        """The record of a transaction that has not ended."""
        return f"{self.config_root}/transaction.json"


def unit_name(service: str) -> str:
    """The unit of a service: ``vllm@NAME.service``."""
    return f"vllm@{service}.service"


def timer_name(service: str) -> str:
    """The timer that has a service looked at: ``vllm-watchdog@NAME.timer``."""
    return f"vllm-watchdog@{service}.timer"


def group_name(service: str) -> str:
    """The unit that speaks for this host to the others of a service: ``vllm-group@NAME.service``."""
    return f"vllm-group@{service}.service"


def watchdog_name(service: str) -> str:
    """The unit of one look at a service: ``vllm-watchdog@NAME.service``."""
    return f"vllm-watchdog@{service}.service"


def container_name(service: str) -> str:
    """The Quadlet of a service, of which podman makes its unit: ``vllm@NAME.container``."""
    return f"vllm@{service}.container"


def drop_in_directory(service: str) -> str:
    """The drop-in directory of a service, below a generation's ``systemd/`` and below systemd's own directory."""
    return f"{unit_name(service)}.d"
