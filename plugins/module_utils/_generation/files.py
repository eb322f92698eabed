# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a generation as data: tickets, secrets and addresses of the services that they describe."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from .. import _environment_file
from .._engine.endpoint import Endpoint
from .._errors import InferenceError
from .._service.ticket import Ticket


@dataclass(frozen=True)
class File:
    """A file of a generation. ``secret`` files belong to root alone and never appear in a diff."""

    text: str
    secret: bool = False

    @property
    def mode(self) -> int:
        """Readable by the services' group, or by root only."""
        return 0o600 if self.secret else 0o640


Files = Mapping[str, File]


def changed_paths(before: Files, after: Files) -> list[str]:
    """Paths that are new, gone, or not the same, sorted."""
    return sorted(name for name in set(before) | set(after) if before.get(name) != after.get(name))


def tickets(files: Mapping[str, File]) -> dict[str, Ticket]:
    """The ticket of every service of a generation's files; one that was spoilt by hand is none."""
    found = {}
    for path, file in files.items():
        if path.startswith("services/") and path.endswith("/guard.json"):
            with contextlib.suppress(InferenceError):
                ticket = Ticket.from_json(file.text)
                found[ticket.service] = ticket
    return found


def watched(files: Mapping[str, File]) -> dict[str, bool]:
    """Whether each service of a generation's files has a watchdog."""
    return {name: ticket.watchdog.enabled for name, ticket in tickets(files).items()}


def variables(file: File | None) -> dict[str, str]:
    """The environment variables of a file; none where there is no file."""
    return _environment_file.from_text(file.text) if file else {}


def api_key(files: Mapping[str, File], service: str) -> str | None:
    """The key that a service asks its clients for, out of its secrets file."""
    return variables(files.get(f"services/{service}/secrets")).get("VLLM_API_KEY")


def endpoint(files: Mapping[str, File], ticket: Ticket) -> Endpoint:
    """Where a service of these files answers."""
    return ticket.endpoint_with(api_key(files, ticket.service))


def endpoints(files: Mapping[str, File]) -> dict[str, Endpoint]:
    """Where each service of a generation's files answers; one that answers on another host is not among them."""
    return {name: endpoint(files, ticket) for name, ticket in tickets(files).items() if ticket.answers}
