# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit must know of its service to admit, await and release it: data of a generation, read on the host."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ._errors import InferenceError
from ._health import Endpoint

RUNTIME_DIRECTORY = Path("/run/vllm")


@dataclass(frozen=True)
class Ticket:
    """What the guard must know of a service; the generation carries it as ``services/NAME/guard.json``.

    ``required_free_bytes`` maps a device id to the bytes that must be free on it before the engine starts (the
    engine's own first gate); times in seconds. ``digest`` identifies everything the running engine was started with.
    """

    service: str
    model: str
    host: str
    port: int
    required_free_bytes: Mapping[str, int]
    start_timeout: int
    neighbours: int
    digest: str

    def to_json(self) -> str:
        """The ticket as a text of the generation."""
        return json.dumps(vars(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Ticket:
        """The ticket written by ``to_json``, also by another version; InferenceError for anything else."""
        try:
            values = json.loads(text)
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceError(f"guard.json cannot be read ({type(error).__name__}: {error})") from error

    @property
    def endpoint(self) -> Endpoint:
        """Where the service will answer; its key comes from the unit's environment."""
        return Endpoint(self.host, self.port, self.model, os.environ.get("VLLM_API_KEY"))


def started_path(service: str) -> Path:
    """The file that says with which digest the running engine was started."""
    return RUNTIME_DIRECTORY / service / "started.json"
