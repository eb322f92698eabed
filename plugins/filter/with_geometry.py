# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layout with the shapes of models that are not on the machine that plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: with_geometry
short_description: Give the services of a layout their models' shapes
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Gives each service of a layout the C(geometry) found under its name or its model.
  - What a service states itself stays. A name that no service has is an error.
options:
  _input:
    description: The layout.
    type: list
    elements: dict
    required: true
  geometries:
    description: Contents of C(config.json), by name of the service or by its C(model).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Plan for a model that is nowhere near
  llmops.inference.vllm_plan:
    services: "{{ layout | llmops.inference.with_geometry({'mini': lookup('file', 'Qwen3-8B.json') | from_json}) }}"
    topology: "{{ recorded }}"
"""

RETURN = r"""
_value:
  description: The layout.
  type: list
  elements: dict
"""


def with_geometry(
    layout: Sequence[Mapping[str, Any]], geometries: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the layout with geometries; one that belongs to no service is refused."""
    known = {str(service.get(key)) for service in layout for key in ("name", "model") if key in service}
    strange = sorted(set(geometries) - known)
    if strange:
        raise AnsibleFilterError(
            f"No service and no model of the layout is called {', '.join(strange)}; it has {', '.join(sorted(known))}."
        )
    found = []
    for service in layout:
        geometry = geometries.get(str(service.get("name")), geometries.get(str(service.get("model")), {}))
        whole = {**geometry, **(service.get("geometry") or {})}
        found.append({**service, "geometry": whole} if whole else dict(service))
    return found


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"with_geometry": with_geometry}
