# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit must know of its service to admit, await and release it: data of a generation, read on the host."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from .._engine.endpoint import Endpoint
from .._errors import InferenceError
from .group import Group
from .watchdog import Watchdog

RUNTIME_DIRECTORY = Path("/run/vllm")


@dataclass(frozen=True)
class Ticket:
    """What the guard must know of a service; the generation carries it as ``services/NAME/guard.json``.

    ``required_free_bytes`` maps a device id to the bytes that must be free on it before the engine starts (the
    engine's own first gate); times in seconds. ``port`` is None for a service that listens on its socket.
    ``gpu_health`` says what a GPU's health means to a start; ``container``, that the engine runs in one, with a
    /dev/shm of its own and not as the unit's main process. ``digest`` identifies everything the running engine was
    started with; it is keyed, so that nobody guesses a secret from it. ``group`` is of a service on several hosts.
    """

    service: str
    model: str
    host: str
    port: int | None
    required_free_bytes: Mapping[str, int]
    start_timeout: int
    neighbours: int
    digest: str
    gpu_health: Mapping[str, str] = field(default_factory=dict)
    watchdog: Watchdog = field(default_factory=Watchdog)
    container: bool = False
    group: Group | None = None

    def to_json(self) -> str:
        """The ticket as a text of the generation."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Ticket:
        """The ticket written by ``to_json``, also by another version; InferenceError for anything else."""
        try:
            values = json.loads(text)
            known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
            group = Group.from_dict(values.get("group"))
            return cls(**{**known, "watchdog": Watchdog(**values.get("watchdog", {})), "group": group})
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceError(f"guard.json cannot be read ({type(error).__name__}: {error})") from error

    @property
    def answers(self) -> bool:
        """Whether requests go to this host; of several hosts the leader alone listens."""
        return self.group is None or self.group.leads

    @property
    def endpoint(self) -> Endpoint:
        """Where the service will answer; its key comes from the unit's environment."""
        return self.endpoint_with(os.environ.get("VLLM_API_KEY"))

    def endpoint_with(self, api_key: str | None) -> Endpoint:
        """Where the service answers clients with this key."""
        return Endpoint(self.host, self.port, self.model, api_key, None if self.port else socket_path(self.service))


def socket_path(service: str) -> str:
    """The unix socket of a service that listens on one, open to the services' user and group."""
    return str(RUNTIME_DIRECTORY / service / "api.sock")


def started_path(service: str) -> Path:
    """The file that says with which digest the running engine was started."""
    return RUNTIME_DIRECTORY / service / "started.json"
