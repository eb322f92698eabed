# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of a service, and the key that it asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """Where a service answers; ``api_key`` is None where the engine asks for none.

    ``port`` None: it answers on the unix socket at the path ``socket``.
    """

    host: str
    port: int | None
    model: str
    api_key: str | None = None
    socket: str | None = None

    @property
    def address(self) -> str:
        """The base URL that a client of the host itself uses; for a unix socket ``unix:`` and its path."""
        if self.socket:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"
