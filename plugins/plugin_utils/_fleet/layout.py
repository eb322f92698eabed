# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layout whose services have some of their keys changed, and what of it is whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def changed_layout(
    layout: Sequence[Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the layout with these keys by name of the service; InferenceError for a name that none has."""
    known = [str(service.get("name")) for service in layout]
    strange = sorted(set(changes) - set(known))
    if strange:
        raise InferenceError(
            f"No service of the layout is called {', '.join(strange)}; it has {', '.join(known) or 'none'}."
        )
    return [{**service, **(changes.get(str(service.get("name"))) or {})} for service in layout]


def leads(service: Mapping[str, Any], host: str) -> bool:
    """Whether a service of a host's layout answers requests there: one on several hosts does on the first."""
    hosts = service.get("hosts")
    return not isinstance(hosts, (list, tuple)) or list(hosts[:1]) == [host]
